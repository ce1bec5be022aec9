//! Waiting that ends when the user cancels.

use crate::{Error, Result};
use planforge_core::Progress;
use std::pin::pin;
use std::time::Duration;

/// Time between two checks for cancellation.
pub(crate) const POLL: Duration = Duration::from_millis(100);

/// The outcome of `work`, or [`Error::Cancelled`] as soon as the user cancels; `work` is dropped then.
pub(crate) async fn unless_cancelled<T>(progress: &dyn Progress, work: impl Future<Output = Result<T>>) -> Result<T> {
    let mut work = pin!(work);
    loop {
        if progress.is_cancelled() {
            return Err(Error::Cancelled);
        }
        if let Ok(outcome) = tokio::time::timeout(POLL, work.as_mut()).await {
            return outcome;
        }
    }
}
