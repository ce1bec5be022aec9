//! Why a build failed.

use planforge_core::ErrorKind;
use planforge_engine_protocol::{FailureReason, WorkerFailure};
use std::io;

/// Errors of a build.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// TensorRT failed, or is missing.
    #[error(transparent)]
    Tensorrt(#[from] planforge_tensorrt::Error),
    /// A file could not be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// An engine without weights lacks one that cannot be put in later.
    #[error("weight `{name}` has elements of type {data_type}, which are not put into engines")]
    WeightType {
        /// The weight.
        name: String,
        /// KServe name of its element type.
        data_type: String,
    },
}

/// Result of a build.
pub(crate) type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// The class of the error.
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Tensorrt(error) => error.kind(),
            Self::Io(error) => ErrorKind::of_io(error),
            Self::WeightType { .. } => ErrorKind::BadInput,
        }
    }

    /// The message to planforge: the error and its causes in one line.
    pub(crate) fn to_failure(&self) -> WorkerFailure {
        let mut message = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(inner) = cause {
            message = format!("{message}: {inner}");
            cause = inner.source();
        }
        let reason = match self {
            Self::Tensorrt(planforge_tensorrt::Error::Library { .. }) => FailureReason::MissingLibrary,
            Self::Io(_) if self.kind() == ErrorKind::Environment => FailureReason::Disk,
            _ => FailureReason::Build,
        };
        WorkerFailure { reason, message }
    }
}
