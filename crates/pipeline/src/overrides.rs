//! What a caller changes in a pipeline file, and the GPU types that the pipeline then knows.

use crate::lock::LockMode;
use crate::{Error, Result};
use planforge_core::{GpuCatalogue, HostContainer, Pipeline, Platform, Precision};
use std::path::{Path, PathBuf};

/// The GPU name that stands for the GPUs of this machine.
const AUTO: &str = "auto";

/// What a caller changes in a pipeline file.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// GPU types; those of the pipeline where none are named.
    pub gpus: Vec<String>,
    /// Precisions; those of the pipeline where none are named.
    pub precisions: Vec<Precision>,
    /// Builds one engine for all GPU types; else the pipeline decides.
    pub multi_target: bool,
    /// A file with more GPU types.
    pub catalogue: Option<PathBuf>,
    /// Number of copies.
    pub copies: Option<u32>,
    /// What runs models of the local endpoint; that of the pipeline where it is not named.
    pub container: Option<HostContainer>,
    /// Fetches every file of the repository, not only those that the pipeline needs.
    pub all_files: bool,
    /// What is done with the lock.
    pub lock: LockMode,
}

impl Overrides {
    /// The pipeline with these changes.
    ///
    /// # Errors
    /// [`Error::InvalidCopies`].
    pub(crate) fn apply(&self, mut spec: Pipeline) -> Result<Pipeline> {
        if !self.gpus.is_empty() {
            spec.compile.gpus.clone_from(&self.gpus);
            if !spec.package.platforms.contains(&Platform::Tensorrt) {
                spec.package.platforms.push(Platform::Tensorrt);
            }
        }
        if !self.precisions.is_empty() {
            spec.export.precisions.clone_from(&self.precisions);
        }
        spec.compile.multi_target |= self.multi_target;
        if let Some(container) = &self.container {
            spec.host.container.clone_from(container);
        }
        if let Some(copies) = self.copies {
            spec.package.copies = copies.try_into().map_err(|reason| Error::InvalidCopies { reason })?;
        }
        Ok(spec)
    }
}

/// The GPU types that planforge knows, with those of the pipeline's file and of `more`.
pub(crate) fn read_catalogue(spec: &Pipeline, more: Option<&Path>) -> Result<GpuCatalogue> {
    let mut catalogue = GpuCatalogue::built_in();
    for path in [spec.compile.catalogue.as_deref(), more].into_iter().flatten() {
        catalogue = catalogue.extended_by(path)?;
    }
    Ok(catalogue)
}

/// The pipeline with the GPU `auto` replaced by the types of this machine's GPUs.
pub(crate) fn with_local_gpus(mut spec: Pipeline, catalogue: &GpuCatalogue) -> Result<Pipeline> {
    if let Some(place) = spec.compile.gpus.iter().position(|name| name == AUTO) {
        spec.compile.gpus.splice(place..=place, local_types(catalogue)?);
    }
    Ok(spec)
}

/// Catalogue names of this machine's GPUs.
fn local_types(catalogue: &GpuCatalogue) -> Result<Vec<String>> {
    let gpus = planforge_tensorrt::local_gpus()?;
    if gpus.is_empty() {
        return Err(Error::NoLocalGpu { has_driver: planforge_tensorrt::has_cuda_driver() });
    }
    let mut names = Vec::new();
    for gpu in gpus {
        let compute_capability = gpu.compute_capability;
        let known = catalogue
            .matching(&gpu.product, compute_capability, gpu.memory_byte_count)
            .ok_or_else(|| Error::UnknownLocalGpu { product: gpu.product.clone(), compute_capability })?;
        names.push(known.name.clone());
    }
    Ok(names)
}
