//! Which values nodes use, those in subgraphs included.

use crate::{GraphProto, NodeProto};

impl NodeProto {
    /// Names of the values that the node uses: its inputs, and what the nodes in its subgraphs use, which may be values of
    /// the graph around it.
    pub fn used_names(&self) -> impl Iterator<Item = &str> {
        self.input.iter().map(String::as_str).chain(self.subgraphs().flat_map(GraphProto::used_names))
    }

    /// The graphs among its attributes, such as the branches of an `If`.
    pub fn subgraphs(&self) -> impl Iterator<Item = &GraphProto> {
        self.attribute.iter().flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs))
    }
}

impl GraphProto {
    /// Names of the values that its nodes and its outputs use.
    #[must_use]
    pub fn used_names(&self) -> Vec<&str> {
        let by_nodes = self.node.iter().flat_map(|node| node.used_names().collect::<Vec<_>>());
        by_nodes.chain(self.output.iter().map(|output| output.name())).collect()
    }
}
