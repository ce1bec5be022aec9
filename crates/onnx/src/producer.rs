//! Which operator computes a value.

use crate::GraphProto;

/// Operators that keep the values of their first input, and change their shape or type.
const KEEPING_VALUES: [&str; 8] =
    ["Cast", "DequantizeLinear", "Flatten", "Identity", "QuantizeLinear", "Reshape", "Squeeze", "Unsqueeze"];

impl GraphProto {
    /// The operator that computes the values of `name`, before those that only change their shape or type; none for inputs
    /// and weights.
    #[must_use]
    pub fn operator_of(&self, name: &str) -> Option<&str> {
        let mut name = name;
        // As many steps as nodes: a damaged graph may have a cycle.
        for _ in &self.node {
            let node = self.node.iter().find(|node| node.output.iter().any(|output| output == name))?;
            if !KEEPING_VALUES.contains(&node.op_type()) {
                return Some(node.op_type());
            }
            name = node.input.first()?;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NodeProto;

    #[test]
    fn an_operator_is_found_behind_those_that_keep_the_values() {
        let node = |operator: &str, from: &str, to: &str| {
            NodeProto::new(operator, vec![from.to_owned()], vec![to.to_owned()], Vec::new())
        };
        let nodes = vec![
            node("MatMul", "x", "scores"),
            node("Softmax", "scores", "a"),
            node("Squeeze", "a", "b"),
            node("Identity", "b", "prob"),
            node("Identity", "loop", "loop"),
        ];
        let graph = GraphProto { node: nodes, ..GraphProto::default() };
        assert_eq!(graph.operator_of("prob"), Some("Softmax"));
        assert_eq!(graph.operator_of("scores"), Some("MatMul"));
        assert_eq!([graph.operator_of("x"), graph.operator_of("loop")], [None, None]);
    }
}
