//! Finds the parts of a graph that there are kernels for, and puts nodes in their place.

use super::matching::{Values, attribute, is_standard, output, pair, transposes};
use super::spelled::SpelledAttention;
use super::weights::Weights;
use super::{DOMAIN, Parts};
use planforge_kernels::{Activation, Attention, Instructions, LayerNorm, Linear};
use planforge_onnx::{Attribute, ModelProto, NodeProto, OperatorSetId, remove_unused};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Attribute that has the number of a node's part.
pub(super) const PART: &str = "part";
/// Kinds of nodes.
pub(super) const LINEAR: &str = "Linear";
pub(super) const ATTENTION: &str = "Attention";
pub(super) const NORM: &str = "LayerNorm";

/// Puts nodes for parts into `model`; the parts. None where there are none.
pub(super) fn rewrite(model: &mut ModelProto, instructions: Instructions, weights: &Weights) -> Option<Parts> {
    let graph = model.graph.as_mut()?;
    let values = Values::new(graph, weights);
    let found = Search::new(&values, instructions).run();
    let (parts, nodes) = found.build(&values, instructions)?;
    graph.node = nodes;
    // With what led to the nodes that are gone.
    remove_unused(graph);
    model.opset_import.push(OperatorSetId { domain: DOMAIN.to_owned(), version: 1 });
    Some(parts)
}

/// A product with constant weights, and what follows it.
#[derive(Debug, Clone)]
struct Product<'a> {
    x: &'a str,
    /// The name of its weights `[input, output]`, or `[output, input]` where they are transposed.
    weights: &'a str,
    transposed: bool,
    input: usize,
    output: usize,
    bias: Option<&'a str>,
    activation: Activation,
    summand: Option<&'a str>,
    /// Nodes that it stands for, the last of which gives its result.
    nodes: Vec<usize>,
}

/// All dimensions of a value but the last are those of `like`, and the last is `width`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rows<'a> {
    like: &'a str,
    width: usize,
}

/// Goes through a graph from its inputs to its outputs.
struct Search<'a> {
    values: &'a Values<'a>,
    instructions: Instructions,
    rows: HashMap<&'a str, Rows<'a>>,
    /// By the names of their results.
    products: BTreeMap<&'a str, Product<'a>>,
    /// With the results of the products that only they use.
    attentions: BTreeMap<&'a str, (SpelledAttention<'a>, Vec<&'a str>)>,
    norms: BTreeMap<&'a str, (usize, &'a NodeProto)>,
}

impl<'a> Search<'a> {
    fn new(values: &'a Values<'a>, instructions: Instructions) -> Self {
        let (rows, norms) = (HashMap::new(), BTreeMap::new());
        Self { values, instructions, rows, products: BTreeMap::new(), attentions: BTreeMap::new(), norms }
    }

    fn run(mut self) -> Self {
        for (index, node) in self.values.graph.node.iter().enumerate().filter(|(_, node)| is_standard(node)) {
            // Nothing is lost where a node is not understood.
            let _ = match node.op_type.as_str() {
                "MatMul" => self.product(index, node),
                "Add" => self.bias(index, node).or_else(|| self.summand(index, node)),
                "Gelu" | "Relu" => self.activation(index, node),
                "LayerNormalization" => self.norm(index, node),
                "Reshape" => self.attention(index, node),
                _ => None,
            };
        }
        self
    }

