//! A graph as engines are built from it that checkpoints share: what of it comes from the checkpoint, and what does not.

use super::proto::{EXTERNAL, GraphProto, ModelProto, NodeProto, TensorProto};
use planforge_core::{Digest, WeightPlace, digest_bytes};
use prost::Message;
use std::collections::BTreeMap;

/// Operators whose weights the parser makes placeholders of (`NvOnnxParser.h`, `IParser::setRefitObserver`).
const WITH_PLACEHOLDERS: [&str; 3] = ["Conv", "Gemm", "MatMul"];

/// What an engine without weights is built from.
#[derive(Debug)]
pub(crate) struct SharedGraph {
    /// The file. Its weights lie where the checkpoint has them.
    pub(crate) bytes: Vec<u8>,
    /// Of the file without the places of its weights: the same for all checkpoints of an architecture.
    pub(crate) digest: Digest,
    /// Names of the weights that lie in other files, in order.
    pub(crate) weights: Vec<String>,
    /// The weight, if there is one, that the graph has in the other order than the checkpoint; and the rows that it has
    /// there.
    pub(crate) transposed: Option<(String, u64)>,
}

impl SharedGraph {
    /// The graph of the ONNX file `bytes`, a file of this crate's own. A network is built without a GPU where one weight is
    /// a placeholder, so where a graph multiplies with transposed weights alone, one of them is given as it is multiplied
    /// with.
    ///
    /// # Errors
    /// Why there is none, in words.
    pub(crate) fn new(bytes: &[u8]) -> Result<Self, String> {
        let mut model = ModelProto::decode(bytes).map_err(|error| error.to_string())?;
        let graph = model.graph.as_mut().ok_or("it holds no graph")?;
        let weights: Vec<String> = external(graph).map(|weight| weight.name.clone()).collect();
        if weights.is_empty() {
            return Err("its weights do not lie in files of their own".to_owned());
        }
        let is_weight = |name: &String| weights.contains(name);
        let has_placeholder =
            |node: &NodeProto| WITH_PLACEHOLDERS.contains(&node.op_type.as_str()) && node.input.iter().any(is_weight);
        let transposed = if graph.node.iter().any(has_placeholder) {
            None
        } else {
            Some(turn_smallest(graph).ok_or("it neither multiplies nor convolves with a weight")?)
        };
        let bytes = model.encode_to_vec();
        for weight in model.graph.iter_mut().flat_map(|graph| &mut graph.initializer) {
            weight.external_data.clear();
        }
        Ok(Self { bytes, digest: digest_bytes(&model.encode_to_vec()), weights, transposed })
    }
}

/// Where the weights of the ONNX file `bytes` lie that are not in it.
///
/// # Errors
/// What is wrong with the file, in words.
pub(crate) fn weight_places(bytes: &[u8]) -> Result<BTreeMap<String, WeightPlace>, String> {
    let model = ModelProto::decode(bytes).map_err(|error| error.to_string())?;
    let graph = model.graph.ok_or("it holds no graph")?;
    let place = |weight: &TensorProto| {
        let number = |key: &str| weight.external(key)?.parse::<u64>().ok();
        let file = weight.external("location")?.to_owned();
        let place = WeightPlace { file, offset: number("offset")?, byte_count: number("length")? };
        Some((weight.name.clone(), place))
    };
    let placed = |weight: &TensorProto| place(weight).ok_or_else(|| format!("weight `{}` has no place", weight.name));
    external(&graph).map(placed).collect()
}

fn external(graph: &GraphProto) -> impl Iterator<Item = &TensorProto> {
    graph.initializer.iter().filter(|weight| weight.data_location == EXTERNAL)
}

/// Gives the smallest weight that is transposed for one product alone as the product takes it; its name, and the rows that
/// it has in the checkpoint.
fn turn_smallest(graph: &mut GraphProto) -> Option<(String, u64)> {
    let uses = |name: &String| graph.node.iter().flat_map(|node| &node.input).filter(|input| *input == name).count();
    let candidate = |(index, node): (usize, &NodeProto)| {
        let [source] = node.input.as_slice() else { return None };
        let [output] = node.output.as_slice() else { return None };
        let weight = external(graph).find(|weight| weight.name == *source && weight.dims.len() == 2)?;
        let is_turned =
            node.op_type == "Transpose" && node.attribute.iter().any(|it| it.name == "perm" && it.ints == [1, 0]);
        let is_operand = |product: &NodeProto| {
            product.op_type == "MatMul" && product.input.get(1).is_some_and(|input| input == output)
        };
        let product = graph.node.iter().position(is_operand)?;
        let is_alone = uses(source) == 1 && uses(output) == 1;
        (is_turned && is_alone).then(|| (weight.dims.iter().product::<i64>(), index, product, source.clone()))
    };
    let (_, turned, product, name) = graph.node.iter().enumerate().filter_map(candidate).min()?;
    graph.node[product].input[1].clone_from(&name);
    graph.node.remove(turned);
    let weight = graph.initializer.iter_mut().find(|weight| weight.name == name)?;
    let rows = u64::try_from(*weight.dims.first()?).ok()?;
    weight.dims.reverse();
    Some((name, rows))
}

