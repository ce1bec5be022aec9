//! The tables of a pipeline file and their defaults.

use super::values::{Copies, ImageSize, MaxBatch, MemorySize, OptimizationLevel, StorageClass, Threshold};
use crate::{Builder, HardwareCompatibility, ModelFormat, OnnxBackend, Platform, Precision};
use bytesize::ByteSize;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A repository on the Hub, or a folder laid out like one.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceSpec {
    /// `owner/name` on the Hub.
    pub repo: Option<String>,
    /// Branch, tag or commit; `main` when left out.
    #[serde(default = "default_revision")]
    pub revision: String,
    /// A local folder instead, relative to the pipeline file.
    pub path: Option<PathBuf>,
    /// An ONNX file of the repository that is taken as it is, for architectures that planforge does not describe.
    pub graph: Option<String>,
}

fn default_revision() -> String {
    "main".to_owned()
}

/// `[export]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ExportSpec {
    /// Formats to export to: ONNX, which packages and engines are made from, and perhaps TorchScript.
    pub formats: Vec<ModelFormat>,
    /// Precisions to export.
    pub precisions: Vec<Precision>,
    /// What the exported model is run on: sentences, or files of pictures relative to the pipeline file.
    pub samples: Option<Vec<String>>,
    /// Size of pictures; the checkpoint's own when left out.
    pub image_size: Option<ImageSize>,
    /// Whether the samples are run in fp32 before an fp16 export, to find the values that binary16 would not hold.
    pub measure_ranges: bool,
    /// Whether weights are written into the ONNX file itself, which may then be moved on its own; at most 2 GiB.
    pub self_contained: bool,
    /// Values to keep in fp32 in an fp16 or bf16 export, whatever their range: names, or scopes such as `blocks.3`.
    pub keep_fp32: Vec<String>,
}

impl Default for ExportSpec {
    fn default() -> Self {
        Self {
            formats: vec![ModelFormat::Onnx],
            precisions: vec![Precision::Fp32],
            samples: None,
            image_size: None,
            measure_ranges: true,
            self_contained: false,
            keep_fp32: Vec::new(),
        }
    }
}

/// Sentences for pipelines that name none.
pub(super) const SENTENCES: [&str; 2] = [
    "A small sample that every export is run on.",
    "The second one is longer, so that the first needs padding and the attention mask matters.",
];

/// `[compile]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CompileSpec {
    /// What builds the engines.
    pub builder: Builder,
    /// GPU types by catalogue name; `all` stands for every one in AWS's instances that the builder knows.
    pub gpus: Vec<String>,
    /// Whether one engine for all GPU types is built rather than one for each.
    pub fat: bool,
    /// Whether the profiles' largest batch is taken as it is, or lowered so that more copies fit.
    pub max_batch: MaxBatch,
    /// How long the builder searches; its own default (3) when left out.
    pub optimization_level: Option<OptimizationLevel>,
    /// Most scratch memory on the GPU that a layer may use; the builder's own limit when left out. TensorRT-RTX 1.7 takes
    /// a whole network as one layer, so that all activations at the largest shapes must fit.
    pub workspace: Option<MemorySize>,
    /// Whether weights are left out of the engine, to be put in when it is loaded: checkpoints of one architecture then
    /// share it.
    pub strip_weights: bool,
    /// Whether later versions of TensorRT load the plan too; builder `trtexec` only.
    pub version_compatible: bool,
    /// Which other GPUs the plan runs on; builder `trtexec` only.
    pub hardware_compatibility: HardwareCompatibility,
    /// The release of Triton, such as "25.09", that is to load the plans; builder `trtexec` only.
    pub triton: Option<String>,
    /// A file with further GPU types, relative to the pipeline file.
    pub catalogue: Option<PathBuf>,
    /// Outputs of the engines; the one that the task is about when left out.
    pub outputs: Option<Vec<String>>,
    /// Most seconds one engine may take.
    pub timeout_seconds: u64,
}

impl Default for CompileSpec {
    fn default() -> Self {
        Self {
            builder: Builder::Rtx,
            gpus: Vec::new(),
            fat: false,
            max_batch: MaxBatch::Profile,
            optimization_level: None,
            workspace: None,
            strip_weights: false,
            version_compatible: false,
            hardware_compatibility: HardwareCompatibility::None,
            triton: None,
            catalogue: None,
            outputs: None,
            timeout_seconds: 1800,
        }
    }
}

