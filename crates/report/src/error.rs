//! The error of this crate.

use planforge_types::{ErrorKind, io_hint};

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The report cannot be written as JSON.
    #[error("failed to write the report as JSON")]
    Json(#[source] serde_json::Error),
    /// A file operation failed; the text names the path.
    #[error(transparent)]
    Core(#[from] planforge_core::Error),
}

/// Result with this crate's error.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// The class of this error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Json(_) => ErrorKind::Internal,
            Self::Core(planforge_core::Error::Io(error)) => ErrorKind::of_io(error),
            Self::Core(_) => ErrorKind::Internal,
        }
    }

    /// The next step, where there is one.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Core(planforge_core::Error::Io(error)) => io_hint(error),
            Self::Core(_) | Self::Json(_) => None,
        }
    }
}
