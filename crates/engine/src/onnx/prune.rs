//! A graph cut down to some of its outputs.

use super::proto::ModelProto;
use planforge_onnx::remove_unused;
use prost::Message;

/// The ONNX file `bytes` with only `outputs`, and with the nodes, weights and inputs they depend on.
/// Weights keep their places. Inputs stay as they are: a caller gives all of them.
///
/// `bytes` must be a file of this crate's own: fields that it does not write would be lost.
pub(crate) fn keep_outputs(bytes: &[u8], outputs: &[String]) -> Result<Vec<u8>, prost::DecodeError> {
    let mut model = ModelProto::decode(bytes)?;
    if let Some(graph) = &mut model.graph {
        graph.output.retain(|output| outputs.contains(&output.name));
        remove_unused(graph);
    }
    Ok(model.encode_to_vec())
}

#[cfg(test)]
mod tests {
    use super::super::proto::{GraphProto, NodeProto, TensorProto, ValueInfo};
    use super::*;

    fn node(inputs: &[&str], output: &str) -> NodeProto {
        let names = inputs.iter().map(|name| (*name).to_owned());
        NodeProto { input: names.collect(), output: vec![output.to_owned()], ..NodeProto::default() }
    }

    fn value(name: &str) -> ValueInfo {
        ValueInfo { name: name.to_owned(), ..ValueInfo::default() }
    }

    #[test]
    fn what_an_output_needs_stays() {
        let weight = |name: &str| TensorProto { name: name.to_owned(), ..TensorProto::default() };
        let graph = GraphProto {
            node: vec![node(&["x", "w"], "a"), node(&["a", "v"], "b"), node(&["a"], "c")],
            initializer: vec![weight("w"), weight("v")],
            input: vec![value("x")],
            output: vec![value("b"), value("c")],
            ..GraphProto::default()
        };
        let bytes = ModelProto { graph: Some(graph), ..ModelProto::default() }.encode_to_vec();
        let pruned = ModelProto::decode(keep_outputs(&bytes, &["c".to_owned()]).unwrap().as_slice()).unwrap();
        let pruned = pruned.graph.unwrap();
        let made: Vec<_> = pruned.node.iter().map(|node| node.output[0].as_str()).collect();
        assert_eq!(made, ["a", "c"]);
        assert_eq!(pruned.initializer.iter().map(|weight| weight.name.as_str()).collect::<Vec<_>>(), ["w"]);
        assert_eq!((pruned.input.len(), pruned.output.len()), (1, 1));
    }
}
