//! TorchScript modules, which a program with the Cargo feature `torch` runs on libtorch.

use crate::{Error, Result};

/// Version of the libtorch that this program is built with; none without the feature `torch`.
pub const LIBTORCH_VERSION: Option<&str> = built::VERSION;

/// Checks that this program is built with libtorch.
///
/// # Errors
/// [`Error::NoLibtorch`] where it is not.
pub fn require_libtorch() -> Result<()> {
    LIBTORCH_VERSION.map(drop).ok_or(Error::NoLibtorch)
}

pub(crate) use built::run_module;

#[cfg(feature = "torch")]
mod built {
    use crate::Result;
    use planforge_core::{CachedArtifact, Model};
    use planforge_runtime::{SessionOptions, Tensor, TorchSession};

    pub(super) const VERSION: Option<&str> = Some(planforge_engine::LIBTORCH_VERSION);

    /// Outputs of a module for `inputs`.
    pub(crate) fn run_module(module: &CachedArtifact<Model>, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        let Model { graph, inputs: takes, outputs, .. } = &module.record;
        let options = SessionOptions {
            intra_op_threads: std::thread::available_parallelism().map_or(1, usize::from),
            ..SessionOptions::default()
        };
        Ok(TorchSession::load(&module.path(graph), (takes, outputs), &options)?.run(inputs)?)
    }
}

#[cfg(not(feature = "torch"))]
mod built {
    use crate::{Error, Result};
    use planforge_core::{CachedArtifact, Model};
    use planforge_runtime::Tensor;

    pub(super) const VERSION: Option<&str> = None;

    /// Fails: nothing here runs modules.
    pub(crate) fn run_module(_module: &CachedArtifact<Model>, _inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        Err(Error::NoLibtorch)
    }
}