#[cfg(test)]
mod tests {
    use super::super::proto::{Attribute, StringEntry};
    use super::super::types::tests::node;
    use super::*;

    fn weight(name: &str, dims: &[i64], offset: u64) -> TensorProto {
        let entry = |key: &str, value: String| StringEntry { key: key.to_owned(), value };
        TensorProto {
            name: name.to_owned(),
            dims: dims.to_vec(),
            data_type: 1,
            data_location: EXTERNAL,
            external_data: vec![
                entry("location", "model.safetensors".to_owned()),
                entry("offset", offset.to_string()),
                entry("length", (dims.iter().product::<i64>() * 4).to_string()),
            ],
            ..TensorProto::default()
        }
    }

    fn turned(source: &str) -> NodeProto {
        node("Transpose", &[source], &format!("{source}/turned"), vec![Attribute::ints("perm", &[1, 0])])
    }

    /// Two products with transposed weights, the smaller of which is used twice.
    fn graph(offset: u64) -> GraphProto {
        GraphProto {
            initializer: vec![weight("a", &[4, 3], offset), weight("b", &[2, 4], offset + 48)],
            node: vec![
                turned("a"),
                node("MatMul", &["x", "a/turned"], "y", Vec::new()),
                turned("b"),
                node("MatMul", &["y", "b/turned"], "z", Vec::new()),
                node("Gather", &["b", "ids"], "rows", Vec::new()),
            ],
            ..GraphProto::default()
        }
    }

    fn file(graph: GraphProto) -> Vec<u8> {
        ModelProto { graph: Some(graph), ..ModelProto::default() }.encode_to_vec()
    }

    #[test]
    fn places_do_not_tell_checkpoints_apart_and_shapes_do() {
        let shared = SharedGraph::new(&file(graph(8))).unwrap();
        let other = SharedGraph::new(&file(graph(64))).unwrap();
        assert_eq!((&shared.digest, &shared.weights), (&other.digest, &other.weights));
        assert_ne!(shared.bytes, other.bytes);
        let mut wider = graph(8);
        wider.initializer[0].dims = vec![5, 3];
        assert_ne!(SharedGraph::new(&file(wider)).unwrap().digest, shared.digest);
        let places = weight_places(&shared.bytes).unwrap();
        let place = WeightPlace { file: "model.safetensors".to_owned(), offset: 56, byte_count: 32 };
        assert_eq!(places["b"], place);
    }

    #[test]
    fn one_weight_is_given_as_the_product_takes_it() {
        let shared = SharedGraph::new(&file(graph(8))).unwrap();
        assert_eq!(shared.transposed, Some(("a".to_owned(), 4)));
        let built = ModelProto::decode(shared.bytes.as_slice()).unwrap().graph.unwrap();
        assert_eq!((&built.initializer[0].dims, built.node.len()), (&vec![3, 4], 4));
        assert_eq!(built.node[0].input, ["x", "a"]);
        let mut with_convolution = graph(8);
        with_convolution.node.push(node("Conv", &["x", "a"], "c", Vec::new()));
        let shared = SharedGraph::new(&file(with_convolution.clone())).unwrap();
        assert_eq!((shared.transposed, shared.bytes), (None, file(with_convolution)));
    }

    #[test]
    fn graphs_that_cannot_be_shared_say_why() {
        let mut inside = graph(8);
        inside.initializer.iter_mut().for_each(|weight| weight.data_location = 0);
        assert_eq!(SharedGraph::new(&file(inside)).unwrap_err(), "its weights do not lie in files of their own");
        let mut without = graph(8);
        without.node.retain(|node| node.op_type != "MatMul");
        let message = SharedGraph::new(&file(without)).unwrap_err();
        assert_eq!(message, "it neither multiplies nor convolves with a weight");
    }
}
