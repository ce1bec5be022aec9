//! A model as text.

use crate::attribute_proto::AttributeType;
use crate::facts::element_count;
use crate::tensor_shape_proto::dimension::Value as DimensionValue;
use crate::{AttributeProto, ElementType, GraphProto, ModelProto, NodeProto, Result, TensorProto, ValueInfoProto};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Constants of up to this number of elements are written out.
const WRITTEN_OUT: u64 = 8;

/// Text of `model`: operator sets, inputs, weights, nodes in order, outputs, and how often each operator occurs.
///
/// # Errors
/// [`crate::Error::NoGraph`].
pub fn model_text(model: &ModelProto) -> Result<String> {
    let graph = model.graph()?;
    let mut text = String::new();
    for opset in &model.opset_import {
        let domain = if opset.domain().is_empty() { "ai.onnx" } else { opset.domain() };
        let _ = writeln!(text, "opset {domain} {}", opset.version());
    }
    for input in &graph.input {
        let _ = writeln!(text, "input {}", value_text(input));
    }
    for weight in &graph.initializer {
        let _ = writeln!(text, "weight {}", weight_text(weight));
    }
    for node in &graph.node {
        let _ = writeln!(text, "{}", node_text(node));
    }
    for output in &graph.output {
        let _ = writeln!(text, "output {}", value_text(output));
    }
    text += &operators(graph);
    Ok(text)
}

fn operators(graph: &GraphProto) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for node in &graph.node {
        *counts.entry(node.op_type()).or_default() += 1;
    }
    let counted: Vec<_> = counts.iter().map(|(op, count)| format!("{op} {count}")).collect();
    format!("{} nodes: {}\n", graph.node.len(), counted.join(", "))
}

fn value_text(value: &ValueInfoProto) -> String {
    let tensor = value.as_tensor();
    let dims = tensor.and_then(|tensor| tensor.shape.as_ref()).map(|shape| &shape.dim);
    let dims = dims.into_iter().flatten().map(|dim| match &dim.value {
        Some(DimensionValue::DimValue(size)) => size.to_string(),
        Some(DimensionValue::DimParam(name)) => name.clone(),
        None => "?".to_owned(),
    });
    let dims: Vec<_> = dims.collect();
    format!("{}: {}[{}]", value.name(), type_text(tensor.map_or(0, |tensor| tensor.elem_type())), dims.join(", "))
}

fn weight_text(weight: &TensorProto) -> String {
    let dims: Vec<_> = weight.dims.iter().map(ToString::to_string).collect();
    let mut text = format!("{}: {}[{}]", weight.name(), type_text(weight.data_type()), dims.join(", "));
    if weight.is_external() {
        let [file, offset] =
            [("location", "?"), ("offset", "0")].map(|(key, none)| weight.external(key).unwrap_or(none));
        let _ = write!(text, " in {file} at {offset}");
    } else if weight.element_type() == ElementType::Int64 && element_count(weight) <= WRITTEN_OUT {
        let _ = write!(text, " = {:?}", weight.integers());
    }
    text
}

fn node_text(node: &NodeProto) -> String {
    let attributes: String = node.attribute.iter().map(|attribute| format!(" {}", attribute_text(attribute))).collect();
    format!("{} = {}({}){attributes}", node.output.join(", "), node.op_type(), node.input.join(", "))
}

fn attribute_text(attribute: &AttributeProto) -> String {
    let name = attribute.name();
    match attribute.r#type() {
        AttributeType::Float => format!("{name}={}", attribute.f()),
        AttributeType::Int => format!("{name}={}", attribute.i()),
        AttributeType::String => format!("{name}={}", String::from_utf8_lossy(attribute.s())),
        AttributeType::Ints => format!("{name}={:?}", attribute.ints),
        _ => format!("{name}=…"),
    }
}

/// Such as `fp32`, in the spelling of the rest of planforge.
fn type_text(number: i32) -> String {
    let Ok(element_type) = ElementType::try_from(number) else { return format!("type{number}") };
    match element_type {
        ElementType::Float => "fp32".to_owned(),
        ElementType::Double => "fp64".to_owned(),
        ElementType::Bfloat16 => "bf16".to_owned(),
        other => other.as_str_name().to_lowercase().replace("float", "fp"),
    }
}
