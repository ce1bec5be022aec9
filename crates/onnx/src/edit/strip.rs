//! A graph as engines are built from it that many checkpoints share: without the values of its weights.

use crate::{Error, GraphProto, NodeProto, Result, TensorProto, parse_editable_model};
use prost::Message;

/// Operators whose weights the parser makes placeholders of (`NvOnnxParser.h`, `IParser::setRefitObserver`).
const WITH_PLACEHOLDERS: [&str; 3] = ["Conv", "Gemm", "MatMul"];

/// What an engine without weights is built from.
#[derive(Debug)]
pub struct StrippedGraph {
    /// The file. Its weights are where the checkpoint has them.
    pub bytes: Vec<u8>,
    /// The file without the places of its weights: the same for all checkpoints of an architecture.
    pub without_places: Vec<u8>,
    /// Names of the weights in other files, in order.
    pub weights: Vec<String>,
    /// The weight, if there is one, that the graph has in the other order than the checkpoint.
    pub transposed: Option<Transposed>,
}

/// A matrix that the graph has in the other order than its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transposed {
    /// Name of the weight.
    pub name: String,
    /// Rows that it has in its file.
    pub rows: u64,
}

/// The graph of the ONNX file `bytes` for an engine without weights. TensorRT-RTX builds a network without a GPU where one
/// weight is a placeholder, so where a graph multiplies with transposed weights alone, one of them gets the order in which
/// it is multiplied.
///
/// # Errors
/// [`Error::Decode`], [`Error::UnknownField`], [`Error::NoGraph`], [`Error::NoExternalWeights`], and
/// [`Error::NoWeightOperator`].
pub fn strip_weights(bytes: &[u8]) -> Result<StrippedGraph> {
    let mut model = parse_editable_model(bytes)?;
    let graph = model.graph_mut()?;
    let weights: Vec<String> = external(graph).map(|weight| weight.name().to_owned()).collect();
    if weights.is_empty() {
        return Err(Error::NoExternalWeights);
    }
    let is_weight = |name: &String| weights.contains(name);
    let has_placeholder =
        |node: &NodeProto| WITH_PLACEHOLDERS.contains(&node.op_type()) && node.input.iter().any(is_weight);
    let transposed = if graph.node.iter().any(has_placeholder) {
        None
    } else {
        Some(transpose_smallest(graph).ok_or(Error::NoWeightOperator)?)
    };
    let bytes = model.encode_to_vec();
    for weight in model.graph.iter_mut().flat_map(|graph| &mut graph.initializer) {
        weight.external_data.clear();
    }
    Ok(StrippedGraph { bytes, without_places: model.encode_to_vec(), weights, transposed })
}

fn external(graph: &GraphProto) -> impl Iterator<Item = &TensorProto> {
    graph.initializer.iter().filter(|weight| weight.is_external())
}

/// A matrix that one `Transpose` alone takes, for one `MatMul` alone.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    element_count: i64,
    transpose: usize,
    product: usize,
    name: String,
}

/// Transposes the smallest candidate, and takes its `Transpose` out of the graph.
fn transpose_smallest(graph: &mut GraphProto) -> Option<Transposed> {
    let candidates = graph.node.iter().enumerate().filter_map(|(index, node)| candidate(graph, index, node));
    let Candidate { transpose, product, name, .. } = candidates.min()?;
    graph.node[product].input[1].clone_from(&name);
    let removed = graph.node.remove(transpose).output;
    graph.value_info.retain(|value| !removed.iter().any(|name| name == value.name()));
    let weight = graph.initializer.iter_mut().find(|weight| weight.name() == name)?;
    let rows = u64::try_from(*weight.dims.first()?).ok()?;
    weight.dims.reverse();
    Some(Transposed { name, rows })
}

