//! From an error to what the user reads and the exit code.

use planforge_core::Error as CoreError;
use planforge_package::Error as PackageError;
use planforge_tensorrt::Error as TensorrtError;
use std::io::{Error as IoError, ErrorKind as IoErrorKind};
use std::process::ExitCode;

/// A check that was run and did not hold.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct CheckFailed(pub(crate) String);

/// A pipeline file or argument that is at fault.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BadUsage(pub(crate) String);

/// A part of the environment that is missing.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Missing(pub(crate) String);

/// What to do about a PyTorch file that is not read. `weights_only` keeps Python from running its code.
const TO_SAFETENSORS: &str = "convert it to safetensors: for a repository on the Hub \
    https://huggingface.co/spaces/safetensors/convert does so; for a file whose origin you trust, run in its folder: \
    python -c \"import torch, safetensors.torch as s; w = torch.load('pytorch_model.bin', 'cpu', weights_only=True); \
    s.save_file({k: v.clone().contiguous() for k, v in w.items()}, 'model.safetensors')\"";

/// How to get the program that builds engines.
pub(crate) const ENGINE_WORKER_HINT: &str = "`cargo build -p planforge` and `cargo install --path crates/cli` make planforge \
    and its engine worker together; --engine-worker names one that is elsewhere";

/// Exit code and hint of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// 1.
    Failed,
    /// 2.
    Usage,
    /// 3.
    Environment,
    /// 4.
    Check,
    /// 130, as a shell reports a process ended by SIGINT.
    Interrupted,
}

impl Failure {
    /// The kind of `error`, by the first cause that tells.
    pub(crate) fn of(error: &anyhow::Error) -> Self {
        error.chain().find_map(Self::of_cause).unwrap_or(Self::Failed)
    }

    fn of_cause(cause: &(dyn std::error::Error + 'static)) -> Option<Self> {
        if let Some(error) = cause.downcast_ref::<planforge_pipeline::Error>() {
            return error.kind().and_then(Self::of_kind);
        }
        if let Some(error) = cause.downcast_ref::<planforge_validate::Error>() {
            return error.kind().and_then(Self::of_kind);
        }
        if let Some(error) = cause.downcast_ref::<CoreError>() {
            return Self::of_core(error);
        }
        if let Some(error) = cause.downcast_ref::<planforge_engine::Error>() {
            return match error {
                planforge_engine::Error::Core(core) => Self::of_core(core),
                planforge_engine::Error::NativeLibrary { .. }
                | planforge_engine::Error::WorkerMissing { .. }
                | planforge_engine::Error::WorkerVersion { .. } => Some(Self::Environment),
                planforge_engine::Error::ProfileLimit { .. }
                | planforge_engine::Error::ProfileDimension { .. }
                | planforge_engine::Error::Workspace { .. }
                | planforge_engine::Error::UnknownOutput { .. }
                | planforge_engine::Error::StripWeights { .. }
                | planforge_engine::Error::Fp8 { .. }
                | planforge_engine::Error::Fp32Products { .. }
                | planforge_engine::Error::KeptProducts { .. } => Some(Self::Usage),
                _ => None,
            };
        }
        match cause.downcast_ref() {
            Some(planforge_hub::Error::Core(core)) => return Self::of_core(core),
            Some(planforge_hub::Error::NoFolder { .. } | planforge_hub::Error::Endpoint { .. }) => {
                return Some(Self::Usage);
            }
            _ => {}
        }
        if let Some(error) = cause.downcast_ref() {
            return Self::of_package(error);
        }
        if let Some(error) = cause.downcast_ref::<planforge_store::Error>() {
            return Self::of_kind(error.kind());
        }
        if let Some(planforge_bench::Error::Cancelled) = cause.downcast_ref() {
            return Some(Self::Interrupted);
        }
        match cause.downcast_ref() {
            Some(planforge_runtime::Error::Library { .. }) => return Some(Self::Environment),
            Some(planforge_runtime::Error::NoEngine { .. }) => return Some(Self::Usage),
            Some(planforge_runtime::Error::Engine(error)) => return Self::of_tensorrt(error),
            _ => {}
        }
        if let Some(error) = cause.downcast_ref() {
            return Self::of_tensorrt(error);
        }
        let is = |found: bool, failure: Self| found.then_some(failure);
        is(cause.is::<CheckFailed>(), Self::Check)
            .or(is(cause.is::<BadUsage>(), Self::Usage))
            .or(is(cause.is::<Missing>(), Self::Environment))
    }

    fn of_tensorrt(error: &TensorrtError) -> Option<Self> {
        match error {
            TensorrtError::Library { .. }
            | TensorrtError::Version { .. }
            | TensorrtError::Trtexec { .. }
            | TensorrtError::NoDriver
            | TensorrtError::NoGpu { .. }
            | TensorrtError::EngineVersion { .. }
            | TensorrtError::EngineTarget { .. }
            | TensorrtError::InvalidEngine { .. } => Some(Self::Environment),
            TensorrtError::Shape { .. } | TensorrtError::MissingWeights { .. } => Some(Self::Usage),
            _ => None,
        }
    }

    fn of_package(error: &PackageError) -> Option<Self> {
        if let PackageError::Core(error) = error {
            return Self::of_core(error);
        }
        Self::of_kind(error.kind()).filter(|_| !matches!(error, PackageError::Io(_)))
    }

    fn of_kind(kind: planforge_core::ErrorKind) -> Option<Self> {
        match kind {
            planforge_core::ErrorKind::BadInput => Some(Self::Usage),
            planforge_core::ErrorKind::Environment => Some(Self::Environment),
            planforge_core::ErrorKind::CheckFailed => Some(Self::Check),
            planforge_core::ErrorKind::Cancelled => Some(Self::Interrupted),
            _ => None,
        }
    }

    fn of_core(error: &CoreError) -> Option<Self> {
        match error {
            CoreError::Cancelled => Some(Self::Interrupted),
            CoreError::Parse { .. }
            | CoreError::Pipeline { .. }
            | CoreError::Value { .. }
            | CoreError::UnknownGpu { .. }
            | CoreError::UnsupportedGpu { .. }
            | CoreError::UnknownTriton { .. }
            | CoreError::NoTarget { .. } => Some(Self::Usage),
            CoreError::TritonVersion { .. } => Some(Self::Environment),
            CoreError::Io(_) | CoreError::CacheRecord { .. } => None,
        }
    }

    /// The process's exit code.
    pub(crate) fn exit_code(self) -> ExitCode {
        ExitCode::from(match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Environment => 3,
            Self::Check => 4,
            Self::Interrupted => 130,
        })
    }

