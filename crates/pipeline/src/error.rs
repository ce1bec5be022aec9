//! What can go wrong between a pipeline file and its report.

use crate::unserved::Unserved;
use planforge_core::{ComputeCapability, Precision, Task, lock_file};
use std::path::{Path, PathBuf};

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The pipeline file, the lock, the cache or a GPU type.
    #[error("{0}")]
    Core(#[from] planforge_core::Error),
    /// The Hub.
    #[error("{0}")]
    Hub(#[from] planforge_hub::Error),
    /// Checkpoints, exports and engines.
    #[error("{0}")]
    Engine(#[from] planforge_engine::Error),
    /// A native library that does not load, or a model that does not run.
    #[error("{0}")]
    Runtime(#[from] planforge_runtime::Error),
    /// TensorRT, CUDA or a GPU.
    #[error("{0}")]
    Tensorrt(#[from] planforge_tensorrt::Error),
    /// A check.
    #[error("{0}")]
    Validate(#[from] planforge_validate::Error),
    /// Packages and copies.
    #[error("{0}")]
    Package(#[from] planforge_package::Error),
    /// A store.
    #[error("{0}")]
    Store(#[from] planforge_store::Error),
    /// The probe or the load test.
    #[error("{0}")]
    Bench(#[from] planforge_bench::Error),
    /// The report.
    #[error("{0}")]
    Report(#[from] planforge_report::Error),
    /// The local endpoint's process.
    #[error("{0}")]
    Host(#[from] planforge_host::ProcessError),
    /// A file could not be read or written; the text names the path.
    #[error("{0}")]
    Io(#[from] std::io::Error),

    /// A folder where a pipeline file belongs.
    #[error("`{}` is a folder: name the pipeline file in it", path.display())]
    PipelineIsFolder {
        /// The folder.
        path: PathBuf,
    },
    /// A pipeline file that is not there.
    #[error("pipeline file `{}` does not exist", path.display())]
    NoPipelineFile {
        /// The file.
        path: PathBuf,
    },
    /// Two pipelines of one name.
    #[error("two pipelines are called `{name}`; their results would mix")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// A pipeline without a source.
    #[error("the pipeline names no source")]
    NoSource,
    /// A number of copies that is out of range.
    #[error("{reason}")]
    InvalidCopies {
        /// The number, and which are in range.
        reason: String,
    },
    /// `auto` on a machine without a GPU.
    #[error(
        "GPU `auto` is the one in this machine, which {}; name GPU types instead: `planforge gpus` lists them",
        if *has_driver { "has no NVIDIA GPU" } else { "has no CUDA driver" }
    )]
    NoLocalGpu {
        /// Whether there is a CUDA driver.
        has_driver: bool,
    },
    /// A GPU of this machine that is not in the catalogue.
    #[error(
        "the GPU in this machine, `{product}` of compute capability {compute_capability}, is not in the catalogue; add it \
         with key `compile.catalogue`"
    )]
    UnknownLocalGpu {
        /// Its product name.
        product: String,
        /// Its compute capability.
        compute_capability: ComputeCapability,
    },
    /// A stage that needs engines, of a pipeline without any.
    #[error("the pipeline makes no engines; name GPU types with --gpu")]
    NoEngines,
    /// `compile.max_batch` for a model whose memory cannot be counted.
    #[error("key `compile.max_batch`: cannot count the memory of a prebuilt graph; remove the key")]
    UncountableMaxBatch,
    /// A memory plan for a model whose memory cannot be counted.
    #[error("cannot count the memory of a prebuilt graph; add --build, which measures it")]
    UncountablePlan,
    /// Profiles that the model does not take.
    #[error("`{}` does not fit the model", file.display())]
    Profiles {
        /// The pipeline file.
        file: PathBuf,
        /// Which, and why.
        #[source]
        source: planforge_engine::Error,
    },
    /// A precision that was not exported.
    #[error("no {precision} model was exported")]
    NotExported {
        /// The precision.
        precision: Precision,
    },

    /// ONNX Runtime is not there.
    #[error("ONNX Runtime was not found at `{}`", path.display())]
    NoOnnxRuntime {
        /// Where it was expected.
        path: PathBuf,
    },
    /// TensorRT-RTX is not there.
    #[error("TensorRT-RTX was not found at `{}`", path.display())]
    NoTensorrt {
        /// Where it was expected.
        path: PathBuf,
    },
    /// `trtexec` is not there.
    #[error("{}", describe_missing_trtexec(named.as_ref(), places))]
    NoTrtexec {
        /// The path that was named or found.
        named: Option<PathBuf>,
        /// Where it was looked for.
        places: Vec<PathBuf>,
    },

    /// A lock that must hold and is not there.
    #[error("missing lock `{}`; `planforge lock {}{}` writes it", path.display(), file.display(), lock_option(path, file))]
    NoLock {
        /// The lock.
        path: PathBuf,
        /// The pipeline file.
        file: PathBuf,
    },
    /// A lock that does not hold.
    #[error("the lock `{}` does not hold:{}", path.display(), lines(items))]
    LockMismatch {
        /// The lock.
        path: PathBuf,
        /// What differs.
        items: Vec<String>,
    },
    /// A lock that cannot be written.
    #[error("the lock `{}` cannot be written", path.display())]
    LockWrite {
        /// The lock.
        path: PathBuf,
        /// Why.
        #[source]
        source: planforge_core::Error,
    },

    /// Plans without weights in a package.
    #[error(
        "key `compile.strip_weights`: a plan of TensorRT without weights cannot be packaged, as Triton's `tensorrt` backend \
         does not put them in; builder `rtx` makes engines that planforge's backend completes"
    )]
    StrippedPlan,
    /// An additional Triton configuration that cannot be read.
    #[error("key `triton.config`: {source}")]
    TritonConfig {
        /// Why.
        source: std::io::Error,
    },
    /// A model that must be warmed up, and no sample for it.
    #[error("the pipeline has no sample to warm the model up with")]
    NoWarmUpSample,
    /// A warm-up text that no profile takes.
    #[error(
        "key `triton.warm_up_batch_sizes`: no profile takes the first sample, a text of {length} tokens, in batches of all \
         these sizes: {}; name fewer, or a shorter text first in `export.samples`",
        list(batch_sizes)
    )]
    WarmUpLength {
        /// Tokens of the text.
        length: u64,
        /// The batch sizes.
        batch_sizes: Vec<u64>,
    },
    /// An entry of the cache that changed after it was made. It was removed.
    #[error("the artifact cache is damaged")]
    CorruptCache {
        /// The file.
        #[source]
        source: planforge_package::Error,
    },
    /// A store address that cannot be used.
    #[error("key `store.url`")]
    StoreKey {
        /// Why.
        #[source]
        source: planforge_store::Error,
    },

    /// Triton is not where it should be.
    #[error("Triton's program `{}` does not exist", path.display())]
    NoTritonserver {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// `host.variant` names a variant that the pipeline does not have.
    #[error("key `host.variant`: `{variant}` is not among the pipeline's variants: {}", known.join(", "))]
    UnknownHostVariant {
        /// The name.
        variant: String,
        /// The pipeline's variants.
        known: Vec<String>,
    },
    /// `host.variant` names a variant that the local endpoint does not serve.
    #[error("key `host.variant`: {}", reason.describe(variant))]
    UnservedVariant {
        /// The variant.
        variant: String,
        /// Why.
        reason: Unserved,
    },
    /// `host.variant` names an engine that no GPU of this machine runs.
    #[error(
        "key `host.variant`: `{variant}` needs a GPU of compute capability {}, and there is none here",
        wanted.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
    )]
    NoGpuForVariant {
        /// The variant.
        variant: String,
        /// Compute capabilities of its engines.
        wanted: Vec<ComputeCapability>,
    },
    /// A pipeline without a package for the local endpoint.
    #[error("`{}` makes no ONNX package, which the local endpoint needs", file.display())]
    NothingToServe {
        /// The pipeline file.
        file: PathBuf,
    },
    /// A request that is larger than SageMaker accepts.
    #[error(
        "key `{key}`: a request of {byte_count} bytes is beyond the {limit} that SageMaker accepts; use a smaller batch"
    )]
    RequestTooLarge {
        /// The key that sets the batch.
        key: &'static str,
        /// The request's size.
        byte_count: usize,
        /// The largest size.
        limit: usize,
    },
    /// A number that this machine's address size does not hold.
    #[error("{what} {value} is out of range")]
    OutOfRange {
        /// What the number is.
        what: &'static str,
        /// The number.
        value: u64,
    },

    /// Samples of a kind that the task does not take.
    #[error("task `{task}` {expected}")]
    WrongSamples {
        /// The task.
        task: Task,
        /// What it takes.
        expected: &'static str,
    },
    /// A text without the mask that is to be filled.
    #[error("a text has no `{mask}` to fill")]
    NoMask {
        /// The mask token.
        mask: String,
    },
    /// A tokenizer without a mask token.
    #[error("the tokenizer has no mask token")]
    NoMaskToken,
    /// An endpoint's response that cannot be read.
    #[error("the endpoint's response cannot be read: {reason}")]
    Response {
        /// Why.
        reason: String,
    },
    /// An output with values that are not numbers.
    #[error(
        "output `{name}` has values that are not finite: {count} of {total}, first {value}; expected finite numbers"
    )]
    NotFinite {
        /// The output.
        name: String,
        /// How many there are.
        count: usize,
        /// Values of the output.
        total: usize,
        /// The first of them.
        value: f32,
    },
    /// A model without an output that its task needs.
    #[error("the model has no output `{name}`")]
    NoOutput {
        /// The output.
        name: String,
    },
    /// An output that is not made of fp32 numbers.
    #[error("output `{name}` is not of type FP32")]
    OutputType {
        /// The output.
        name: String,
    },
    /// A question-answering model whose outputs are not the two scores.
    #[error("the model does not score where answers start and end")]
    NoAnswerScores,
    /// A file that is not an engine.
    #[error("`{}`: {source}", path.display())]
    InvalidEngine {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<planforge_tensorrt::Error>,
    },
    /// A provenance statement about another archive.
    #[error(
        "`{}` is about another file than `{}`, whose SHA-256 is {sha256}",
        statement.display(),
        archive.display()
    )]
    WrongProvenance {
        /// The statement.
        statement: PathBuf,
        /// The archive.
        archive: PathBuf,
        /// The archive's digest.
        sha256: planforge_core::Digest,
    },
}

/// The option that names a lock; none where it is next to its pipeline file.
fn lock_option(lock: &Path, file: &Path) -> String {
    if lock == lock_file(file) { String::new() } else { format!(" --lock {}", lock.display()) }
}

/// Result with this crate's error.
pub type Result<T> = std::result::Result<T, Error>;

fn lines(items: &[String]) -> String {
    items.iter().map(|item| format!("\n  {item}")).collect()
}

fn list(numbers: &[u64]) -> String {
    numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn describe_missing_trtexec(named: Option<&PathBuf>, places: &[PathBuf]) -> String {
    match named {
        Some(tool) => format!("trtexec was not found at `{}`", tool.display()),
        None => {
            let places: Vec<_> = places.iter().map(|place| place.display().to_string()).collect();
            format!(
                "trtexec was not found: it is not on the PATH, nor one of {}; name it with --trtexec",
                places.join(", ")
            )
        }
    }
}
