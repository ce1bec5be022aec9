//! The whole file: reading, and what it asks for.
//!
//! - `check`: whether its keys contradict each other
//! - `triton`: the same for `[triton]`

mod check;
mod triton;

use super::host::HostSpec;
use super::profiles::{max_batch, max_sequence, profiles_up_to};
use super::schema::{Contradiction, Mistake, Validated, table_of, validate};
use super::tables::{CompileSpec, ExportSpec, LoadSpec, PackageSpec, ProbeSpec, SAMPLE_TEXTS, SourceSpec, StoreSpec};
use super::triton::TritonSpec;
use super::values::{MemorySize, ModelName, Profile, Task};
use crate::{Builder, BuilderOptions, Error, MAX_PIPELINE_BYTE_COUNT, Model, OnnxBackend, Platform, Result, read_text};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// One pipeline file (`pipelines/<name>.toml`).
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-example" = {"name": "all-MiniLM-L6-v2", "task": "sentence-embedding"}))]
pub struct Pipeline {
    /// Name of the model in packages, stores and reports.
    #[schemars(extend("x-example" = "all-MiniLM-L6-v2", "x-also" = ["model", "model_name"]))]
    pub name: ModelName,
    /// What the model is used for; decides its outputs.
    #[schemars(extend("x-example" = "feature-extraction", "x-also" = ["type", "pipeline_tag"]))]
    pub task: Task,
    /// Where the checkpoint comes from.
    #[schemars(extend("x-example" = {"repo": "owner/name"}, "x-also" = ["model"]))]
    pub source: SourceSpec,
    /// Optimization profiles: the shapes that engines are built for. At least one table is needed.
    #[schemars(
        extend("x-example" = [{"batch": [1, 16, 32]}], "x-also" = ["profile", "shapes"])
    )]
    pub profiles: Vec<Profile>,
    /// How the model is exported.
    #[serde(default)]
    pub export: ExportSpec,
    /// How engines are built.
    #[serde(default)]
    #[schemars(extend("x-also" = ["build", "tensorrt", "engine"]))]
    pub compile: CompileSpec,
    /// How models and engines are packaged.
    #[serde(default)]
    #[schemars(extend("x-also" = ["archive"]))]
    pub package: PackageSpec,
    /// How Triton runs the packages.
    #[serde(default)]
    pub triton: TritonSpec,
    /// Where copies are published.
    #[serde(default)]
    #[schemars(extend("x-also" = ["publish", "s3"]))]
    pub store: StoreSpec,
    /// The local endpoint.
    #[serde(default)]
    #[schemars(extend("x-also" = ["endpoint", "serve"]))]
    pub host: HostSpec,
    /// The measurement of how many copies fit.
    #[serde(default)]
    pub probe: ProbeSpec,
    /// The load test.
    #[serde(default)]
    #[schemars(extend("x-also" = ["benchmark"]))]
    pub load: LoadSpec,
}

impl Pipeline {
    /// Reads and checks a pipeline file.
    ///
    /// # Errors
    /// [`Error::Pipeline`] with every mistake in it: unknown keys, invalid values, keys that contradict each other.
    pub fn read(path: &Path) -> Result<Self> {
        let text = read_text(path, MAX_PIPELINE_BYTE_COUNT)?;
        let fail = |mistakes| Error::Pipeline { path: path.to_owned(), mistakes };
        let mut pipeline = Self::parse(&text).map_err(fail)?;
        pipeline.resolve_paths(path.parent().unwrap_or(Path::new("")));
        Ok(pipeline)
    }

    fn parse(text: &str) -> std::result::Result<Self, Vec<Mistake>> {
        let Validated { source, mut mistakes, table } = validate(text, &table_of::<Self>());
        let Some(table) = table else { return Err(mistakes) };
        match Self::from_table(table) {
            Ok(pipeline) => {
                let follows = |contradiction: &Contradiction| {
                    let mut keys = mistakes.iter().filter_map(|mistake| mistake.key.as_deref());
                    keys.any(|key| contradiction.concerns(key))
                };
                let found = pipeline.contradictions();
                let own: Vec<_> = found.iter().filter(|contradiction| !follows(contradiction)).collect();
                mistakes.extend(own.iter().map(|contradiction| contradiction.at(Some(&source))));
                mistakes.sort_by_key(|mistake| mistake.line);
                if mistakes.is_empty() { Ok(pipeline) } else { Err(mistakes) }
            }
            Err(error) => {
                if mistakes.is_empty() {
                    mistakes.push(Mistake { line: None, key: None, message: error.message().to_owned() });
                }
                Err(mistakes)
            }
        }
    }

