//! A graph as it is looked at to find parts in it.

use super::weights::{Weights, float_shape, integers};
use planforge_onnx::{Attribute, GraphProto, NodeProto, TensorProto};
use std::collections::HashMap;

/// Names of values, and who makes and takes them.
pub(super) struct Values<'a> {
    pub(super) graph: &'a GraphProto,
    pub(super) weights: &'a Weights,
    constants: HashMap<&'a str, &'a TensorProto>,
    producers: HashMap<&'a str, usize>,
    uses: HashMap<&'a str, usize>,
}

impl<'a> Values<'a> {
    pub(super) fn new(graph: &'a GraphProto, weights: &'a Weights) -> Self {
        let constants = graph.initializer.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
        let made = graph.node.iter().enumerate();
        let producers =
            made.flat_map(|(index, node)| node.output.iter().map(move |name| (name.as_str(), index))).collect();
        let mut uses = HashMap::new();
        let taken =
            graph.node.iter().flat_map(|node| &node.input).chain(graph.output.iter().map(|output| &output.name));
        taken.for_each(|name| *uses.entry(name.as_str()).or_default() += 1);
        Self { graph, weights, constants, producers, uses }
    }

    /// The node that makes a value, and its number.
    pub(super) fn producer(&self, value: &str) -> Option<(usize, &'a NodeProto)> {
        self.producers.get(value).map(|&index| (index, &self.graph.node[index]))
    }

    /// The node that makes a value, if it is of this kind and nobody but one node takes the value.
    pub(super) fn only_for_one(&self, value: &str, op: &str) -> Option<(usize, &'a NodeProto)> {
        self.producer(value).filter(|(_, node)| self.is_used_once(value) && is(node, op))
    }

    pub(super) fn is_used_once(&self, value: &str) -> bool {
        self.uses.get(value) == Some(&1)
    }

    pub(super) fn constant(&self, value: &str) -> Option<&'a TensorProto> {
        self.constants.get(value).copied()
    }

    /// Sizes of a constant of 32-bit floats.
    pub(super) fn constant_shape(&self, value: &str) -> Option<Vec<usize>> {
        self.constant(value).and_then(float_shape)
    }

    /// A constant list of integers.
    pub(super) fn integers(&self, value: &str) -> Option<Vec<i64>> {
        self.constant(value).and_then(integers)
    }

    /// A constant of one number.
    pub(super) fn number(&self, value: &str) -> Option<f32> {
        match self.weights.floats(self.constant(value)?)?.as_slice() {
            [number] => Some(*number),
            _ => None,
        }
    }

    /// A constant list of `width` numbers.
    pub(super) fn list(&self, value: &str, width: usize) -> Option<Vec<f32>> {
        self.constant_shape(value).filter(|shape| *shape == [width])?;
        self.weights.floats(self.constant(value)?)
    }
}

/// Whether a node is one of ONNX's own operators.
pub(super) fn is_standard(node: &NodeProto) -> bool {
    ["", "ai.onnx"].contains(&node.domain.as_str())
}

/// Whether it is the one of this name.
fn is(node: &NodeProto, op: &str) -> bool {
    is_standard(node) && node.op_type == op
}

/// A node's attribute.
pub(super) fn attribute<'a>(node: &'a NodeProto, name: &str) -> Option<&'a Attribute> {
    node.attribute.iter().find(|attribute| attribute.name == name)
}

/// Whether a `Transpose` puts dimensions in this order.
pub(super) fn transposes(node: &NodeProto, order: &[i64]) -> bool {
    is(node, "Transpose") && attribute(node, "perm").is_some_and(|attribute| attribute.ints == order)
}

/// The inputs of a node that has two.
pub(super) fn pair(node: &NodeProto) -> Option<[&str; 2]> {
    match node.input.as_slice() {
        [first, second] => Some([first, second]),
        _ => None,
    }
}

/// The only output of a node.
pub(super) fn output(node: &NodeProto) -> Option<&str> {
    match node.output.as_slice() {
        [only] => Some(only),
        _ => None,
    }
}
