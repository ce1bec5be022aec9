//! Reading graphs from files.

use crate::{Error, Result};
use planforge_core::{MAX_GRAPH_BYTE_COUNT, read_file};
use planforge_onnx::{GraphNeeds, ModelProto, model_text, parse_model};
use std::path::Path;

/// The graph in an ONNX file as text: inputs, weights, nodes in order, outputs, and how often each operator occurs.
///
/// # Errors
/// [`Error::Graph`] when the file is not an ONNX graph.
pub fn graph_text(path: &Path) -> Result<String> {
    let bytes = read_file(path, MAX_GRAPH_BYTE_COUNT)?;
    parse_model(&bytes).and_then(|model| model_text(&model)).map_err(|error| graph_error(path, &error))
}

/// What the graph in an ONNX file needs.
///
/// # Errors
/// [`Error::Graph`] when the file is not an ONNX graph.
pub(crate) fn graph_needs(path: &Path) -> Result<GraphNeeds> {
    let bytes = read_file(path, MAX_GRAPH_BYTE_COUNT)?;
    let graph = parse_model(&bytes).and_then(ModelProto::into_graph);
    Ok(GraphNeeds::of(&graph.map_err(|error| graph_error(path, &error))?))
}

/// The operator that computes the values of an output of the graph in an ONNX file; none for an output that is an input.
///
/// # Errors
/// [`Error::Graph`] when the file is not an ONNX graph.
pub(crate) fn operator_of(path: &Path, output: &str) -> Result<Option<String>> {
    let graph = parse_model(&read_file(path, MAX_GRAPH_BYTE_COUNT)?).and_then(ModelProto::into_graph);
    let graph = graph.map_err(|error| graph_error(path, &error))?;
    Ok(graph.operator_of(output).map(str::to_owned))
}

/// The bf16 graph in the file `path`, each of whose operators runs in binary32 on the same values and has its result rounded
/// to bfloat16, as GPUs do that add up in binary32. Weights stay where they are, next to that file.
///
/// # Errors
/// [`Error::Graph`] when the file is not an ONNX graph, and I/O errors.
pub fn emulate_bf16(path: &Path) -> Result<Vec<u8>> {
    planforge_onnx::emulate_bf16(&read_file(path, MAX_GRAPH_BYTE_COUNT)?).map_err(|error| graph_error(path, &error))
}

/// The error for the graph in the file `path`.
pub(crate) fn graph_error(path: &Path, error: &planforge_onnx::Error) -> Error {
    Error::Graph { path: path.to_owned(), message: error.to_string() }
}
