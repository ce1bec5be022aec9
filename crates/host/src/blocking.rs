//! Blocking work.

use crate::api_error::ApiError;

/// Runs blocking work. A panic in it is an internal failure.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| ApiError::unexpected())
}
