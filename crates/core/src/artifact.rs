//! What the steps hand to each other: plain records that live in files.

use crate::{Commit, Digest, ModelFormat, Platform, Precision, Task, TensorSpec};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A file of an artifact, relative to the artifact's folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArtifactFile {
    /// Relative path with `/`.
    pub path: String,
    /// Size in bytes.
    pub byte_count: u64,
    /// SHA-256.
    pub sha256: Digest,
}

/// A record together with the folder of its files.
#[derive(Debug, Clone)]
pub struct CachedArtifact<T> {
    /// The folder.
    pub directory: PathBuf,
    /// What is in it.
    pub record: T,
    /// Its files.
    pub files: Vec<ArtifactFile>,
    /// Whether it was found rather than made.
    pub cache_hit: bool,
    /// Time it took to make or find.
    pub elapsed: Duration,
}

impl<T> CachedArtifact<T> {
    /// Path of a file of this artifact.
    #[must_use]
    pub fn path(&self, file: &str) -> PathBuf {
        self.directory.join(file)
    }

    /// The record of a file, if the artifact has it.
    #[must_use]
    pub fn file(&self, path: &str) -> Option<&ArtifactFile> {
        self.files.iter().find(|file| file.path == path)
    }
}

/// Files of one commit of a Hub repository.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    /// `owner/name`, or the folder for a local source.
    pub repo: String,
    /// The revision asked for.
    pub revision: String,
    /// The commit it stands for.
    pub commit: Commit,
    /// Where the files are.
    pub directory: PathBuf,
    /// The files, sorted by path.
    pub files: Vec<ArtifactFile>,
    /// Paths of the repository's ONNX files, as far as they are known, sorted; few of them are among `files`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub graphs: Vec<String>,
}

impl Snapshot {
    /// Absolute path of a file of the snapshot, if it has it.
    #[must_use]
    pub fn path(&self, file: &str) -> Option<PathBuf> {
        self.file(file).map(|file| self.directory.join(Path::new(&file.path)))
    }

    /// The record of a file of the snapshot.
    #[must_use]
    pub fn file(&self, path: &str) -> Option<&ArtifactFile> {
        self.files.iter().find(|file| file.path == path)
    }
}

/// An exported model.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// `model_type` of the checkpoint.
    pub architecture: String,
    /// What it is used for.
    pub task: Task,
    /// Arithmetic.
    pub precision: Precision,
    /// File format.
    pub format: ModelFormat,
    /// The graph file.
    pub graph: String,
    /// Files of the graph's weights, where they are not in the graph file.
    pub weights: Vec<String>,
    /// ONNX operator set, for ONNX.
    pub opset: Option<i64>,
    /// Inputs, in order.
    pub inputs: Vec<TensorSpec>,
    /// Outputs, in order.
    pub outputs: Vec<TensorSpec>,
    /// Number of parameters the graph uses.
    pub parameter_count: u64,
    /// Bytes of those parameters in this precision.
    pub weight_byte_count: u64,
    /// Longest sequence the checkpoint's position table allows, for models over text.
    pub max_sequence: Option<u64>,
    /// Tensors of the checkpoint that the graph does not use, such as stored position ids.
    pub unused_tensors: Vec<String>,
    /// In fp16 and bf16, values that are kept in binary32: because binary16 would not hold them, or because the pipeline
    /// names them.
    #[serde(default, rename = "wide_values")]
    pub keep_fp32: Vec<String>,
    /// Names of the scores, for classification.
    #[serde(default)]
    pub labels: Vec<String>,
    /// Whether the graph is a prebuilt one of the repository.
    #[serde(default, rename = "taken_as_is")]
    pub prebuilt: bool,
}

impl Model {
    /// Names of the outputs that the task is about; all of them where a graph of the repository's own calls them
    /// otherwise.
    #[must_use]
    pub fn main_outputs(&self) -> Vec<String> {
        let has = |name: &str| self.outputs.iter().any(|output| output.name == name);
        let main = self.task.main_outputs();
        if main.iter().all(|name| has(name)) {
            return main.iter().map(|&name| name.to_owned()).collect();
        }
        self.outputs.iter().map(|output| output.name.clone()).collect()
    }
}

/// Which package of a model: platform, precision and, for engines, GPU type.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// What runs it.
    pub platform: Platform,
    /// Arithmetic.
    pub precision: Precision,
    /// What an engine is for: the catalogue name of a GPU type, or, for one engine for several, their compute
    /// capabilities (`sm86-sm89`).
    pub gpu: Option<String>,
}

impl Variant {
    /// The ONNX variant of a precision.
    #[must_use]
    pub const fn onnx(precision: Precision) -> Self {
        Self { platform: Platform::Onnx, precision, gpu: None }
    }

    /// The TorchScript variant of a precision.
    #[must_use]
    pub const fn pytorch(precision: Precision) -> Self {
        Self { platform: Platform::Pytorch, precision, gpu: None }
    }

    /// The engine of a precision for `gpu`: a GPU type, or the compute capabilities of several.
    #[must_use]
    pub fn tensorrt(precision: Precision, gpu: &str) -> Self {
        Self { platform: Platform::Tensorrt, precision, gpu: Some(gpu.to_owned()) }
    }

