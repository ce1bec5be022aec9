//! Ending a run from another thread.

use crate::{Error, Result};
use ort::session::RunOptions;
use std::fmt;
use std::sync::Arc;

/// Ends one run of an ONNX model from another thread. ONNX Runtime looks at it between two operators, so that one operator that
/// takes long is waited for.
#[derive(Clone)]
pub struct RunStop(Arc<RunOptions>);

impl RunStop {
    /// For one run.
    ///
    /// # Errors
    /// [`Error::LibraryNotLoaded`], and a lack of memory.
    pub fn new() -> Result<Self> {
        crate::library::environment()?;
        Ok(Self(Arc::new(RunOptions::new().map_err(|source| Error::Run { source })?)))
    }

    /// Ends the run, or lets it end as soon as it begins.
    pub fn stop(&self) {
        // ONNX Runtime sets a flag, and refuses only null.
        if let Err(error) = self.0.terminate() {
            tracing::error!(%error, "a run cannot be ended");
        }
    }

    /// The options of the run.
    pub(super) fn options(&self) -> &RunOptions {
        &self.0
    }
}

impl fmt::Debug for RunStop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RunStop")
    }
}