    /// The next step, where there is a general one.
    pub(crate) fn hint(self, error: &anyhow::Error) -> Option<&'static str> {
        let pipeline = error.downcast_ref::<planforge_pipeline::Error>();
        if let Some(hint) = pipeline.and_then(planforge_pipeline::Error::hint) {
            return Some(hint);
        }
        let is_no_gpu = matches!(pipeline, Some(planforge_pipeline::Error::NoLocalGpu { .. }));
        let general = (self == Self::Environment && !is_no_gpu)
            .then_some("`planforge doctor` shows what is missing; `scripts/setup` brings it");
        error.chain().find_map(Self::hint_of_cause).or(general)
    }

    fn hint_of_cause(cause: &(dyn std::error::Error + 'static)) -> Option<&'static str> {
        if let Some(hint) = cause.downcast_ref().and_then(planforge_bench::Error::hint) {
            return Some(hint);
        }
        if let Some(
            planforge_engine::Error::PytorchUnsupported { .. } | planforge_engine::Error::PytorchGlobal { .. },
        ) = cause.downcast_ref()
        {
            return Some(TO_SAFETENSORS);
        }
        if let Some(planforge_engine::Error::UnsupportedModelType { .. }) = cause.downcast_ref() {
            return Some("a repository with an ONNX file of its own can be taken as it is: key `source.graph`");
        }
        if let Some(planforge_engine::Error::WorkerMissing { .. } | planforge_engine::Error::WorkerVersion { .. }) =
            cause.downcast_ref()
        {
            return Some(ENGINE_WORKER_HINT);
        }
        if let Some(planforge_runtime::Error::Engine(error)) = cause.downcast_ref() {
            return Self::hint_of_tensorrt(error);
        }
        if let Some(hint) = hint_of_disk(cause) {
            return Some(hint);
        }
        if let Some(error) = cause.downcast_ref::<PackageError>() {
            return error.hint();
        }
        if let Some(error) = cause.downcast_ref::<planforge_store::Error>() {
            return error.hint();
        }
        cause.downcast_ref().and_then(Self::hint_of_hub)
    }

    fn hint_of_tensorrt(error: &TensorrtError) -> Option<&'static str> {
        match error {
            TensorrtError::NoDriver | TensorrtError::NoGpu { .. } => {
                Some("engines are built anywhere, and run on a machine with an NVIDIA GPU and its driver")
            }
            TensorrtError::EngineTarget { .. } => {
                Some("`planforge compile PIPELINE --gpu auto` makes an engine for the GPU of this machine")
            }
            _ => None,
        }
    }

    fn hint_of_hub(error: &planforge_hub::Error) -> Option<&'static str> {
        use planforge_hub::Error;
        match error {
            Error::NotCached { .. } => Some("unset HF_HUB_OFFLINE to fetch it, or set HF_HUB_CACHE to where it lies"),
            Error::NoRepository { .. } => Some("check the repository's name; for a private one, set HF_TOKEN"),
            Error::NoRevision { .. } => Some("check the key `source.revision`"),
            Error::Gated { .. } => Some("ask for access on that page, and set HF_TOKEN to a token of the same account"),
            Error::Denied { .. } => Some("check HF_TOKEN, or the token that `hf auth login` stored"),
            Error::GaveUp { .. } | Error::Hub { .. } => {
                Some("run again, which goes on where this ended; HF_HUB_OFFLINE=1 uses the cache alone")
            }
            Error::Endpoint { .. } => Some("set HF_ENDPOINT to a URL such as https://huggingface.co, or unset it"),
            Error::Space { .. } => Some("make room there, or set HF_HUB_CACHE to a folder on another disk"),
            _ => None,
        }
    }
}

fn hint_of_disk(cause: &(dyn std::error::Error + 'static)) -> Option<&'static str> {
    let error = match (cause.downcast_ref(), cause.downcast_ref()) {
        (Some(PackageError::Io(error) | PackageError::Core(CoreError::Io(error))), _) => error,
        (_, Some(CoreError::Io(error))) => error,
        _ => cause.downcast_ref::<IoError>()?,
    };
    match error.kind() {
        IoErrorKind::StorageFull | IoErrorKind::QuotaExceeded => Some(
            "make room there, for example with `planforge cache prune`, or choose another disk with --output, or with key \
             `store.url` for copies",
        ),
        IoErrorKind::ReadOnlyFilesystem => {
            Some("choose another folder with --output, or with key `store.url` for copies")
        }
        _ => None,
    }
}
