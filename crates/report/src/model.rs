//! What a report holds. Every part of it may be missing, so that a run that ended early, or a command
//! run alone, can be reported too.

use planforge_core::{
    Archive, BuilderFigures, Capacity, ComputeCapability, CopyMemory, Digest, Engine, LoadResult, Model, ModelCard,
    ModelFormat, Outcome, Precision, Snapshot, Step, Task, Variant,
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Everything known about one pipeline.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// Name of the pipeline.
    pub pipeline: String,
    /// What the model is used for.
    pub task: Task,
    /// Where the checkpoint came from.
    #[serde(default)]
    pub source: Option<SourceFacts>,
    /// Exported models, one for each precision.
    #[serde(default)]
    pub models: Vec<ModelFacts>,
    /// Comparisons of exported models with a reference.
    #[serde(default)]
    pub checks: Vec<CheckFacts>,
    /// Engines, one for each precision and GPU type.
    #[serde(default)]
    pub engines: Vec<EngineFacts>,
    /// Copies predicted to fit, for each engine and GPU type.
    #[serde(default)]
    pub plan: Vec<PlanRow>,
    /// Packages.
    #[serde(default)]
    pub archives: Vec<ArchiveFacts>,
    /// Sentences about combinations that were asked for and cannot be made.
    #[serde(default)]
    pub skipped: Vec<String>,
    /// What the probe and the load test ran against.
    #[serde(default)]
    pub served: Option<Served>,
    /// Result of the memory probe.
    #[serde(default)]
    pub capacity: Option<Capacity>,
    /// Result of the load test.
    #[serde(default)]
    pub load: Option<LoadResult>,
    /// Files that the run made or found.
    #[serde(default)]
    pub artifacts: Vec<ArtifactRow>,
    /// Where all this was measured.
    #[serde(default)]
    pub environment: Environment,
    /// Anything else a reader should know, in sentences.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// Where a checkpoint came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceFacts {
    /// `owner/name`, or a folder.
    pub repo: String,
    /// The revision asked for.
    pub revision: String,
    /// The commit it stands for.
    pub commit: String,
    /// Size of the files that were fetched, in bytes.
    pub byte_count: u64,
    /// What its authors say of it.
    #[serde(default)]
    pub card: Option<ModelCard>,
}

/// An exported model.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelFacts {
    /// `model_type` of the checkpoint.
    pub architecture: String,
    /// Arithmetic.
    pub precision: Precision,
    /// File format.
    #[serde(default)]
    pub format: ModelFormat,
    /// ONNX operator set, for ONNX.
    pub opset: Option<i64>,
    /// Number of parameters.
    pub parameter_count: u64,
    /// Bytes of the parameters in this precision.
    pub weight_byte_count: u64,
    /// In fp16 and bf16, values that are kept in fp32.
    #[serde(default)]
    pub wide_values: Vec<String>,
}

/// Outcome of running an exported model and a reference on the same samples.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckFacts {
    /// What was checked, such as `onnx-fp16`.
    pub subject: String,
    /// What it was compared with, such as `onnx-fp32`.
    pub reference: String,
    /// Output tensor compared.
    pub output: String,
    /// Samples run.
    pub samples: u32,
    /// Smallest cosine similarity of any sample.
    pub min_cosine: f64,
    /// Largest absolute difference of any element.
    pub max_absolute_error: f64,
    /// Whether both lie within the tolerance.
    pub passed: bool,
}

/// A TensorRT engine.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineFacts {
    /// What it is for, as in the variant's name: a GPU type, or the compute capabilities of several.
    pub gpu: String,
    /// Catalogue names of all GPU types it was asked for.
    pub gpus: Vec<String>,
    /// Compute capabilities asked for.
    pub compute_capabilities: Vec<ComputeCapability>,
    /// Arithmetic.
    pub precision: Precision,
    /// Library version in the engine's header.
    pub header_version: String,
    /// Compute capabilities in the engine's header.
    pub header_compute_capabilities: Vec<ComputeCapability>,
    /// Size of the engine in bytes.
    pub byte_count: u64,
    /// Layers of the network that the builder was given.
    pub layer_count: u32,
    /// What the builder said of the engine.
    pub figures: BuilderFigures,
    /// Time the build took, its process included.
    pub build_duration: Duration,
    /// Of that, the time spent in the builder's own library.
    pub builder_duration: Duration,
    /// Peak resident memory of the build in bytes.
    pub build_peak_byte_count: u64,
    /// Digest of the engine.
    pub sha256: Digest,
    /// Whether it was made in this run.
    pub outcome: Outcome,
    /// Whether it was run; not known of reports that are older than the question.
    #[serde(default)]
    pub run: Option<EngineRunFacts>,
}

/// Whether an engine was run on the samples and compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EngineRunFacts {
    /// Product name of the GPU that it ran on; how its outputs compare is among the checks.
    On(String),
    /// Why it was not.
    NotRun(String),
}

