//! Writing ONNX: the graph interpreter, and where weights are; reading the graphs of engines.

mod emit;
mod file;
mod graph;
mod nodes;
mod pooling;
mod shared;

pub use file::{emulate_bf16, graph_text};
pub(crate) use file::{graph_error, graph_needs, operator_of};
pub(crate) use graph::{EncodedModel, FORMAT, OnnxGraph, Opset, WeightPlan, WeightUse, covers};
pub(crate) use shared::{SharedGraph, weight_places};
