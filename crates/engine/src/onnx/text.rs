//! A graph as text that people can read.

use super::proto::{Attribute, DimensionValue, EXTERNAL, GraphProto, INT64, ModelProto, TensorProto, ValueInfo};
use crate::{Error, Result};
use prost::Message;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

/// Constants of up to so many elements are written out.
const WRITTEN_OUT: i64 = 8;

/// The graph in an ONNX file: inputs, weights, nodes in order, outputs, and how often each operator occurs.
///
/// # Errors
/// [`Error::Graph`] when the file is no ONNX graph.
pub fn graph_text(path: &Path) -> Result<String> {
    let (model, graph) = read(path)?;
    let mut text = String::new();
    for opset in &model.opset_import {
        let domain = if opset.domain.is_empty() { "ai.onnx" } else { &opset.domain };
        let _ = writeln!(text, "opset {domain} {}", opset.version);
    }
    for input in &graph.input {
        let _ = writeln!(text, "input {}", described(input));
    }
    for weight in &graph.initializer {
        let _ = writeln!(text, "weight {}", weight_text(weight));
    }
    for node in &graph.node {
        let attributes: String =
            node.attribute.iter().map(|attribute| format!(" {}", attribute_text(attribute))).collect();
        let (outputs, inputs) = (node.output.join(", "), node.input.join(", "));
        let _ = writeln!(text, "{outputs} = {}({inputs}){attributes}", node.op_type);
    }
    for output in &graph.output {
        let _ = writeln!(text, "output {}", described(output));
    }
    text += &operators(&graph);
    Ok(text)
}

/// The file without its graph, and the graph.
fn read(path: &Path) -> Result<(ModelProto, GraphProto)> {
    let bytes = fs_err::read(path)?;
    let fail = |message: String| Error::Graph { path: path.to_owned(), message };
    let mut model = ModelProto::decode(bytes.as_slice()).map_err(|error| fail(error.to_string()))?;
    let graph = model.graph.take().ok_or_else(|| fail("it holds no graph".to_owned()))?;
    Ok((model, graph))
}

fn operators(graph: &GraphProto) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for node in &graph.node {
        *counts.entry(&node.op_type).or_default() += 1;
    }
    let counted: Vec<_> = counts.iter().map(|(op, count)| format!("{op} {count}")).collect();
    format!("{} nodes: {}\n", graph.node.len(), counted.join(", "))
}

fn described(value: &ValueInfo) -> String {
    let tensor = value.r#type.as_ref().and_then(|kind| kind.tensor_type.as_ref());
    let dims = tensor.and_then(|tensor| tensor.shape.as_ref()).map(|shape| &shape.dim);
    let dims = dims.into_iter().flatten().map(|dim| match &dim.value {
        Some(DimensionValue::DimValue(size)) => size.to_string(),
        Some(DimensionValue::DimParam(name)) => name.clone(),
        None => "?".to_owned(),
    });
    let dims: Vec<_> = dims.collect();
    format!("{}: {}[{}]", value.name, type_name(tensor.map_or(0, |tensor| tensor.elem_type)), dims.join(", "))
}

fn weight_text(weight: &TensorProto) -> String {
    let dims: Vec<_> = weight.dims.iter().map(ToString::to_string).collect();
    let mut text = format!("{}: {}[{}]", weight.name, type_name(weight.data_type), dims.join(", "));
    if weight.data_location == EXTERNAL {
        let [file, offset] =
            [("location", "?"), ("offset", "0")].map(|(key, none)| weight.external(key).unwrap_or(none));
        let _ = write!(text, " in {file} at {offset}");
    } else if weight.data_type == INT64 && weight.dims.iter().product::<i64>() <= WRITTEN_OUT {
        let _ = write!(text, " = {:?}", weight.integers());
    }
    text
}

/// Names of `TensorProto.DataType`.
const TYPE_NAMES: [&str; 21] = [
    "undefined",
    "fp32",
    "uint8",
    "int8",
    "uint16",
    "int16",
    "int32",
    "int64",
    "string",
    "bool",
    "fp16",
    "fp64",
    "uint32",
    "uint64",
    "complex64",
    "complex128",
    "bf16",
    "fp8e4m3fn",
    "fp8e4m3fnuz",
    "fp8e5m2",
    "fp8e5m2fnuz",
];

fn type_name(number: i32) -> String {
    let name = usize::try_from(number).ok().and_then(|number| TYPE_NAMES.get(number));
    name.map_or_else(|| format!("type{number}"), |name| (*name).to_owned())
}

fn attribute_text(attribute: &Attribute) -> String {
    let Attribute { name, f, i, s, ints, kind, .. } = attribute;
    // The numbers of `AttributeProto.AttributeType`.
    match kind {
        1 => format!("{name}={f}"),
        2 => format!("{name}={i}"),
        3 => format!("{name}={}", String::from_utf8_lossy(s)),
        7 => format!("{name}={ints:?}"),
        _ => format!("{name}=…"),
    }
}
