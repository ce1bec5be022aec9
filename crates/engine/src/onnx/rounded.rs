//! What a bf16 graph computes, for runtimes without bf16 arithmetic.

use super::proto::{Attribute, GraphProto, ModelProto, NodeProto, element_type};
use super::types::output_type;
use crate::{Error, Result};
use planforge_core::DataType;
use planforge_onnx::remove_unused;
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

const BF16: i32 = element_type(DataType::Bf16);
const FP32: i32 = element_type(DataType::Fp32);

/// The bf16 graph in the file `path`, each of whose operators runs in binary32 on the same values and has its result rounded to
/// bfloat16, as GPUs do that add up in binary32. Weights stay where they are, beside that file.
///
/// `path` must be an export of planforge's own: fields that it does not write would be lost.
///
/// # Errors
/// [`Error::Graph`] when the file is no ONNX graph, and I/O errors.
pub fn rounded_graph(path: &Path) -> Result<Vec<u8>> {
    let fail = |message: String| Error::Graph { path: path.to_owned(), message };
    let mut model = ModelProto::decode(fs_err::read(path)?.as_slice()).map_err(|error| fail(error.to_string()))?;
    let graph = model.graph.take().ok_or_else(|| fail("it holds no graph".to_owned()))?;
    Ok(ModelProto { graph: Some(rounded(graph)), ..model }.encode_to_vec())
}

fn rounded(mut graph: GraphProto) -> GraphProto {
    let mut types: BTreeMap<String, i32> = BTreeMap::new();
    for input in &graph.input {
        let tensor = input.r#type.as_ref().and_then(|kind| kind.tensor_type.as_ref());
        types.insert(input.name.clone(), tensor.map_or(0, |tensor| tensor.elem_type));
    }
    types.extend(graph.initializer.iter().map(|weight| (weight.name.clone(), weight.data_type)));
    let given = types.iter().filter(|(_, kind)| **kind == BF16).map(|(name, _)| name.clone());
    let mut widened: BTreeSet<String> = given.collect();
    let mut nodes: Vec<NodeProto> = widened.iter().map(|name| cast(name, &wide(name), FP32)).collect();
    for mut node in std::mem::take(&mut graph.node) {
        let kind = output_type(&node, |name| types.get(name).copied());
        types.extend(node.output.iter().map(|output| (output.clone(), kind)));
        let results = if kind == BF16 { node.output.clone() } else { Vec::new() };
        // A cast itself is no arithmetic.
        let is_cast = node.op_type == "Cast";
        if !is_cast {
            for input in node.input.iter_mut().filter(|input| widened.contains(*input)) {
                *input = wide(input);
            }
            node.output.iter_mut().filter(|output| results.contains(output)).for_each(|output| *output = exact(output));
            node.name = node.output.first().cloned().unwrap_or_default();
        }
        nodes.push(node);
        for name in results {
            if !is_cast {
                nodes.push(cast(&exact(&name), &name, BF16));
            }
            nodes.push(cast(&name, &wide(&name), FP32));
            widened.insert(name);
        }
    }
    graph.node = nodes;
    remove_unused(&mut graph);
    graph
}

/// The name of a bf16 value in binary32.
fn wide(name: &str) -> String {
    format!("{name}/binary32")
}

/// The name of a value before it is rounded.
fn exact(name: &str) -> String {
    format!("{name}/exact")
}

fn cast(input: &str, output: &str, to: i32) -> NodeProto {
    NodeProto {
        input: vec![input.to_owned()],
        output: vec![output.to_owned()],
        name: output.to_owned(),
        op_type: "Cast".to_owned(),
        attribute: vec![Attribute::int("to", i64::from(to))],
        ..NodeProto::default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::proto::{TensorProto, ValueInfo};
    use super::*;

    #[test]
    fn every_bf16_result_is_rounded_and_nothing_else() {
        let node = |op: &str, inputs: &[&str], output: &str| NodeProto {
            input: inputs.iter().map(|&name| name.to_owned()).collect(),
            output: vec![output.to_owned()],
            op_type: op.to_owned(),
            ..NodeProto::default()
        };
        let weight = |name: &str, data_type| TensorProto { name: name.to_owned(), data_type, ..TensorProto::default() };
        let graph = GraphProto {
            initializer: vec![weight("w", BF16), weight("v", FP32)],
            node: vec![
                cast("v", "x", BF16),
                node("MatMul", &["x", "w"], "product"),
                cast("product", "again", FP32),
                node("Add", &["again", "v"], "sum"),
            ],
            output: vec![ValueInfo { name: "sum".to_owned(), ..ValueInfo::default() }],
            ..GraphProto::default()
        };
        let found: Vec<String> = rounded(graph)
            .node
            .iter()
            .map(|node| {
                let to = node.attribute.first().map_or(String::new(), |to| format!(" to {}", to.i));
                format!("{} = {}({}){to}", node.output[0], node.op_type, node.input.join(", "))
            })
            .collect();
        let expected = [
            "w/binary32 = Cast(w) to 1",
            "x = Cast(v) to 16",
            "x/binary32 = Cast(x) to 1",
            "product/exact = MatMul(x/binary32, w/binary32)",
            "product = Cast(product/exact) to 16",
            "again = Cast(product) to 1",
            "sum = Add(again, v)",
        ];
        assert_eq!(found, expected);
    }
}
