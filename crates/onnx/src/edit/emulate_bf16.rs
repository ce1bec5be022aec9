//! What a bf16 graph computes, for runtimes without bf16 arithmetic.

use crate::{AttributeProto, ElementType, Error, GraphProto, NodeProto, Result, parse_editable_model, remove_unused};
use prost::Message;
use std::collections::BTreeSet;

/// The bf16 graph in the ONNX file `bytes`, each of whose operators runs in binary32 on the same values and has its result
/// rounded to bfloat16, as GPUs do that add up in binary32. Weights stay in their places.
///
/// # Errors
/// [`Error::Decode`], [`Error::UnknownField`], [`Error::NoGraph`], and [`Error::NestedOperators`].
pub fn emulate_bf16(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut model = parse_editable_model(bytes)?;
    let has_functions = !model.functions.is_empty();
    let graph = model.graph_mut()?;
    if has_functions || graph.node.iter().any(|node| node.subgraphs().next().is_some()) {
        return Err(Error::NestedOperators);
    }
    emulate(graph);
    Ok(model.encode_to_vec())
}

fn emulate(graph: &mut GraphProto) {
    let mut types = graph.given_types();
    let given = types.iter().filter(|(_, kind)| **kind == ElementType::Bfloat16).map(|(name, _)| name.clone());
    let mut widened: BTreeSet<String> = given.collect();
    let mut nodes: Vec<NodeProto> = widened.iter().map(|name| cast(name, &wide(name), ElementType::Float)).collect();
    for mut node in std::mem::take(&mut graph.node) {
        let kind = node.output_type(|name| types.get(name).copied());
        types.extend(node.output.iter().map(|output| (output.clone(), kind)));
        let results = if kind == ElementType::Bfloat16 { node.output.clone() } else { Vec::new() };
        // A cast is not arithmetic.
        let is_cast = node.op_type() == "Cast";
        if !is_cast {
            compute_in_binary32(&mut node, &widened, &results);
        }
        nodes.push(node);
        for name in results.into_iter().filter(|name| !name.is_empty()) {
            if !is_cast {
                nodes.push(cast(&exact(&name), &name, ElementType::Bfloat16));
            }
            nodes.push(cast(&name, &wide(&name), ElementType::Float));
            widened.insert(name);
        }
    }
    graph.node = nodes;
    remove_unused(graph);
}

/// Gives `node` the binary32 form of the values `widened`, and the names of what is not rounded yet to its `results`.
fn compute_in_binary32(node: &mut NodeProto, widened: &BTreeSet<String>, results: &[String]) {
    for input in node.input.iter_mut().filter(|input| widened.contains(*input)) {
        *input = wide(input);
    }
    for output in node.output.iter_mut().filter(|output| results.contains(output) && !output.is_empty()) {
        *output = exact(output);
    }
    // Names of nodes differ, too.
    node.name = node.output.first().cloned();
}

/// The name of a bf16 value in binary32.
fn wide(name: &str) -> String {
    format!("{name}/binary32")
}

/// The name of a value before it is rounded.
fn exact(name: &str) -> String {
    format!("{name}/exact")
}

fn cast(input: &str, output: &str, to: ElementType) -> NodeProto {
    let to = AttributeProto::int("to", i64::from(i32::from(to)));
    NodeProto::new("Cast", vec![input.to_owned()], vec![output.to_owned()], vec![to])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{TensorProto, ValueInfoProto};

    #[test]
    fn every_bf16_result_is_rounded_and_nothing_else() {
        let node = |op: &str, inputs: &[&str], output: &str| {
            let inputs = inputs.iter().map(|&name| name.to_owned()).collect();
            NodeProto::new(op, inputs, vec![output.to_owned()], Vec::new())
        };
        let weight = |name: &str, element_type| TensorProto::new(name, element_type, Vec::new());
        let mut graph = GraphProto {
            initializer: vec![weight("w", ElementType::Bfloat16), weight("v", ElementType::Float)],
            node: vec![
                cast("v", "x", ElementType::Bfloat16),
                node("MatMul", &["x", "w"], "product"),
                cast("product", "again", ElementType::Float),
                node("Add", &["again", "v"], "sum"),
            ],
            output: vec![ValueInfoProto::tensor("sum", ElementType::Float, Vec::new())],
            ..GraphProto::default()
        };
        emulate(&mut graph);
        let found: Vec<String> = graph
            .node
            .iter()
            .map(|node| {
                let to = node.attribute.first().map_or(String::new(), |to| format!(" to {}", to.i()));
                format!("{} = {}({}){to}", node.output[0], node.op_type(), node.input.join(", "))
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
