//! The whole file: reading, and what it asks for.
//!
//! - `check`: whether its keys contradict each other

mod check;

use super::tables::{
    CompileSpec, ExportSpec, HostSpec, LoadSpec, PackageSpec, ProbeSpec, SENTENCES, SourceSpec, StoreSpec,
};
use super::triton::TritonSpec;
use super::values::{MemorySize, ModelName, Profile, Task};
use crate::{Builder, BuilderOptions, Error, Model, OnnxBackend, Platform, Result};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// One pipeline file (`pipelines/<name>.toml`).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pipeline {
    /// Name of the model in packages, stores and reports.
    pub name: ModelName,
    /// What the model is used for.
    pub task: Task,
    /// Where the checkpoint comes from.
    pub source: SourceSpec,
    /// Optimization profiles, at least one.
    pub profiles: Vec<Profile>,
    /// Export options.
    #[serde(default)]
    pub export: ExportSpec,
    /// Engine options.
    #[serde(default)]
    pub compile: CompileSpec,
    /// Package options.
    #[serde(default)]
    pub package: PackageSpec,
    /// How Triton runs the packages.
    #[serde(default)]
    pub triton: TritonSpec,
    /// Where copies are published.
    #[serde(default)]
    pub store: StoreSpec,
    /// The local endpoint.
    #[serde(default)]
    pub host: HostSpec,
    /// The memory probe.
    #[serde(default)]
    pub probe: ProbeSpec,
    /// The load test.
    #[serde(default)]
    pub load: LoadSpec,
}

impl Pipeline {
    /// Reads and checks a pipeline file.
    ///
    /// # Errors
    /// [`Error::Parse`] for unknown keys and values out of range, with line and key; [`Error::Value`]
    /// for keys that contradict each other.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs_err::read_to_string(path)?;
        let mut pipeline: Self = toml::from_str(&text).map_err(|error| Error::Parse {
            what: "pipeline file",
            path: path.to_owned(),
            message: error.to_string().trim_end().to_owned(),
        })?;
        pipeline.resolve_paths(path.parent().unwrap_or(Path::new("")));
        pipeline.checked(path)
    }

    /// The pipeline, whose keys do not contradict each other; `path` is its file.
    ///
    /// # Errors
    /// [`Error::Value`] where they do, as they may after some were changed.
    pub fn checked(self, path: &Path) -> Result<Self> {
        let fail =
            |(key, message): (&str, String)| Error::Value { path: path.to_owned(), key: key.to_owned(), message };
        self.check().map_err(fail)?;
        Ok(self)
    }

    /// The largest batch of any profile: the one source of Triton's `max_batch_size`.
    #[must_use]
    pub fn max_batch_size(&self) -> u64 {
        self.profiles.iter().map(|profile| profile.batch.max).max().unwrap_or(1)
    }

    /// The pipeline with the largest batch of every profile lowered to `batch`, where that is possible: a profile keeps
    /// its smallest.
    ///
    /// # Errors
    /// [`Error::Value`] when a measurement's request is then too large; `path` is the pipeline file.
    pub fn with_max_batch(mut self, batch: u64, path: &Path) -> Result<Self> {
        self.profiles = self.profiles_up_to(batch);
        let requests = self
            .check_request("probe", self.probe_request())
            .and_then(|()| self.check_request("load", self.load_request()))
            .and_then(|()| self.check_triton());
        requests.map_err(|(key, message)| Error::Value {
            path: path.to_owned(),
            key: key.to_owned(),
            message: format!("{message}, as `compile.max_batch` has chosen"),
        })?;
        Ok(self)
    }

    /// The profiles with `batch` as the largest of all; one whose smallest lies above keeps that.
    #[must_use]
    pub fn profiles_up_to(&self, batch: u64) -> Vec<Profile> {
        let largest = self.max_batch_size();
        let up_to = |profile: &Profile| {
            let max = if profile.batch.max == largest { batch } else { batch.min(profile.batch.max) };
            Profile { batch: profile.batch.with_max(max), ..profile.clone() }
        };
        self.profiles.iter().map(up_to).collect()
    }

    /// The largest sequence of any profile, for models over text.
    #[must_use]
    pub fn max_sequence(&self) -> Option<u64> {
        self.profiles.iter().filter_map(|profile| profile.sequence).map(|range| range.max).max()
    }

    /// Outputs of the engines of `model`.
    #[must_use]
    pub fn engine_outputs(&self, model: &Model) -> Vec<String> {
        self.compile.outputs.clone().unwrap_or_else(|| model.main_outputs())
    }

    /// What the builder is told beyond target and profiles.
    #[must_use]
    pub fn builder_options(&self) -> BuilderOptions {
        BuilderOptions {
            optimization_level: self.compile.optimization_level.map(u8::from),
            workspace_byte_count: self.compile.workspace.map(MemorySize::byte_count),
            strip_weights: self.compile.strip_weights,
            version_compatible: self.compile.version_compatible,
            hardware_compatibility: self.compile.hardware_compatibility,
        }
    }

    /// Whether planforge's Triton backend serves the packages for `platform`. No other loads engines of TensorRT-RTX.
    #[must_use]
    pub fn is_served_by_planforge(&self, platform: Platform) -> bool {
        match platform {
            Platform::Onnx => self.package.onnx_backend == OnnxBackend::Planforge,
            Platform::Pytorch => false,
            Platform::Tensorrt => self.compile.builder == Builder::Rtx,
        }
    }

    /// Batch and tokens of the probe's request.
    #[must_use]
    pub fn probe_request(&self) -> (u64, Option<u64>) {
        let opt = self.profiles.first();
        let batch = self.probe.batch.or(opt.map(|profile| profile.batch.opt)).unwrap_or(1);
        (batch, self.probe.sequence.or_else(|| self.opt_sequence()))
    }

    /// Batch and tokens of the load test's requests.
    #[must_use]
    pub fn load_request(&self) -> (u64, Option<u64>) {
        (self.load.batch, self.load.sequence.or_else(|| self.opt_sequence()))
    }

    /// Sentences that exported models over texts are run on.
    #[must_use]
    pub fn sentences(&self) -> Vec<String> {
        self.export.samples.clone().unwrap_or_else(|| SENTENCES.map(str::to_owned).to_vec())
    }

    fn opt_sequence(&self) -> Option<u64> {
        self.profiles.first().and_then(|profile| profile.sequence).map(|range| range.opt)
    }

    fn resolve_paths(&mut self, folder: &Path) {
        for path in [&mut self.source.path, &mut self.compile.catalogue, &mut self.triton.config].into_iter().flatten()
        {
            *path = folder.join(&*path);
        }
        if self.task.is_over_images() {
            for sample in self.export.samples.iter_mut().flatten() {
                *sample = folder.join(&*sample).to_string_lossy().into_owned();
            }
        }
    }
}

#[cfg(test)]
mod tests;
