//! What can go wrong while a report is written.

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The report cannot be written as JSON.
    #[error("the report cannot be written as JSON")]
    Json(#[source] serde_json::Error),
    /// A file could not be written; the text names the path.
    #[error(transparent)]
    Core(#[from] planforge_core::Error),
}

/// Result with this crate's error.
pub type Result<T> = std::result::Result<T, Error>;
