//! The whole file: reading, checks across tables, and the variants it asks for.

use super::tables::{
    CompileSpec, ExportSpec, HostSpec, LoadSpec, PackageSpec, ProbeSpec, SENTENCES, SourceSpec, StoreSpec,
};
use super::triton::TritonSpec;
use super::values::{MemorySize, ModelName, Profile, Task};
use crate::{
    Builder, BuilderOptions, Error, HardwareCompatibility, Model, ModelFormat, OnnxBackend, Platform, Result,
    TritonRelease,
};
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

    fn check(&self) -> std::result::Result<(), (&'static str, String)> {
        match (&self.source.repo, &self.source.path) {
            (Some(repo), None) if is_repository(repo) => {}
            (Some(repo), None) => {
                return Err(("source.repo", format!("`{repo}` is not a repository: use `owner/name`")));
            }
            (None, Some(_)) => {}
            _ => return Err(("source", "give one of `repo` and `path`".to_owned())),
        }
        if self.profiles.is_empty() {
            return Err(("profiles", "give at least one [[profiles]] table".to_owned()));
        }
        if !self.export.formats.contains(&ModelFormat::Onnx) {
            return Err(("export.formats", "name \"onnx\" too: packages and engines are made from it".to_owned()));
        }
        if self.export.precisions.is_empty() {
            return Err(("export.precisions", "give at least one of \"fp32\", \"fp16\" and \"bf16\"".to_owned()));
        }
        if self.export.samples.as_ref().is_some_and(Vec::is_empty) {
            return Err(("export.samples", "give at least one sample, or leave the key out".to_owned()));
        }
        check_repeats("export.formats", &self.export.formats)?;
        check_repeats("export.precisions", &self.export.precisions)?;
        check_repeats("package.platforms", &self.package.platforms)?;
        check_repeats("package.pytorch_precisions", self.package.pytorch_precisions.iter().flatten())?;
        self.check_dimensions()?;
        self.check_graph()?;
        self.check_platforms()?;
        self.check_triton()?;
        check_builder(&self.compile)?;
        self.check_strip_weights()?;
        super::store::check(&self.store)?;
        if self.compile.outputs.as_ref().is_some_and(Vec::is_empty) {
            return Err(("compile.outputs", "name at least one output, or leave the key out".to_owned()));
        }
        self.check_request("probe", self.probe_request())?;
        self.check_request("load", self.load_request())?;
        if self.load.stages.iter().any(|stage| stage.users == 0 || stage.seconds == 0 || stage.spawn_rate == Some(0))
            || self.load.stages.is_empty()
        {
            return Err(("load.stages", "give stages with at least one user and one second each".to_owned()));
        }
        Ok(())
    }

    /// TensorRT-RTX leaves out weights that lie in files of their own, of engines with one profile (`NvInfer.h`,
    /// `IBuilderConfig::addOptimizationProfile`).
    fn check_strip_weights(&self) -> std::result::Result<(), (&'static str, String)> {
        let fail = |message: &str| Err(("compile.strip_weights", message.to_owned()));
        if !self.compile.strip_weights || self.compile.builder != Builder::Rtx {
            return Ok(());
        }
        match (self.profiles.len(), &self.source.graph, self.export.self_contained) {
            (2.., ..) => fail("an engine without weights has one optimization profile; leave one [[profiles]] table"),
            (_, Some(_), _) => {
                fail("a graph that is taken as it is keeps its weights; leave `source.graph` or this key out")
            }
            (_, _, true) => {
                fail("weights in the graph's own file cannot be left out; leave `export.self_contained` out")
            }
            _ => Ok(()),
        }
    }

    /// Each platform needs something of its own.
    fn check_platforms(&self) -> std::result::Result<(), (&'static str, String)> {
        let PackageSpec { platforms, pytorch_precisions, include_backend, fat, .. } = &self.package;
        if platforms.is_empty() {
            let known = "give at least one of \"onnx\", \"pytorch\" and \"tensorrt\"";
            return Err(("package.platforms", known.to_owned()));
        }
        if platforms.contains(&Platform::Tensorrt) && self.compile.gpus.is_empty() {
            let message = "platform `tensorrt` needs at least one GPU; `planforge gpus` lists them";
            return Err(("compile.gpus", message.to_owned()));
        }
        let has_pytorch = platforms.contains(&Platform::Pytorch);
        if has_pytorch && self.source.graph.is_some() {
            return Err(("package.platforms", "a graph that is taken as it is stays ONNX".to_owned()));
        }
        if *fat && !platforms.contains(&Platform::Tensorrt) {
            return Err((
                "package.fat",
                "it is about engines, and `package.platforms` does not name \"tensorrt\"".to_owned(),
            ));
        }
        if *fat && self.compile.fat {
            let message = "`compile.fat` makes one engine for all GPU types: there is nothing to put together";
            return Err(("package.fat", message.to_owned()));
        }
        if *include_backend && !platforms.iter().any(|platform| self.is_served_by_planforge(*platform)) {
            let message = "no archive would carry planforge's backend: of `package.platforms` it serves \"tensorrt\" with \
                           builder `rtx`, and \"onnx\" with `onnx_backend = \"planforge\"`; leave the key out";
            return Err(("package.include_backend", message.to_owned()));
        }
        match pytorch_precisions {
            Some(_) if !has_pytorch => {
                Err(("package.pytorch_precisions", "`package.platforms` does not name \"pytorch\"".to_owned()))
            }
            Some(precisions) if precisions.is_empty() => Err((
                "package.pytorch_precisions",
                "give at least one of \"fp32\", \"fp16\" and \"bf16\", or leave the key out".to_owned(),
            )),
            _ => Ok(()),
        }
    }

    /// Sequences are for texts, sizes for pictures.
    fn check_dimensions(&self) -> std::result::Result<(), (&'static str, String)> {
        let task = self.task;
        if task.is_over_images() {
            let names_sequence = self.profiles.iter().any(|profile| profile.sequence.is_some());
            if names_sequence || self.probe.sequence.is_some() || self.load.sequence.is_some() {
                return Err(("profiles.sequence", format!("task `{task}` is over pictures, which have no sequence")));
            }
        } else if self.export.image_size.is_some() {
            return Err(("export.image_size", format!("task `{task}` is over texts")));
        }
        Ok(())
    }

    /// A graph that is taken as it is has its sizes and its precision, and lies within the repository.
    fn check_graph(&self) -> std::result::Result<(), (&'static str, String)> {
        let Some(graph) = &self.source.graph else { return Ok(()) };
        let stays_inside = Path::new(graph).components().all(|part| matches!(part, std::path::Component::Normal(_)));
        if graph.is_empty() || !stays_inside {
            return Err((
                "source.graph",
                format!("`{graph}` is no file of a repository: use a path such as `onnx/model.onnx`"),
            ));
        }
        if self.export.formats.contains(&ModelFormat::TorchScript) {
            return Err(("export.formats", "a graph that is taken as it is stays ONNX".to_owned()));
        }
        if self.export.image_size.is_some() {
            return Err(("export.image_size", "a graph that is taken as it is has its own size".to_owned()));
        }
        if !self.export.keep_fp32.is_empty() {
            return Err(("export.keep_fp32", "a graph that is taken as it is has its own precisions".to_owned()));
        }
        if self.export.precisions.len() > 1 {
            return Err(("export.precisions", "a graph that is taken as it is has one precision".to_owned()));
        }
        Ok(())
    }

    /// Whether a measurement's request lies within the profiles.
    fn check_request(
        &self,
        table: &str,
        (batch, sequence): (u64, Option<u64>),
    ) -> std::result::Result<(), (&'static str, String)> {
        let most = self.max_batch_size();
        if batch == 0 || batch > most {
            let key = if table == "probe" { "probe.batch" } else { "load.batch" };
            return Err((key, format!("{batch} is outside the profiles: use 1 to {most}")));
        }
        match (sequence, self.max_sequence()) {
            (Some(sequence), Some(most)) if sequence == 0 || sequence > most => {
                let key = if table == "probe" { "probe.sequence" } else { "load.sequence" };
                Err((key, format!("{sequence} is outside the profiles: use 1 to {most}")))
            }
            _ => Ok(()),
        }
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

/// What is named twice would be made twice.
fn check_repeats<'a, T: Eq + ToString + 'a>(
    key: &'static str,
    values: impl IntoIterator<Item = &'a T>,
) -> std::result::Result<(), (&'static str, String)> {
    let mut known = Vec::new();
    for value in values {
        if known.contains(&value) {
            return Err((key, format!("\"{}\" is there twice", value.to_string())));
        }
        known.push(value);
    }
    Ok(())
}

/// Keys of one builder do not fit another.
fn check_builder(compile: &CompileSpec) -> std::result::Result<(), (&'static str, String)> {
    if let Some(release) = &compile.triton {
        TritonRelease::find(release).map_err(|error| ("compile.triton", error.to_string()))?;
    }
    let is_changed = compile.hardware_compatibility != HardwareCompatibility::None;
    let keys = [
        ("compile.triton", compile.triton.is_some()),
        ("compile.version_compatible", compile.version_compatible),
        ("compile.hardware_compatibility", is_changed),
    ];
    match (compile.builder, keys.iter().find(|(_, is_set)| *is_set)) {
        (Builder::Rtx, Some((key, _))) => {
            Err((key, "builder `rtx` has no such option, builder `trtexec` has".to_owned()))
        }
        (Builder::Trtexec, _) if compile.fat => Err((
            "compile.fat",
            "builder `trtexec` builds for the GPU that it runs on; key `compile.hardware_compatibility` widens that"
                .to_owned(),
        )),
        _ => Ok(()),
    }
}

/// `owner/name`, or the bare name of an old repository.
fn is_repository(text: &str) -> bool {
    let good = |part: &str| {
        !part.is_empty()
            && part != "."
            && part != ".."
            && part.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
    };
    match text.split_once('/') {
        Some((owner, name)) => good(owner) && good(name),
        None => good(text),
    }
}

#[cfg(test)]
mod tests;
