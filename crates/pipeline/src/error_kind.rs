//! The class of each error, and the next step.

use crate::Error;
use planforge_types::{ErrorKind, io_hint};

impl Error {
    /// The class of this error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Core(error) => error.kind(),
            Self::Hub(error) => error.kind(),
            Self::Engine(error) => error.kind(),
            Self::Runtime(error) => error.kind(),
            Self::Tensorrt(error) => error.kind(),
            Self::Validate(error) => error.kind(),
            Self::Package(error) => error.kind(),
            Self::Store(error) => error.kind(),
            Self::Bench(error) => error.kind(),
            Self::Report(error) => error.kind(),
            Self::Host(error) => error.kind(),
            Self::Io(error) => ErrorKind::of_io(error),
            Self::Profiles { source, .. } => source.kind(),
            Self::LockWrite { source, .. } => source.kind(),
            Self::StoreKey { source } => source.kind(),
            Self::NoLocalGpu { .. }
            | Self::NoOnnxRuntime { .. }
            | Self::NoTensorrt { .. }
            | Self::NoTrtexec { .. }
            | Self::NoTritonserver { .. } => ErrorKind::Environment,
            Self::NoLock { .. } | Self::LockMismatch { .. } | Self::WrongProvenance { .. } | Self::NotFinite { .. } => {
                ErrorKind::CheckFailed
            }
            Self::PipelineIsFolder { .. }
            | Self::NoPipelineFile { .. }
            | Self::DuplicateName { .. }
            | Self::NoSource
            | Self::InvalidCopies { .. }
            | Self::UnknownLocalGpu { .. }
            | Self::NoEngines
            | Self::UncountableMaxBatch
            | Self::UncountablePlan
            | Self::StrippedPlan
            | Self::TritonConfig { .. }
            | Self::WarmUpLength { .. }
            | Self::UnknownHostVariant { .. }
            | Self::UnservedVariant { .. }
            | Self::NoGpuForVariant { .. }
            | Self::NothingToServe { .. }
            | Self::RequestTooLarge { .. }
            | Self::WrongSamples { .. }
            | Self::NoMask { .. }
            | Self::InvalidEngine { .. } => ErrorKind::BadInput,
            Self::NotExported { .. }
            | Self::NoWarmUpSample
            | Self::CorruptCache { .. }
            | Self::OutOfRange { .. }
            | Self::NoMaskToken
            | Self::NoOutput { .. }
            | Self::Response { .. }
            | Self::OutputType { .. }
            | Self::NoAnswerScores => ErrorKind::Internal,
        }
    }

    /// The next step, where the text does not name it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Core(error) => error.hint(),
            Self::Hub(error) => error.hint(),
            Self::Engine(error) => error.hint(),
            Self::Runtime(error) => error.hint(),
            Self::Tensorrt(error) => error.hint(),
            Self::Validate(error) => error.hint(),
            Self::Package(error) => error.hint(),
            Self::Store(error) => error.hint(),
            Self::Bench(error) => error.hint(),
            Self::Report(error) => error.hint(),
            Self::Host(error) => error.hint(),
            Self::Io(error) => io_hint(error),
            Self::Profiles { source, .. } => source.hint(),
            Self::LockWrite { source, .. } => source.hint(),
            Self::StoreKey { source } => source.hint(),
            Self::NoTritonserver { .. } => Some(
                "`scripts/setup` fetches one; name another with key `host.tritonserver`, or a running container with `--container`",
            ),
            Self::LockMismatch { .. } => Some("if the change is wanted, `planforge lock PIPELINE` renews the lock"),
            Self::CorruptCache { .. } => Some("the corrupt entry was removed from the cache; run again to rebuild it"),
            _ => None,
        }
    }
}
