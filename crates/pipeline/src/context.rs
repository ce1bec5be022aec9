//! The immutable context of a run: everything that stages are given besides earlier artifacts.

use crate::lock::{LockPlace, LockState};
use crate::machine::this_machine;
use crate::options::PipelineOptions;
use crate::overrides::{Overrides, read_catalogue, with_local_gpus};
use crate::{Error, Result};
use planforge_core::{Cache, GpuCatalogue, OutputLayout, Pipeline, Progress};
use planforge_report::Environment;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::runtime::Handle;

/// One pipeline, ready to run. Stages read it and never change it.
#[derive(Clone)]
pub struct PipelineContext {
    /// The pipeline file with the caller's overrides.
    pub spec: Pipeline,
    /// The pipeline file's path.
    pub file: PathBuf,
    /// GPU types.
    pub catalogue: GpuCatalogue,
    /// The lock, and what is done with it.
    pub lock: LockState,
    /// Options of the program.
    pub options: PipelineOptions,
    /// Whether every file of the repository is fetched.
    pub all_files: bool,
    /// Paths of results.
    pub layout: OutputLayout,
    /// The artifact cache.
    pub cache: Cache,
    /// Processor and memory of this machine.
    pub machine: Environment,
    /// Where events go.
    pub progress: Arc<dyn Progress>,
    /// Runs the stages that use sockets.
    pub runtime: Handle,
}

impl PipelineContext {
    /// Reads the pipeline file `file` and its lock, and applies `overrides`.
    ///
    /// # Errors
    /// An invalid pipeline file, override or lock, and a missing lock where `overrides.lock` needs one.
    pub fn open(
        options: &PipelineOptions,
        overrides: &Overrides,
        file: &Path,
        progress: Arc<dyn Progress>,
        runtime: Handle,
    ) -> Result<Self> {
        let spec = overrides.apply(read_spec(file)?)?.checked(file)?;
        let catalogue = read_catalogue(&spec, overrides.catalogue.as_deref())?;
        let spec = with_local_gpus(spec, &catalogue)?;
        let layout = OutputLayout::new(&options.output, &spec.name);
        let place = LockPlace::find(options.lock.as_deref(), file, &layout, overrides.lock)?;
        Ok(Self {
            lock: LockState::open(file, place, overrides.lock)?,
            layout,
            cache: Cache::new(&options.cache),
            options: options.clone(),
            all_files: overrides.all_files,
            file: file.to_owned(),
            machine: this_machine(),
            catalogue,
            spec,
            progress,
            runtime,
        })
    }

    /// Where events go.
    #[must_use]
    pub fn progress(&self) -> &dyn Progress {
        &*self.progress
    }
}

/// Reads a pipeline file.
pub(crate) fn read_spec(file: &Path) -> Result<Pipeline> {
    if file.is_dir() {
        return Err(Error::PipelineIsFolder { path: file.to_owned() });
    }
    if !file.exists() {
        return Err(Error::NoPipelineFile { path: file.to_owned() });
    }
    Ok(Pipeline::read(file)?)
}
