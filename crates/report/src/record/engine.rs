//! TensorRT engines, and how many copies of each are predicted to fit.

use planforge_core::{BuilderFigures, ComputeCapability, CopyMemory, Digest, Outcome, Precision};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A TensorRT engine.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineFacts {
    /// Target, as in the variant's name: a GPU type, or several compute capabilities.
    pub gpu: String,
    /// Catalogue names of all GPU types it was requested for.
    pub gpus: Vec<String>,
    /// Requested compute capabilities.
    pub compute_capabilities: Vec<ComputeCapability>,
    /// Precision of the arithmetic.
    pub precision: Precision,
    /// Library version in the engine's header.
    pub header_version: String,
    /// Compute capabilities in the engine's header.
    pub header_compute_capabilities: Vec<ComputeCapability>,
    /// Size of the engine in bytes.
    pub byte_count: u64,
    /// Layers of the network before optimization.
    pub layer_count: u32,
    /// Memory figures from the builder's log.
    pub figures: BuilderFigures,
    /// Time of the build, including its process.
    #[serde(rename = "build_duration_seconds", alias = "build_duration", with = "planforge_types::seconds")]
    pub build_duration: Duration,
    /// Of that, the time spent in the builder's own library.
    #[serde(rename = "builder_duration_seconds", alias = "builder_duration", with = "planforge_types::seconds")]
    pub builder_duration: Duration,
    /// Peak resident memory of the build in bytes.
    pub build_peak_byte_count: u64,
    /// Digest of the engine.
    pub sha256: Digest,
    /// Built in this run, or found in the cache.
    pub outcome: Outcome,
    /// Whether it ran on a GPU; unknown in older reports.
    #[serde(default)]
    pub run: Option<EngineRunFacts>,
}

/// Whether an engine ran on the samples.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EngineRunFacts {
    /// Product name of the GPU; the comparison of its outputs is among the checks.
    On(String),
    /// Why it did not run.
    NotRun(String),
}

/// What one copy of an engine or a TorchScript module takes on a GPU, and how many are predicted to fit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanRow {
    /// The package, such as `tensorrt-fp16-l4`.
    pub variant: String,
    /// Catalogue name of the GPU type.
    pub gpu: String,
    /// Memory of one such GPU in bytes.
    pub gpu_byte_count: u64,
    /// Whether that is the memory of the board as it is sold, since what the driver reports is not known.
    #[serde(default)]
    pub is_board_memory: bool,
    /// Largest batch of its requests.
    pub max_batch: u64,
    /// Memory of one loaded copy.
    pub memory: CopyMemory,
    /// Whether all copies share the memory of their activations, as those in libtorch do: it counts once.
    #[serde(default)]
    pub shares_activations: bool,
    /// Share of the GPU's memory that copies and their CUDA context may fill.
    pub threshold: f64,
    /// Copies that fit.
    pub copies: u64,
    /// Source of the memory figures.
    pub source: PlanSource,
}

/// Source of the memory figures of a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PlanSource {
    /// The builder's log for this engine.
    Builder,
    /// Counted over the model; activations scaled by the builder's figure for another batch.
    Scaled,
    /// Counted over the model without operator fusion.
    Count,
}
