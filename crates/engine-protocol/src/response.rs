//! What the worker built, or why it did not.

use planforge_core::{ComputeCapability, DataType, Digest, EngineWeight};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// An input or output of an engine.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkerTensor {
    /// Its name.
    pub name: String,
    /// Its element type; none for one that planforge does not serve.
    pub data_type: Option<DataType>,
    /// Its dimensions; -1 where dynamic.
    pub dims: Vec<i64>,
}

/// A layer that multiplies.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkerProduct {
    /// Name of its output in the graph.
    pub output: String,
    /// Names of its inputs.
    pub inputs: Vec<String>,
    /// KServe name of the type it multiplies in, which may be one that planforge does not serve, such as FP8.
    pub data_type: String,
}

/// The engine that was built.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkerResponse {
    /// Library version in the engine's header.
    pub version: String,
    /// Digest of the engine, where the worker itself wrote the file.
    pub plan_sha256: Option<Digest>,
    /// Compute capabilities in the engine's header.
    pub compute_capabilities: Vec<ComputeCapability>,
    /// Inputs of the network.
    pub inputs: Vec<WorkerTensor>,
    /// Outputs of the network.
    pub outputs: Vec<WorkerTensor>,
    /// Layers of the parsed network.
    pub layer_count: u32,
    /// How many layers of the network give values of each element type, by KServe name.
    pub layer_counts: BTreeMap<String, u32>,
    /// The network's convolutions and products of matrices.
    pub products: Vec<WorkerProduct>,
    /// Weights that the engine may lack, and what they are made of.
    pub left_out: Vec<EngineWeight<String>>,
    /// Whether another build of the same request gives the same bytes.
    pub is_repeatable: bool,
    /// Peak resident memory of the worker in bytes.
    pub peak_byte_count: u64,
    /// Time spent in the library.
    pub builder_duration: Duration,
}

/// Why nothing was built.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkerFailure {
    /// What failed.
    pub reason: FailureReason,
    /// The error and its causes in one line.
    pub message: String,
}

/// What kept a worker from building an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureReason {
    /// A native library is missing.
    MissingLibrary,
    /// A disk is full or read-only.
    Disk,
    /// Anything else.
    Build,
}