    /// `onnx-fp32`, `pytorch-fp32`, `tensorrt-fp16-l4`.
    #[must_use]
    pub fn id(&self) -> String {
        match &self.gpu {
            Some(gpu) => format!("{}-{}-{gpu}", self.platform, self.precision),
            None => format!("{}-{}", self.platform, self.precision),
        }
    }

    /// The variant of an [`Variant::id`]; none for other texts.
    #[must_use]
    pub fn from_id(id: &str) -> Option<Self> {
        let platforms = [Platform::Onnx, Platform::Pytorch, Platform::Tensorrt];
        let variants = platforms
            .into_iter()
            .flat_map(|platform| Precision::ALL.map(|precision| Self { platform, precision, gpu: None }));
        variants.into_iter().find_map(|variant| {
            let rest = id.strip_prefix(&variant.id())?;
            match (variant.platform, rest.strip_prefix('-')) {
                (Platform::Tensorrt, Some(gpu)) if !gpu.is_empty() => {
                    Some(Self { gpu: Some(gpu.to_owned()), ..variant })
                }
                (Platform::Onnx | Platform::Pytorch, _) if rest.is_empty() => Some(variant),
                _ => None,
            }
        })
    }
}

/// A packaged model.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Archive {
    /// Which package.
    pub variant: Variant,
    /// The file.
    pub file: String,
    /// Its digest.
    pub sha256: Digest,
    /// Its size.
    pub byte_count: u64,
    /// Size of its contents.
    pub unpacked_byte_count: u64,
    /// Triton's `max_batch_size`.
    pub max_batch_size: u64,
}

/// N copies in a store.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// Which package.
    pub variant: Variant,
    /// URL of the prefix that a multi-model endpoint is given, with a final `/`.
    pub url: String,
    /// Object names below the prefix: the names that requests carry as target model.
    pub target_models: Vec<String>,
    /// Digest of every copy.
    pub sha256: Digest,
    /// Bytes written to the store in this run; copies made by the store itself do not count.
    pub written_byte_count: u64,
    /// Copies that were already there with the same content.
    pub kept: u32,
}

/// Result of a load test.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadResult {
    /// One entry for each stage.
    pub stages: Vec<LoadPoint>,
    /// One entry for each second.
    pub seconds: Vec<LoadPoint>,
    /// The whole test.
    pub total: LoadPoint,
    /// The first few distinct failures, with how often each occurred.
    pub failures: Vec<(String, u64)>,
    /// Copies that requests chose from.
    pub copies: u32,
    /// Peak of concurrent users.
    pub max_users: u32,
}

/// Figures of one span of a load test.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadPoint {
    /// Start since the beginning of the test.
    #[serde(rename = "start_seconds", alias = "start", with = "planforge_types::seconds")]
    pub start: Duration,
    /// Length.
    #[serde(rename = "duration_seconds", alias = "duration", with = "planforge_types::seconds")]
    pub duration: Duration,
    /// Concurrent users.
    pub users: u32,
    /// Requests answered, failures included.
    pub requests: u64,
    /// Of those, not answered with success.
    pub failures: u64,
    /// Successful answers per second.
    pub throughput: f64,
    /// Latency of the successful ones; none when there were none.
    pub latency: Option<LatencySummary>,
}

/// Latency percentiles.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LatencySummary {
    /// Fastest.
    #[serde(rename = "min_seconds", alias = "min", with = "planforge_types::seconds")]
    pub min: Duration,
    /// Arithmetic mean.
    #[serde(rename = "mean_seconds", alias = "mean", with = "planforge_types::seconds")]
    pub mean: Duration,
    /// Median.
    #[serde(rename = "p50_seconds", alias = "p50", with = "planforge_types::seconds")]
    pub p50: Duration,
    /// 90th percentile.
    #[serde(rename = "p90_seconds", alias = "p90", with = "planforge_types::seconds")]
    pub p90: Duration,
    /// 95th percentile.
    #[serde(rename = "p95_seconds", alias = "p95", with = "planforge_types::seconds")]
    pub p95: Duration,
    /// 99th percentile.
    #[serde(rename = "p99_seconds", alias = "p99", with = "planforge_types::seconds")]
    pub p99: Duration,
    /// Slowest.
    #[serde(rename = "max_seconds", alias = "max", with = "planforge_types::seconds")]
    pub max: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variant_is_found_again_by_its_id() {
        for variant in [
            Variant::onnx(Precision::Fp32),
            Variant::pytorch(Precision::Fp16),
            Variant::onnx(Precision::Bf16),
            Variant::tensorrt(Precision::Bf16, "a10g"),
            Variant::tensorrt(Precision::Fp16, "rtx-pro-6000"),
            Variant::tensorrt(Precision::Fp32, "sm86-sm89"),
        ] {
            assert_eq!(Variant::from_id(&variant.id()), Some(variant));
        }
        for other in ["", "onnx", "onnx-fp8", "onnx-fp32-l4", "tensorrt-fp16", "tensorrt-fp16-", "tensorrt-fp16l4"] {
            assert_eq!(Variant::from_id(other), None, "{other}");
        }
    }
}