    /// The pipeline of a file's values. GPU types ask for platform `tensorrt` where the file names no platforms.
    fn from_table(table: toml::Table) -> std::result::Result<Self, toml::de::Error> {
        let names_platforms = table.get("package").is_some_and(|package| package.get("platforms").is_some());
        let mut pipeline: Self = table.try_into()?;
        if !names_platforms && !pipeline.compile.gpus.is_empty() {
            pipeline.package.platforms.push(Platform::Tensorrt);
        }
        Ok(pipeline)
    }

    /// The pipeline, whose keys do not contradict each other; `path` is its file.
    ///
    /// # Errors
    /// [`Error::Pipeline`] where they do, as they may after some were changed.
    pub fn checked(self, path: &Path) -> Result<Self> {
        let found = self.contradictions();
        self.without(&found, path)
    }

    fn without(self, contradictions: &[Contradiction], path: &Path) -> Result<Self> {
        if contradictions.is_empty() {
            return Ok(self);
        }
        let mistakes = contradictions.iter().map(|contradiction| contradiction.at(None)).collect();
        Err(Error::Pipeline { path: path.to_owned(), mistakes })
    }

    /// The largest batch of any profile.
    #[must_use]
    pub fn max_batch_size(&self) -> u64 {
        max_batch(&self.profiles)
    }

    /// The pipeline with the largest batch of every profile lowered to `batch`, where that is possible: a profile keeps
    /// its smallest.
    ///
    /// # Errors
    /// [`Error::Pipeline`] when a measurement's request is then too large; `path` is the pipeline file.
    pub fn with_max_batch(mut self, batch: u64, path: &Path) -> Result<Self> {
        self.profiles = self.profiles_up_to(batch);
        let mut found = self.request_contradictions();
        found.extend(self.triton_contradictions());
        for contradiction in &mut found {
            contradiction.keys.push("compile.max_batch");
            contradiction.message.push_str(", the limit that `compile.max_batch` chose");
        }
        self.without(&found, path)
    }

    /// The profiles with `batch` as the largest of all; one whose smallest is above it keeps that.
    #[must_use]
    pub fn profiles_up_to(&self, batch: u64) -> Vec<Profile> {
        profiles_up_to(&self.profiles, batch)
    }

    /// The largest sequence of any profile, for models over text.
    #[must_use]
    pub fn max_sequence(&self) -> Option<u64> {
        max_sequence(&self.profiles)
    }

    /// Outputs of the engines of `model`: those that the file names, else those of the task, or all of a prebuilt graph.
    #[must_use]
    pub fn engine_outputs(&self, model: &Model) -> Vec<String> {
        match &self.compile.outputs {
            Some(outputs) => outputs.clone(),
            None if model.prebuilt => model.outputs.iter().map(|output| output.name.clone()).collect(),
            None => model.main_outputs(),
        }
    }

    /// Options of the builder besides target and profiles.
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

    /// Batch and tokens of the probe's request: the largest that a copy may get, unless the pipeline names others.
    #[must_use]
    pub fn probe_request(&self) -> (u64, Option<u64>) {
        let batch = self.probe.batch.unwrap_or_else(|| self.max_batch_size());
        (batch, self.probe.sequence.or_else(|| self.max_sequence()))
    }

    /// Batch and tokens of the load test's requests.
    #[must_use]
    pub fn load_request(&self) -> (u64, Option<u64>) {
        (self.load.batch, self.load.sequence.or_else(|| self.opt_sequence()))
    }

    /// Texts that exported models over texts are run on.
    #[must_use]
    pub fn sample_texts(&self) -> Vec<String> {
        self.export.samples.clone().unwrap_or_else(|| SAMPLE_TEXTS.map(str::to_owned).to_vec())
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
