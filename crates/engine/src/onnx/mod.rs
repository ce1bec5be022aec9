//! Writing ONNX: the file format, the graph interpreter, and where weights lie.

mod emit;
mod graph;
mod interface;
mod nodes;
mod proto;
mod prune;
mod rounded;
mod strip;
mod text;
mod types;

pub(crate) use graph::{EncodedModel, OnnxGraph, Opset, WeightPlan, WeightUse, covers};
pub(crate) use interface::GraphFacts;
pub(crate) use prune::keep_outputs;
pub use rounded::rounded_graph;
pub(crate) use strip::{SharedGraph, weight_places};
pub use text::graph_text;
pub(crate) use types::graph_needs;
