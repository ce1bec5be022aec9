//! What the worker builds.

use planforge_core::{BuilderOptions, ComputeCapability, InputShapes, Precision};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// One engine to build, and where to put it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkerRequest {
    /// Folder of the two TensorRT-RTX libraries.
    pub libraries: PathBuf,
    /// The ONNX graph.
    pub graph: PathBuf,
    /// Targets.
    pub compute_capabilities: Vec<ComputeCapability>,
    /// For each profile, the shapes of every input.
    pub profiles: Vec<Vec<InputShapes>>,
    /// Builder options other than profiles.
    pub options: BuilderOptions,
    /// Weights of the graph that TensorRT-RTX leaves out of the engine.
    pub left_out: Vec<String>,
    /// The tool to build with; the libraries of TensorRT-RTX when `None`.
    pub tool: Option<WorkerTool>,
    /// Path of the engine.
    pub plan: PathBuf,
    /// Path of the log.
    pub log: PathBuf,
}

/// `trtexec`, and what only a build with it needs.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkerTool {
    /// `trtexec`.
    pub program: PathBuf,
    /// Arithmetic of the graph.
    pub precision: Precision,
    /// Whether the graph has values in another precision.
    pub mixes_types: bool,
    /// Timings of this GPU type and version; one build at a time uses them.
    pub timing_cache: PathBuf,
}
