//! Element types of a graph's values, as far as builders for some GPUs care.

use super::proto::{Attribute, GraphProto, ModelProto, NodeProto, element_type};
use crate::{Error, Result};
use planforge_core::DataType;
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// What a graph asks of a GPU beyond its precision.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct GraphNeeds {
    /// Matrix products in binary32 of values that were not quantized, by their output. Convolutions are no such
    /// matter: Turing has them in binary32.
    pub(crate) wide_products: Vec<String>,
    /// Whether it has values in an 8-bit floating-point type.
    pub(crate) fp8: bool,
}

/// `TensorProto.DataType`: FLOAT8E4M3FN, FLOAT8E4M3FNUZ, FLOAT8E5M2, FLOAT8E5M2FNUZ.
const FP8: std::ops::RangeInclusive<i32> = 17..=20;

/// Reads what the graph in an ONNX file needs.
///
/// # Errors
/// [`Error::Graph`] when the file is no ONNX graph.
pub(crate) fn graph_needs(path: &Path) -> Result<GraphNeeds> {
    let fail = |message: String| Error::Graph { path: path.to_owned(), message };
    let model = ModelProto::decode(fs_err::read(path)?.as_slice()).map_err(|error| fail(error.to_string()))?;
    Ok(needs(&model.graph.ok_or_else(|| fail("it holds no graph".to_owned()))?))
}

fn needs(graph: &GraphProto) -> GraphNeeds {
    let mut types: BTreeMap<&str, i32> = BTreeMap::new();
    for input in &graph.input {
        let tensor = input.r#type.as_ref().and_then(|kind| kind.tensor_type.as_ref());
        types.insert(&input.name, tensor.map_or(0, |tensor| tensor.elem_type));
    }
    types.extend(graph.initializer.iter().map(|weight| (weight.name.as_str(), weight.data_type)));
    let mut dequantized: BTreeSet<&str> = BTreeSet::new();
    let mut wide_products = Vec::new();
    for node in &graph.node {
        let result = output_type(node, |name| types.get(name).copied());
        types.extend(node.output.iter().map(|output| (output.as_str(), result)));
        if node.op_type == "DequantizeLinear" {
            dequantized.extend(node.output.iter().map(String::as_str));
        }
        let is_product = ["MatMul", "Gemm"].contains(&node.op_type.as_str());
        let is_quantized = node.input.iter().any(|input| dequantized.contains(input.as_str()));
        if is_product && !is_quantized && result == element_type(DataType::Fp32) {
            wide_products.extend(node.output.first().cloned());
        }
    }
    GraphNeeds { wide_products, fp8: types.values().any(|kind| FP8.contains(kind)) }
}

/// Type of a node's outputs: what it says itself, or that of the input that decides. A wrong guess about an operator
/// between integers does no harm here.
pub(super) fn output_type(node: &NodeProto, type_of: impl Fn(&str) -> Option<i32>) -> i32 {
    let of_input = |index: usize| node.input.get(index).and_then(|input| type_of(input));
    let attribute = |name: &str| node.attribute.iter().find(|attribute| attribute.name == name);
    let number = |attribute: &Attribute| i32::try_from(attribute.i).unwrap_or(0);
    let decided = match node.op_type.as_str() {
        "Cast" => attribute("to").map(number),
        "Constant" => attribute("value").and_then(|attribute| attribute.t.as_ref()).map(|tensor| tensor.data_type),
        "QuantizeLinear" => attribute("output_dtype").map(number).or_else(|| of_input(2)),
        "DequantizeLinear" => of_input(1),
        // The operator of NVIDIA's quantizer.
        "TRT_FP8QuantizeLinear" => Some(*FP8.start()),
        "TRT_FP8DequantizeLinear" => of_input(1),
        "Where" => of_input(1),
        "Shape" | "Size" | "ArgMax" | "ArgMin" | "NonZero" => Some(element_type(DataType::Int64)),
        "Equal" | "Greater" | "GreaterOrEqual" | "Less" | "LessOrEqual" | "IsNaN" | "IsInf" => {
            Some(element_type(DataType::Bool))
        }
        _ => of_input(0),
    };
    decided.unwrap_or(0)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::onnx) fn node(op: &str, inputs: &[&str], output: &str, attribute: Vec<Attribute>) -> NodeProto {
        NodeProto {
            input: inputs.iter().map(|&name| name.to_owned()).collect(),
            output: vec![output.to_owned()],
            op_type: op.to_owned(),
            attribute,
            ..NodeProto::default()
        }
    }

    fn weight(name: &str, data_type: i32) -> super::super::proto::TensorProto {
        super::super::proto::TensorProto { name: name.to_owned(), data_type, ..Default::default() }
    }

    #[test]
    fn products_of_values_that_were_made_wide_are_found() {
        let graph = GraphProto {
            initializer: vec![weight("w", 10), weight("w32", 1), weight("scale", 1), weight("w8", 17)],
            node: vec![
                node("MatMul", &["w", "w"], "narrow", Vec::new()),
                node("Cast", &["narrow"], "cast", vec![Attribute::int("to", 1)]),
                node("Transpose", &["cast"], "turned", Vec::new()),
                node("MatMul", &["turned", "w32"], "wide", Vec::new()),
                node("Add", &["wide", "w32"], "sum", Vec::new()),
                node("DequantizeLinear", &["w8", "scale"], "again", Vec::new()),
                node("MatMul", &["turned", "again"], "quantized", Vec::new()),
            ],
            ..GraphProto::default()
        };
        assert_eq!(needs(&graph), GraphNeeds { wide_products: vec!["wide".to_owned()], fp8: true });
    }

    #[test]
    fn the_type_of_quantized_values_may_stand_in_the_node() {
        let quantize = |attribute| GraphProto {
            initializer: vec![weight("x", 1), weight("scale", 1)],
            node: vec![node("QuantizeLinear", &["x", "scale"], "q", vec![attribute])],
            ..GraphProto::default()
        };
        assert!(needs(&quantize(Attribute::int("output_dtype", 17))).fp8);
        assert!(!needs(&quantize(Attribute::int("output_dtype", 3))).fp8);
    }
}
