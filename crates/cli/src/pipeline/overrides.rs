//! What the command line changes in a pipeline, and the GPU types it then knows.

use crate::failure::{BadUsage, NoGpu};
use anyhow::Result;
use planforge_core::{ComputeCapability, GpuCatalogue, Pipeline, Platform, Precision};
use std::path::{Path, PathBuf};

/// Stands for the GPUs of this machine.
const AUTO: &str = "auto";

/// What a command does with the lock beside a pipeline file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum LockUse {
    /// Takes the commit from it.
    #[default]
    Follow,
    /// Takes the commit from it, and writes down what was made.
    Write,
    /// Asks what the revision stands for now, and writes down what was made.
    Renew,
    /// Ends where it does not hold.
    Hold,
    /// Makes everything that it names, and nothing else.
    Rebuild,
}

/// What the command line changes in a pipeline.
#[derive(Debug, Clone, Default)]
pub(crate) struct Overrides {
    /// GPU types, when any are named.
    pub(crate) gpus: Vec<String>,
    /// Precisions, when any are named.
    pub(crate) precisions: Vec<Precision>,
    /// Whether one engine for all GPU types is wanted; the pipeline's own choice when not.
    pub(crate) fat: bool,
    /// A file with further GPU types.
    pub(crate) catalogue: Option<PathBuf>,
    /// Number of copies.
    pub(crate) copies: Option<u32>,
    /// What is done with the lock.
    pub(crate) lock: LockUse,
}

impl Overrides {
    /// The pipeline with these changes.
    pub(crate) fn apply(&self, mut pipeline: Pipeline) -> Result<Pipeline> {
        if !self.gpus.is_empty() {
            pipeline.compile.gpus.clone_from(&self.gpus);
            if !pipeline.package.platforms.contains(&Platform::Tensorrt) {
                pipeline.package.platforms.push(Platform::Tensorrt);
            }
        }
        if !self.precisions.is_empty() {
            pipeline.export.precisions.clone_from(&self.precisions);
        }
        pipeline.compile.fat |= self.fat;
        if let Some(copies) = self.copies {
            pipeline.package.copies = copies.try_into().map_err(BadUsage)?;
        }
        Ok(pipeline)
    }
}

/// The catalogue that the pipeline uses, and the pipeline with `auto` replaced by this machine's GPU types.
pub(super) fn with_catalogue(mut pipeline: Pipeline, further: Option<&Path>) -> Result<(Pipeline, GpuCatalogue)> {
    let mut catalogue = GpuCatalogue::built_in();
    for path in [pipeline.compile.catalogue.as_deref(), further].into_iter().flatten() {
        catalogue = catalogue.extended_by(path)?;
    }
    if let Some(place) = pipeline.compile.gpus.iter().position(|name| name == AUTO) {
        pipeline.compile.gpus.splice(place..=place, local_types(&catalogue)?);
    }
    Ok((pipeline, catalogue))
}

/// Names of the types of this machine's GPUs.
fn local_types(catalogue: &GpuCatalogue) -> Result<Vec<String>> {
    let gpus = planforge_tensorrt::local_gpus()?;
    if gpus.is_empty() {
        let reason = if planforge_tensorrt::has_cuda_driver() { "has no NVIDIA GPU" } else { "has no CUDA driver" };
        return Err(NoGpu(format!(
            "GPU `{AUTO}` is the one in this machine, which {reason}; name GPU types instead: `planforge gpus` lists them"
        ))
        .into());
    }
    let mut names = Vec::new();
    for gpu in gpus {
        let (major, minor) = gpu.compute_capability;
        let capability = ComputeCapability { major, minor };
        let known = catalogue.matching(&gpu.product, capability, gpu.memory_byte_count).ok_or_else(|| {
            BadUsage(format!(
                "the GPU in this machine, `{}` of compute capability {capability}, is not in the catalogue; \
                 add it with key `compile.catalogue`",
                gpu.product
            ))
        })?;
        names.push(known.name.clone());
    }
    Ok(names)
}
