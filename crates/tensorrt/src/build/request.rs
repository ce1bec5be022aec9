//! What to build.

use crate::Error;
use planforge_types::{ComputeCapability, InputShapes};
use std::path::PathBuf;

/// What to build.
#[derive(Debug, Clone)]
pub struct BuildRequest {
    /// The ONNX graph; its external data is in the same folder.
    pub graph: PathBuf,
    /// Targets, at least one; one engine serves all of them.
    pub compute_capabilities: Vec<ComputeCapability>,
    /// Optimization profiles, at least one when the graph has dynamic dimensions.
    pub profiles: Vec<ProfileShapes>,
    /// How long the builder searches, 0 to 5; the library's default when `None`.
    pub optimization_level: Option<u8>,
    /// Most bytes of scratch memory that a layer may use on the GPU; the library's default when `None`.
    pub workspace_byte_count: Option<usize>,
    /// Weights of the graph that are left out of the engine, whose bytes then do not depend on their values. Where there are
    /// any, the graph multiplies or convolves with one of them as it is, and there is one profile at most.
    pub left_out: Vec<String>,
}

/// Shapes of every input in one optimization profile.
pub type ProfileShapes = Vec<InputShapes>;

/// An input or output of an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineTensor {
    /// Name.
    pub name: String,
    /// KServe name of the element type, such as `FP32`.
    pub data_type: String,
    /// Dimensions; -1 where dynamic.
    pub dims: Vec<i64>,
}

impl BuildRequest {
    /// The error for a graph that the parser refuses.
    pub(super) fn parse_error(&self, log: impl Into<String>) -> Error {
        Error::Parse { path: self.graph.clone(), log: log.into() }
    }
}
