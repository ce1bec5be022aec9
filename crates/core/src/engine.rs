//! The record of an engine: what it was built for and from, and its builder's figures.

use crate::{Builder, BuilderOptions, ComputeCapability, Digest, Precision, Profile, TensorSpec};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// A TensorRT engine.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Engine {
    /// What it is for, as in [`crate::Variant::gpu`].
    pub gpu: String,
    /// Catalogue names of all GPU types it was asked for.
    pub gpus: Vec<String>,
    /// Compute capabilities it was built for, ascending.
    pub compute_capabilities: Vec<ComputeCapability>,
    /// Arithmetic.
    pub precision: Precision,
    /// What built it.
    pub builder: Builder,
    /// Options of the builder besides the profiles.
    pub builder_options: BuilderOptions,
    /// Optimization profiles it was built with.
    pub profiles: Vec<Profile>,
    /// The engine file.
    pub plan: String,
    /// The builder's log.
    pub log: String,
    /// The list of the weights that it lacks ([`crate::EngineWeights`]), where it was built without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<String>,
    /// Digest of the exported graph it was made from; without the places of its weights where the engine lacks them.
    pub graph: Option<Digest>,
    /// The engine's own header.
    pub header: EngineHeader,
    /// Inputs, in order.
    pub inputs: Vec<TensorSpec>,
    /// Outputs, in order.
    pub outputs: Vec<TensorSpec>,
    /// How many layers of the network give values of each element type, by KServe name.
    #[serde(default)]
    pub layer_counts: BTreeMap<String, u32>,
    /// Layers of the network that the builder was given.
    pub layer_count: u32,
    /// What the builder's log reports of the engine.
    pub figures: BuilderFigures,
    /// Peak resident memory of the build process in bytes.
    pub build_peak_byte_count: u64,
    /// Time the build took, from the start of its process to the end.
    #[serde(rename = "build_duration_seconds", alias = "build_duration", with = "planforge_types::seconds")]
    pub build_duration: Duration,
    /// Of that, the time spent in the builder's own library.
    #[serde(rename = "builder_duration_seconds", alias = "builder_duration", with = "planforge_types::seconds")]
    pub builder_duration: Duration,
}

/// What a builder's log reports of an engine; none where it has no such line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BuilderFigures {
    /// Bytes of the weights on the GPU.
    pub weight_byte_count: Option<u64>,
    /// Bytes of intermediate values and scratch memory that one execution takes on the GPU, at the largest shapes.
    pub activation_byte_count: Option<u64>,
    /// Of those, the scratch memory of the layer that needs most.
    pub scratch_byte_count: Option<u64>,
    /// Bytes that stay on the GPU between executions, besides the weights.
    pub persistent_byte_count: Option<u64>,
    /// Build time that the builder reports.
    #[serde(
        rename = "generation_duration_seconds",
        alias = "generation_duration",
        default,
        with = "planforge_types::seconds::optional"
    )]
    pub generation_duration: Option<Duration>,
}

/// The readable part of a serialized TensorRT-RTX engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineHeader {
    /// Library version, such as `1.7.1.116`.
    pub version: String,
    /// Compute capabilities the engine runs on.
    pub compute_capabilities: Vec<ComputeCapability>,
}
