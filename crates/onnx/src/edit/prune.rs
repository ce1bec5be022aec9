//! A graph cut down to some of its outputs.

use crate::{GraphProto, Result, TrainingInfoProto, parse_editable_model};
use prost::Message;
use std::collections::BTreeSet;

/// The ONNX file `bytes` with only `outputs`, and with the nodes and weights they depend on. Weights keep their places.
/// Inputs stay as they are: a caller gives all of them.
///
/// # Errors
/// [`crate::Error::Decode`] and [`crate::Error::UnknownField`].
pub fn keep_outputs(bytes: &[u8], outputs: &[String]) -> Result<Vec<u8>> {
    let mut model = parse_editable_model(bytes)?;
    let trained: BTreeSet<String> = model.training_info.iter().flat_map(names_of_training).map(str::to_owned).collect();
    if let Some(graph) = &mut model.graph {
        graph.output.retain(|output| outputs.iter().any(|name| name == output.name()));
        remove_unused_but(graph, trained);
    }
    Ok(model.encode_to_vec())
}

/// Removes nodes and constants on which no output of the graph depends, and the descriptions of values that go with them.
pub fn remove_unused(graph: &mut GraphProto) {
    remove_unused_but(graph, BTreeSet::new());
}

/// Keeps the values `needed` too. Nodes are in an order in which every value is made before it is used, so one pass from the
/// end finds all that are needed.
fn remove_unused_but(graph: &mut GraphProto, mut needed: BTreeSet<String>) {
    needed.extend(graph.output.iter().map(|output| output.name().to_owned()));
    let mut kept = Vec::new();
    for node in std::mem::take(&mut graph.node).into_iter().rev() {
        if node.output.iter().any(|output| needed.contains(output)) {
            needed.extend(node.used_names().map(str::to_owned));
            // Each of its outputs stays, and so does its description.
            needed.extend(node.output.iter().cloned());
            kept.push(node);
        }
    }
    kept.reverse();
    graph.node = kept;
    needed.extend(graph.input.iter().map(|input| input.name().to_owned()));
    graph.quantization_annotation.retain(|annotation| needed.contains(annotation.tensor_name()));
    let parameters =
        graph.quantization_annotation.iter().flat_map(|annotation| &annotation.quant_parameter_tensor_names);
    needed.extend(parameters.map(|entry| entry.value().to_owned()));
    graph.value_info.retain(|value| needed.contains(value.name()));
    graph.initializer.retain(|weight| needed.contains(weight.name()));
    graph
        .sparse_initializer
        .retain(|weight| weight.values.as_ref().is_none_or(|values| needed.contains(values.name())));
}

/// Names of the model's values that training uses.
fn names_of_training(training: &TrainingInfoProto) -> impl Iterator<Item = &str> {
    let graphs = training.initialization.iter().chain(&training.algorithm).flat_map(GraphProto::used_names);
    let bindings = training.initialization_binding.iter().chain(&training.update_binding);
    graphs.chain(bindings.flat_map(|binding| [binding.key(), binding.value()]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AttributeProto, ElementType, ModelProto, NodeProto, TensorProto, ValueInfoProto};

    fn node(inputs: &[&str], output: &str) -> NodeProto {
        NodeProto::new("Sum", inputs.iter().map(|&name| name.to_owned()).collect(), vec![output.to_owned()], Vec::new())
    }

    fn value(name: &str) -> ValueInfoProto {
        ValueInfoProto::tensor(name, ElementType::Float, Vec::new())
    }

    fn weight(name: &str) -> TensorProto {
        TensorProto::new(name, ElementType::Float, Vec::new())
    }

    fn pruned(graph: GraphProto, output: &str) -> GraphProto {
        let bytes = ModelProto { graph: Some(graph), ..ModelProto::default() }.encode_to_vec();
        let bytes = keep_outputs(&bytes, &[output.to_owned()]).unwrap();
        parse_editable_model(&bytes).unwrap().into_graph().unwrap()
    }

    #[test]
    fn what_an_output_needs_stays() {
        let graph = GraphProto {
            node: vec![node(&["x", "w"], "a"), node(&["a", "v"], "b"), node(&["a"], "c")],
            initializer: vec![weight("w"), weight("v")],
            input: vec![value("x")],
            output: vec![value("b"), value("c")],
            value_info: vec![value("a"), value("b")],
            ..GraphProto::default()
        };
        let pruned = pruned(graph, "c");
        let made: Vec<_> = pruned.node.iter().map(|node| node.output[0].as_str()).collect();
        assert_eq!(made, ["a", "c"]);
        assert_eq!(pruned.initializer, [weight("w")]);
        assert_eq!(pruned.value_info, [value("a")]);
        assert_eq!((pruned.input.len(), pruned.output.len()), (1, 1));
    }

    #[test]
    fn what_a_subgraph_needs_stays() {
        let branch = GraphProto {
            node: vec![node(&["a", "w"], "inner")],
            output: vec![value("inner")],
            ..GraphProto::default()
        };
        let branch = AttributeProto { g: Some(branch), ..AttributeProto::default() };
        let graph = GraphProto {
            node: vec![node(&["x"], "a"), NodeProto { attribute: vec![branch], ..node(&["x"], "b") }],
            initializer: vec![weight("w"), weight("v")],
            input: vec![value("x")],
            output: vec![value("b")],
            ..GraphProto::default()
        };
        let pruned = pruned(graph.clone(), "b");
        assert_eq!((pruned.node, pruned.initializer), (graph.node, vec![weight("w")]));
    }
}