/// `[package]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PackageSpec {
    /// Platforms to package for.
    pub platforms: Vec<Platform>,
    /// Precisions of platform `pytorch`; those of `export.precisions` when left out.
    pub pytorch_precisions: Option<Vec<Precision>>,
    /// What serves ONNX exports in Triton.
    pub onnx_backend: OnnxBackend,
    /// Whether archives carry planforge's Triton backend along, for servers that do not have it installed. It is
    /// loaded once for each archive then; ONNX Runtime is shared in any case.
    pub include_backend: bool,
    /// Whether an archive's files lie in a folder of the model's name.
    pub top_folder: bool,
    /// Whether one archive carries the engines for all GPU types, of which the server takes the one for its own, rather
    /// than one archive for each.
    pub fat: bool,
    /// Number of copies to publish.
    pub copies: Copies,
}

impl Default for PackageSpec {
    fn default() -> Self {
        Self {
            platforms: vec![Platform::Onnx],
            pytorch_precisions: None,
            onnx_backend: OnnxBackend::Onnxruntime,
            include_backend: false,
            top_folder: true,
            fat: false,
            copies: Copies(8),
        }
    }
}

/// `[store]`. All keys but `url` are for `s3://` alone.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreSpec {
    /// `file:///folder` or `s3://bucket/prefix`; the run's own `store` folder when left out.
    pub url: Option<String>,
    /// The bucket's region; that of AWS's standard chain when left out.
    pub region: Option<String>,
    /// Whether the bucket is named in the path rather than in the host; only at endpoints other than AWS's when left out.
    pub path_style: Option<bool>,
    /// Key of AWS KMS that objects are encrypted with: its number, ARN or `alias/name`; the bucket's own default when
    /// left out.
    pub kms_key: Option<String>,
    /// What objects are kept in; the bucket's own default when left out.
    pub storage_class: Option<StorageClass>,
    /// Tags of every object.
    pub tags: BTreeMap<String, String>,
    /// Most seconds that one request may take before it is tried again.
    pub timeout_seconds: u64,
}

impl Default for StoreSpec {
    fn default() -> Self {
        Self {
            url: None,
            region: None,
            path_style: None,
            kms_key: None,
            storage_class: None,
            tags: BTreeMap::new(),
            timeout_seconds: 300,
        }
    }
}

/// `[host]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HostSpec {
    /// Variant behind the endpoint, such as `onnx-fp32`; the first ONNX one when left out.
    pub variant: Option<String>,
    /// Memory that loaded models may take together.
    pub memory: MemorySize,
    /// Threads of one inference.
    pub intra_op_threads: usize,
}

impl Default for HostSpec {
    fn default() -> Self {
        Self { variant: None, memory: MemorySize(ByteSize::gib(1)), intra_op_threads: 1 }
    }
}

/// `[probe]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProbeSpec {
    /// Share of the memory budget that loaded copies may fill.
    pub threshold: Threshold,
    /// Batch of the request sent to each copy; the first profile's `opt` when left out.
    pub batch: Option<u64>,
    /// Tokens of each of its texts; the first profile's `opt` when left out.
    pub sequence: Option<u64>,
}

impl Default for ProbeSpec {
    fn default() -> Self {
        Self { threshold: Threshold(0.9), batch: None, sequence: None }
    }
}

/// `[load]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LoadSpec {
    /// Stages in order.
    pub stages: Vec<LoadStage>,
    /// Seed of the choice of copies.
    pub seed: u64,
    /// Most seconds one request may take.
    pub timeout_seconds: u64,
    /// Batch of each request.
    pub batch: u64,
    /// Tokens of each of its texts; the first profile's `opt` when left out.
    pub sequence: Option<u64>,
}

/// So many users for so long; each sends its next request when the last is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadStage {
    /// Concurrent users.
    pub users: u32,
    /// Length of the stage.
    pub seconds: u32,
    /// Users added (or taken away) per second until `users` is reached; all at once when left out.
    pub spawn_rate: Option<u32>,
}

impl Default for LoadSpec {
    fn default() -> Self {
        let stages =
            [(1, 3), (2, 3), (4, 3), (8, 3)].map(|(users, seconds)| LoadStage { users, seconds, spawn_rate: None });
        Self { stages: stages.to_vec(), seed: 0, timeout_seconds: 70, batch: 1, sequence: None }
    }
}
