//! The error of this crate.

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Serializing the report as JSON failed.
    #[error("failed to write the report as JSON")]
    Json(#[source] serde_json::Error),
    /// A file operation failed; the text names the path.
    #[error(transparent)]
    Core(#[from] planforge_core::Error),
}

/// Result with this crate's error.
pub type Result<T> = std::result::Result<T, Error>;
