//! What planforge does with libtorch where it was built with the Cargo feature `torch`, and says where it was not.

use crate::failure::Missing;
use anyhow::Result;
use planforge_core::{Platform, Variant};

/// What a program without it says, and how to get one that has it.
pub(crate) const ABSENT: &str =
    "this planforge was built without TorchScript: cargo build --features torch after scripts/setup --torch";

/// Version of the libtorch that this program is built with.
pub(crate) const VERSION: Option<&str> = built::VERSION;

/// The error of a program without libtorch.
pub(crate) fn required() -> Result<()> {
    match VERSION {
        Some(_) => Ok(()),
        None => Err(Missing(ABSENT.to_owned()).into()),
    }
}

/// The variants that this program can make, with a sentence in `skipped` for each other.
///
/// # Errors
/// As [`required`], where none is left.
pub(crate) fn available(mut variants: Vec<Variant>, skipped: &mut Vec<String>) -> Result<Vec<Variant>> {
    if VERSION.is_none() {
        let absent: Vec<_> = variants.extract_if(.., |variant| variant.platform == Platform::Pytorch).collect();
        if variants.is_empty() && !absent.is_empty() {
            required()?;
        }
        skipped.extend(absent.iter().map(|variant| format!("variant `{}` cannot be made: {ABSENT}", variant.id())));
    }
    Ok(variants)
}

pub(crate) use built::{export, run};

#[cfg(feature = "torch")]
mod built {
    use anyhow::Result;
    use planforge_core::{CachedArtifact, Model};
    use planforge_runtime::{SessionOptions, Tensor, TorchSession};

    pub(super) const VERSION: Option<&str> = Some(planforge_engine::LIBTORCH_VERSION);

    pub(crate) use planforge_engine::export_torchscript as export;

    /// Runs a module on `inputs`.
    pub(crate) fn run(module: &CachedArtifact<Model>, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
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
    use super::required;
    use anyhow::{Result, bail};
    use planforge_core::{Cache, CachedArtifact, Model, Progress, Snapshot};
    use planforge_engine::ExportOptions;
    use planforge_runtime::Tensor;

    pub(super) const VERSION: Option<&str> = None;

    /// Says that it cannot.
    pub(crate) fn export(
        _snapshot: &Snapshot,
        _options: &ExportOptions,
        _cache: &Cache,
        _progress: &dyn Progress,
    ) -> Result<CachedArtifact<Model>> {
        required()?;
        bail!("no module was exported")
    }

    /// Says that it cannot.
    pub(crate) fn run(_module: &CachedArtifact<Model>, _inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        required()?;
        bail!("no module was run")
    }
}
