//! What can go wrong when configurations are read and written.

use planforge_types::{ErrorKind, io_hint};
use std::path::PathBuf;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read; the text names the path.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The configuration is not protobuf text.
    #[error(transparent)]
    Syntax(#[from] SyntaxError),
    /// A backend that planforge does not know.
    #[error("unknown backend `{0}` in `config.pbtxt`; expected `onnxruntime`, `pytorch`, `tensorrt` or `planforge`")]
    UnknownBackend(String),
    /// A model whose inputs and outputs do not share a dynamic first dimension cannot be batched.
    #[error("tensor `{tensor}` has no dynamic batch dimension in front, which a package needs")]
    BatchDimension {
        /// The tensor.
        tensor: String,
    },
    /// A field that the user adds to a configuration, and that it cannot have.
    #[error("`{}` line {line}: {reason}", path.display())]
    ExtraConfig {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// An input of a model that is to be warmed up, and for which no sample was given.
    #[error("missing sample for input `{tensor}`, which the warm-up needs")]
    WarmUp {
        /// The input.
        tensor: String,
    },
}

impl Error {
    /// What the error means to the caller.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Io(error) => ErrorKind::of_io(error),
            Self::Syntax(_) | Self::UnknownBackend(_) | Self::ExtraConfig { .. } => ErrorKind::BadInput,
            Self::BatchDimension { .. } | Self::WarmUp { .. } => ErrorKind::Internal,
        }
    }

    /// The next step, where there is one.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Io(error) => io_hint(error),
            _ => None,
        }
    }
}

/// A mistake in the text of a configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`config.pbtxt` line {line}: {reason}")]
pub struct SyntaxError {
    /// Line, from 1.
    pub line: usize,
    /// What is wrong.
    pub reason: String,
}

/// Result with this crate's error.
pub type Result<T> = std::result::Result<T, Error>;