fn candidate(graph: &GraphProto, transpose: usize, node: &NodeProto) -> Option<Candidate> {
    let [source] = node.input.as_slice() else { return None };
    let [output] = node.output.as_slice() else { return None };
    let is_transpose = node.op_type() == "Transpose" && node.attribute("perm").is_some_and(|perm| perm.ints == [1, 0]);
    let weight = external(graph).find(|weight| weight.name() == source && weight.dims.len() == 2)?;
    let is_operand = |product: &NodeProto| {
        product.op_type() == "MatMul" && product.input.get(1).is_some_and(|input| input == output)
    };
    let product = graph.node.iter().position(is_operand)?;
    // Another description of the weight or of what is taken out would not hold any more.
    let mut described = graph.input.iter().chain(&graph.value_info).map(|value| value.name());
    let mut annotated = graph.quantization_annotation.iter().map(|annotation| annotation.tensor_name());
    let is_alone = uses(graph, source) == 1 && uses(graph, output) == 1;
    let is_free = !described.any(|name| name == source) && !annotated.any(|name| name == source || name == output);
    let element_count = weight.dims.iter().copied().fold(1, i64::saturating_mul);
    (is_transpose && is_alone && is_free).then(|| Candidate { element_count, transpose, product, name: source.clone() })
}

fn uses(graph: &GraphProto, name: &str) -> usize {
    graph.used_names().into_iter().filter(|used| *used == name).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor_proto::DataLocation;
    use crate::{AttributeProto, ElementType, ModelProto};

    fn node(op: &str, inputs: &[&str], output: &str, attribute: Vec<AttributeProto>) -> NodeProto {
        NodeProto::new(op, inputs.iter().map(|&name| name.to_owned()).collect(), vec![output.to_owned()], attribute)
    }

    fn weight(name: &str, dims: &[i64], offset: u64) -> TensorProto {
        let length = u64::try_from(dims.iter().product::<i64>() * 4).unwrap();
        TensorProto::new(name, ElementType::Float, dims.to_vec()).with_external_data(
            "model.safetensors",
            offset,
            length,
        )
    }

    fn transpose(source: &str) -> NodeProto {
        node("Transpose", &[source], &format!("{source}/turned"), vec![AttributeProto::ints("perm", &[1, 0])])
    }

    /// Two products with transposed weights, the smaller of which is used twice.
    fn graph(offset: u64) -> GraphProto {
        GraphProto {
            initializer: vec![weight("a", &[4, 3], offset), weight("b", &[2, 4], offset + 48)],
            node: vec![
                transpose("a"),
                node("MatMul", &["x", "a/turned"], "y", Vec::new()),
                transpose("b"),
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
        let stripped = strip_weights(&file(graph(8))).unwrap();
        let other = strip_weights(&file(graph(64))).unwrap();
        assert_eq!((&stripped.without_places, &stripped.weights), (&other.without_places, &other.weights));
        assert_ne!(stripped.bytes, other.bytes);
        let mut wider = graph(8);
        wider.initializer[0].dims = vec![5, 3];
        assert_ne!(strip_weights(&file(wider)).unwrap().without_places, stripped.without_places);
    }

    #[test]
    fn one_weight_has_the_order_that_the_product_takes() {
        let stripped = strip_weights(&file(graph(8))).unwrap();
        assert_eq!(stripped.transposed, Some(Transposed { name: "a".to_owned(), rows: 4 }));
        let built = ModelProto::decode(stripped.bytes.as_slice()).unwrap().graph.unwrap();
        assert_eq!((&built.initializer[0].dims, built.node.len()), (&vec![3, 4], 4));
        assert_eq!(built.node[0].input, ["x", "a"]);
        let mut with_convolution = graph(8);
        with_convolution.node.push(node("Conv", &["x", "a"], "c", Vec::new()));
        let stripped = strip_weights(&file(with_convolution.clone())).unwrap();
        assert_eq!((stripped.transposed, stripped.bytes), (None, file(with_convolution)));
    }

    #[test]
    fn graphs_that_cannot_be_shared_have_a_reason() {
        let mut inside = graph(8);
        inside.initializer.iter_mut().for_each(|weight| weight.data_location = Some(DataLocation::Default.into()));
        assert!(matches!(strip_weights(&file(inside)), Err(Error::NoExternalWeights)));
        let mut without = graph(8);
        without.node.retain(|node| node.op_type() != "MatMul");
        assert!(matches!(strip_weights(&file(without)), Err(Error::NoWeightOperator)));
    }
}