    /// What is known of a value that has rows of `width`.
    fn rows(&mut self, value: &'a str, width: usize) -> Rows<'a> {
        *self.rows.entry(value).or_insert(Rows { like: value, width })
    }

    fn product(&mut self, index: usize, node: &'a NodeProto) -> Option<()> {
        let [x, factor] = pair(node)?;
        let (weights, transposed) = match self.values.producer(factor) {
            Some((_, turn)) if transposes(turn, &[1, 0]) => (turn.input.first()?.as_str(), true),
            _ => (factor, false),
        };
        let (input, output_width) = match *self.values.constant_shape(weights)?.as_slice() {
            [output, input] if transposed => (input, output),
            [input, output] => (input, output),
            _ => return None,
        };
        let rows = self.rows(x, input);
        if !Linear::supports(self.instructions, output_width) || rows.width != input || input == 0 {
            return None;
        }
        let result = output(node)?;
        self.rows.insert(result, Rows { width: output_width, ..rows });
        let product = Product {
            x,
            weights,
            transposed,
            input,
            output: output_width,
            bias: None,
            activation: Activation::None,
            summand: None,
            nodes: vec![index],
        };
        self.products.insert(result, product);
        Some(())
    }

    /// Lets the product that makes `value` go on to the node `index` if only that uses it.
    fn extend(
        &mut self,
        value: &str,
        (index, node): (usize, &'a NodeProto),
        change: impl FnOnce(&mut Product<'a>) -> Option<()>,
    ) -> Option<()> {
        let result = output(node)?;
        let (name, product) = self.products.get_key_value(value).filter(|_| self.values.is_used_once(value))?;
        let (name, mut product) = (*name, product.clone());
        change(&mut product)?;
        product.nodes.push(index);
        self.products.remove(name);
        let rows = *self.rows.get(name)?;
        self.rows.insert(result, rows);
        self.products.insert(result, product);
        Some(())
    }

    fn bias(&mut self, index: usize, node: &'a NodeProto) -> Option<()> {
        let [first, second] = pair(node)?;
        let (value, bias) = if self.values.constant(second).is_some() { (first, second) } else { (second, first) };
        let [width] = *self.values.constant_shape(bias)?.as_slice() else { return None };
        self.extend(value, (index, node), |product| {
            let open = product.bias.is_none() && product.activation == Activation::None && product.summand.is_none();
            (open && product.output == width).then(|| product.bias = Some(bias))
        })
    }

    fn activation(&mut self, index: usize, node: &'a NodeProto) -> Option<()> {
        let [x] = node.input.as_slice() else { return None };
        let approximate = attribute(node, "approximate").map_or(&b"none"[..], |attribute| &attribute.s);
        let activation = match (node.op_type.as_str(), approximate) {
            ("Relu", _) => Activation::Relu,
            (_, b"none") => Activation::Gelu,
            (_, b"tanh") => Activation::GeluTanh,
            _ => return None,
        };
        self.extend(x, (index, node), |product| {
            let open = product.activation == Activation::None && product.summand.is_none();
            open.then(|| product.activation = activation)
        })
    }

    /// A sum of a product and a value of the same shape.
    fn summand(&mut self, index: usize, node: &'a NodeProto) -> Option<()> {
        let [first, second] = pair(node)?;
        let same = self.rows.get(first)? == self.rows.get(second)?;
        let mut add = |value: &'a str, summand: &'a str| {
            self.extend(value, (index, node), |product| {
                (same && value != summand && product.summand.is_none()).then(|| product.summand = Some(summand))
            })
        };
        add(first, second).or_else(|| add(second, first)).or_else(|| {
            let (rows, result) = (*self.rows.get(first)?, output(node)?);
            same.then(|| self.rows.insert(result, rows)).map(|_| ())
        })
    }

    fn norm(&mut self, index: usize, node: &'a NodeProto) -> Option<()> {
        let [x, weight, _] = node.input.as_slice() else { return None };
        let [width] = *self.values.constant_shape(weight)?.as_slice() else { return None };
        // With one weight for all, the width is not known.
        let rows = (width > 1).then(|| self.rows(x, width)).filter(|rows| rows.width == width)?;
        let result = output(node)?;
        let last = attribute(node, "axis").is_none_or(|axis| axis.i == -1);
        let wide = attribute(node, "stash_type").is_none_or(|kind| kind.i == 1);
        if !(last && wide) {
            return None;
        }
        self.rows.insert(result, rows);
        if LayerNorm::supports(self.instructions, width) {
            self.norms.insert(result, (index, node));
        }
        Some(())
    }

    /// Attention that ends in this node, which puts the heads side by side.
    fn attention(&mut self, index: usize, node: &'a NodeProto) -> Option<()> {
        let mut spelled = SpelledAttention::ending_in(self.values, (index, node))?;
        if !Attention::supports(self.instructions, spelled.head_width) {
            return None;
        }
        let width = spelled.heads * spelled.head_width;
        let (products, split) = self.sources(spelled.query_key_value, width)?;
        spelled.nodes.extend(split);
        let rows = Rows { width, ..*self.rows.get(products[0])? };
        let result = output(node)?;
        self.rows.insert(result, rows);
        self.attentions.insert(result, (spelled, products));
        Some(())
    }

    /// The products that queries, keys and values come from, three or one, and the node that splits the one.
    fn sources(&self, parts: [&'a str; 3], width: usize) -> Option<(Vec<&'a str>, Option<usize>)> {
        let plain = |name: &str| {
            let product = self.products.get(name).filter(|_| self.values.is_used_once(name))?;
            (product.activation == Activation::None && product.summand.is_none()).then_some(product)
        };
        if let Some((index, split)) = self.values.only_for_one(parts[0], "Split") {
            let whole = split.input.first()?.as_str();
            let sizes = self.values.integers(split.input.get(1)?)?;
            let in_order = split.output == parts && parts.iter().all(|part| self.values.is_used_once(part));
            let last = attribute(split, "axis").is_some_and(|axis| axis.i == -1);
            let thirds = sizes.iter().all(|&size| usize::try_from(size) == Ok(width));
            let (name, product) = self.products.get_key_value(whole).filter(|_| plain(whole).is_some())?;
            return (in_order && last && thirds && product.output == 3 * width).then(|| (vec![*name], Some(index)));
        }
        let found: Vec<_> = parts.iter().map(|part| plain(part)).collect::<Option<_>>()?;
        let x = found[0].x;
        found.iter().all(|product| product.x == x && product.output == width).then(|| (parts.to_vec(), None))
    }

    /// The parts, and the graph's nodes with theirs.
    fn build(mut self, values: &Values<'_>, instructions: Instructions) -> Option<(Parts, Vec<NodeProto>)> {
        let mut parts = Parts::default();
        let mut replaced: HashSet<usize> = HashSet::new();
        let mut added: BTreeMap<usize, Vec<NodeProto>> = BTreeMap::new();
        for (result, (spelled, names)) in std::mem::take(&mut self.attentions) {
            let products: Vec<Product<'_>> = names.iter().filter_map(|name| self.products.get(name).cloned()).collect();
            let Some(linear) = linear(values, instructions, &products) else { continue };
            names.iter().for_each(|name| drop(self.products.remove(name)));
            let position = spelled.nodes.iter().copied().max()?;
            replaced.extend(products.iter().flat_map(|product| &product.nodes).chain(&spelled.nodes));
            let joined = format!("{result}/query_key_value");
            let inputs = [vec![joined.as_str()], spelled.summands].concat();
            added.entry(position).or_default().extend([
                node(LINEAR, parts.linears.len(), &[products[0].x], &joined),
                node(ATTENTION, parts.attentions.len(), &inputs, result),
            ]);
            parts.linears.push(linear);
            parts.attentions.push(Attention::new(instructions, spelled.heads, spelled.head_width, spelled.scale));
        }
        for (result, product) in &self.products {
            let Some(linear) = linear(values, instructions, std::slice::from_ref(product)) else { continue };
            let inputs: Vec<_> = [product.x].into_iter().chain(product.summand).collect();
            let position = product.nodes.iter().copied().max()?;
            replaced.extend(&product.nodes);
            added.entry(position).or_default().push(node(LINEAR, parts.linears.len(), &inputs, result));
            parts.linears.push(linear);
        }
        for (result, (index, old)) in &self.norms {
            let Some((norm, x)) = norm(values, instructions, old) else { continue };
            replaced.insert(*index);
            added.entry(*index).or_default().push(node(NORM, parts.norms.len(), &[x], result));
            parts.norms.push(norm);
        }
        let mut nodes = Vec::new();
        for (index, node) in values.graph.node.iter().enumerate() {
            nodes.extend((!replaced.contains(&index)).then(|| node.clone()));
            nodes.extend(added.remove(&index).unwrap_or_default());
        }
        (!replaced.is_empty()).then_some((parts, nodes))
    }
}

/// One product for all of `products`, which have one input; their results side by side. None where weights cannot be read.
fn linear(values: &Values<'_>, instructions: Instructions, products: &[Product<'_>]) -> Option<Linear> {
    let first = products.first()?;
    let mut weights = Vec::new();
    let mut bias = Vec::new();
    for product in products {
        weights.push(values.weights.floats(values.constant(product.weights)?)?);
        match product.bias {
            Some(name) => bias.extend(values.list(name, product.output)?),
            None => bias.resize(bias.len() + product.output, 0.0),
        }
    }
    let width = first.output;
    let weight = |row: usize, column: usize| {
        let (product, column) = (column / width, column % width);
        let place = if products[product].transposed { column * first.input + row } else { row * width + column };
        weights[product][place]
    };
    Some(Linear::new(instructions, first.input, &bias, first.activation, weight))
}

/// The part of a `LayerNormalization`, and its input.
fn norm<'a>(values: &Values<'_>, instructions: Instructions, node: &'a NodeProto) -> Option<(LayerNorm, &'a str)> {
    let [x, weight, bias] = node.input.as_slice() else { return None };
    let width = *values.constant_shape(weight)?.first()?;
    let (weight, bias) = (values.list(weight, width)?, values.list(bias, width)?);
    let epsilon = attribute(node, "epsilon").map_or(1e-5, |epsilon| epsilon.f);
    Some((LayerNorm::new(instructions, &weight, &bias, epsilon), x))
}

fn node(kind: &str, part: usize, inputs: &[&str], result: &str) -> NodeProto {
    NodeProto {
        input: inputs.iter().map(|&name| name.to_owned()).collect(),
        output: vec![result.to_owned()],
        name: result.to_owned(),
        op_type: kind.to_owned(),
        attribute: vec![Attribute::int(PART, i64::try_from(part).unwrap_or(i64::MAX))],
        domain: DOMAIN.to_owned(),
    }
}