/// What one copy of an engine takes on a GPU, and how many are predicted to fit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanRow {
    /// The engine's package, such as `tensorrt-fp16-l4`.
    pub variant: String,
    /// Catalogue name of the GPU type.
    pub gpu: String,
    /// Memory of one such GPU in bytes.
    pub gpu_byte_count: u64,
    /// Largest batch that the engine takes.
    pub max_batch: u64,
    /// Memory of one loaded copy.
    pub memory: CopyMemory,
    /// Share of the GPU's memory that copies and their CUDA context may fill.
    pub threshold: f64,
    /// Copies that fit.
    pub copies: u64,
    /// Where the memory is known from.
    pub source: PlanSource,
}

/// Where the memory of a copy is known from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PlanSource {
    /// The builder said it of the engine.
    Builder,
    /// Counted over the model, with activations scaled by what the builder said of another batch.
    Scaled,
    /// Counted over the model, as if no operations were fused.
    Count,
}

/// A package.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArchiveFacts {
    /// Which package.
    pub variant: Variant,
    /// Its size in bytes.
    pub byte_count: u64,
    /// Size of its contents in bytes.
    pub unpacked_byte_count: u64,
    /// Triton's `max_batch_size`.
    pub max_batch_size: u64,
    /// Copies published; none when it was not published.
    pub copies: Option<u32>,
    /// Its digest.
    pub sha256: Digest,
}

/// What stood behind the endpoint that was measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Served {
    /// Which package, such as `onnx-fp32`.
    pub variant: String,
    /// What ran it and on what, as the middle of a sentence: "ONNX Runtime on the CPU".
    pub by: String,
}

/// A file that a step made or found.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArtifactRow {
    /// The step.
    pub step: Step,
    /// What it worked on, such as `tensorrt-fp16-l4`.
    pub subject: String,
    /// The file.
    pub path: String,
    /// Size in bytes.
    pub byte_count: u64,
    /// Digest.
    pub sha256: Digest,
    /// Time the step took.
    pub elapsed: Duration,
    /// Made or found.
    pub outcome: Outcome,
}

/// Where the figures come from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Environment {
    /// Version of planforge.
    #[serde(default)]
    pub planforge_version: String,
    /// Native libraries used.
    #[serde(default)]
    pub libraries: Vec<Library>,
    /// Logical processors.
    #[serde(default)]
    pub cpu_count: Option<u32>,
    /// Product name of the processor.
    #[serde(default)]
    pub cpu_model: Option<String>,
    /// Memory of the machine in bytes.
    #[serde(default)]
    pub memory_byte_count: Option<u64>,
}

/// A native library.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Library {
    /// Name, such as "ONNX Runtime".
    pub name: String,
    /// Version.
    pub version: String,
}

impl Report {
    /// A report that holds nothing yet.
    #[must_use]
    pub fn new(pipeline: &str, task: Task) -> Self {
        Self {
            pipeline: pipeline.to_owned(),
            task,
            source: None,
            models: Vec::new(),
            checks: Vec::new(),
            engines: Vec::new(),
            plan: Vec::new(),
            archives: Vec::new(),
            skipped: Vec::new(),
            served: None,
            capacity: None,
            load: None,
            artifacts: Vec::new(),
            environment: Environment::default(),
            notes: Vec::new(),
        }
    }
}

impl From<&Snapshot> for SourceFacts {
    fn from(snapshot: &Snapshot) -> Self {
        Self {
            repo: snapshot.repo.clone(),
            revision: snapshot.revision.clone(),
            commit: snapshot.commit.clone(),
            byte_count: snapshot.files.iter().map(|file| file.byte_count).sum(),
            card: None,
        }
    }
}

impl From<&Model> for ModelFacts {
    fn from(model: &Model) -> Self {
        Self {
            architecture: model.architecture.clone(),
            precision: model.precision,
            format: model.format,
            opset: model.opset,
            parameter_count: model.parameter_count,
            weight_byte_count: model.weight_byte_count,
            wide_values: model.wide_values.clone(),
        }
    }
}

impl EngineFacts {
    /// Facts of an engine whose plan file has this size and digest.
    #[must_use]
    pub fn new(engine: &Engine, byte_count: u64, sha256: &Digest, outcome: Outcome) -> Self {
        Self {
            gpu: engine.gpu.clone(),
            gpus: engine.gpus.clone(),
            compute_capabilities: engine.compute_capabilities.clone(),
            precision: engine.precision,
            header_version: engine.header.version.clone(),
            header_compute_capabilities: engine.header.compute_capabilities.clone(),
            byte_count,
            layer_count: engine.layer_count,
            figures: engine.figures,
            build_duration: engine.build_duration,
            builder_duration: engine.builder_duration,
            build_peak_byte_count: engine.build_peak_byte_count,
            sha256: sha256.clone(),
            outcome,
            run: None,
        }
    }
}

impl ArchiveFacts {
    /// Facts of a package of which `copies` were published.
    #[must_use]
    pub fn new(archive: &Archive, copies: Option<u32>) -> Self {
        Self {
            variant: archive.variant.clone(),
            byte_count: archive.byte_count,
            unpacked_byte_count: archive.unpacked_byte_count,
            max_batch_size: archive.max_batch_size,
            copies,
            sha256: archive.sha256.clone(),
        }
    }
}
