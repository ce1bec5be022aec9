//! Writing ONNX: the file format, the graph interpreter, and where weights lie.

mod graph;
mod nodes;
mod proto;

pub(crate) use graph::{OPSET, OnnxGraph, WeightPlan, WeightUse};
