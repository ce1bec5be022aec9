//! Each step: previous result in, next result out, rows for the report on the way.

use crate::failure::{BadUsage, CheckFailed, Missing};
use crate::pipeline::check::check_model;
use crate::pipeline::rows::{materialise, outcome};
use crate::progress::Terminal;
use crate::settings::Settings;
use anyhow::{Context, Result};
use planforge_bench::{ArchiveFacts, EngineFacts, Library, Report, SourceFacts};
use planforge_core::{
    Archive, ArtifactFile, Cache, Engine, Gpu, GpuCatalogue, KnownDigests, Model, ModelFormat, Outcome, OutputLayout,
    Pipeline, Platform, Precision, Progress, Published, Snapshot, Step, Stored, Variant, link_or_copy,
    write_atomically,
};
use planforge_engine::{CompileOptions, ExportOptions, Worker, check_profiles, compile, export, pass_through};
use planforge_hub::{FetchOptions, fetch, local_snapshot};
use planforge_package::Store;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What the command line changes in a pipeline.
#[derive(Debug, Clone, Default)]
pub(crate) struct Overrides {
    /// GPU types, when any are named.
    pub(crate) gpus: Vec<String>,
    /// Number of copies.
    pub(crate) copies: Option<u32>,
}

/// What the steps made, as far as they went.
pub(crate) struct Made {
    pub(crate) snapshot: Snapshot,
    pub(crate) models: Vec<Stored<Model>>,
    /// TorchScript.
    pub(crate) modules: Vec<Stored<Model>>,
    pub(crate) published: Vec<Published>,
}

/// One pipeline under way. Steps are called in order; each fills its part.
pub(crate) struct Run {
    pub(crate) settings: Settings,
    pub(crate) terminal: Arc<Terminal>,
    pub(crate) pipeline: Pipeline,
    pub(crate) layout: OutputLayout,
    pub(crate) report: Report,
    pub(crate) variants: Vec<Variant>,
    catalogue: GpuCatalogue,
    cache: Cache,
    started: Instant,
}

impl Run {
    /// Reads the pipeline file, applies `overrides`, and chooses the variants.
    pub(crate) fn open(
        settings: &Settings,
        terminal: &Arc<Terminal>,
        path: &Path,
        overrides: &Overrides,
    ) -> Result<Self> {
        if !path.is_file() {
            return Err(BadUsage(format!("pipeline file `{}` does not exist", path.display())).into());
        }
        let mut pipeline = Pipeline::read(path)?;
        if !overrides.gpus.is_empty() {
            pipeline.compile.gpus.clone_from(&overrides.gpus);
            if !pipeline.package.platforms.contains(&Platform::Tensorrt) {
                pipeline.package.platforms.push(Platform::Tensorrt);
            }
        }
        if let Some(copies) = overrides.copies {
            pipeline.package.copies = copies.try_into().map_err(BadUsage)?;
        }
        let mut catalogue = GpuCatalogue::built_in();
        if let Some(path) = &pipeline.compile.catalogue {
            catalogue = catalogue.extended_by(path)?;
        }
        let (variants, mut skipped) = pipeline.variants(&catalogue)?;
        let variants = crate::libtorch::available(variants, &mut skipped)?;
        if pipeline.export.formats.contains(&ModelFormat::TorchScript) {
            crate::libtorch::required()?;
        }
        let mut report = Report::new(pipeline.name.as_str(), pipeline.task);
        report.skipped = skipped;
        report.environment = super::summary::environment();
        Ok(Self {
            settings: settings.clone(),
            terminal: Arc::clone(terminal),
            layout: OutputLayout::new(&settings.output, &pipeline.name),
            cache: Cache::new(&settings.cache),
            pipeline,
            report,
            variants,
            catalogue,
            started: Instant::now(),
        })
    }

    /// Runs the steps in order, `until` the last one wanted, and returns what they made.
    pub(crate) fn make(&mut self, runtime: &tokio::runtime::Runtime, until: Step) -> Result<Made> {
        let snapshot = self.fetch(runtime)?;
        let mut made = Made { snapshot, models: Vec::new(), modules: Vec::new(), published: Vec::new() };
        if until >= Step::Export {
            made.models = self.export(&made.snapshot)?;
            made.modules = self.export_modules(&made.snapshot, &made.models)?;
        }
        if until >= Step::Check {
            self.check(&made.snapshot, (&made.models, &made.modules))?;
        }
        let engines = if until >= Step::Compile { self.compile(&made.models)? } else { Vec::new() };
        let archives =
            if until >= Step::Package { self.package((&made.models, &made.modules), &engines)? } else { Vec::new() };
        if until >= Step::Publish {
            made.published = self.publish(&archives)?;
        }
        Ok(made)
    }

    /// Time since the run began.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    pub(super) fn cache(&self) -> &Cache {
        &self.cache
    }

    pub(super) fn progress(&self) -> &dyn Progress {
        &*self.terminal
    }

    /// Hub or folder to snapshot.
    pub(crate) fn fetch(&mut self, runtime: &tokio::runtime::Runtime) -> Result<Snapshot> {
        let start = Instant::now();
        let source = &self.pipeline.source;
        let digests = KnownDigests::in_folder(self.settings.cache.join("digests"));
        let snapshot = match (&source.path, &source.repo) {
            (Some(folder), _) => local_snapshot(folder, source.graph.as_deref(), &digests, self.progress())?,
            (None, Some(repo)) => {
                let hub = &self.settings.hub;
                let options = FetchOptions {
                    repo: repo.clone(),
                    revision: source.revision.clone(),
                    cache: hub.cache.clone(),
                    endpoint: hub.endpoint.clone(),
                    token: hub.token.clone(),
                    offline: hub.offline,
                    digests,
                    graph: source.graph.clone(),
                };
                runtime.block_on(fetch(&options, Arc::clone(&self.terminal) as Arc<dyn Progress>))?
            }
            (None, None) => return Err(BadUsage("the pipeline names no source".to_owned()).into()),
        };
        let record = serde_json::to_vec_pretty(&snapshot)?;
        write_atomically(&self.layout.snapshot(), &record)?;
        self.report.source = Some(SourceFacts::from(&snapshot));
        let outcome =
            if snapshot.commit == "local" || self.settings.hub.offline { Outcome::Cached } else { Outcome::Built };
        if let Some(weights) = snapshot.files.iter().max_by_key(|file| file.byte_count) {
            let path = snapshot.directory.join(&weights.path);
            self.add_row((Step::Fetch, &weights.path), &path, weights, (start.elapsed(), outcome));
        }
        Ok(snapshot)
    }

    /// Snapshot to one model for each precision.
    pub(crate) fn export(&mut self, snapshot: &Snapshot) -> Result<Vec<Stored<Model>>> {
        let mut models = Vec::new();
        for precision in self.precisions() {
            let model = self.export_precision(snapshot, precision)?;
            check_profiles(&model.record, &self.pipeline.profiles)?;
            self.add_export(&model)?;
            models.push(model);
        }
        Ok(models)
    }

    pub(super) fn export_precision(&mut self, snapshot: &Snapshot, precision: Precision) -> Result<Stored<Model>> {
        if let Some(graph) = &self.pipeline.source.graph {
            let purpose = (self.pipeline.task, precision);
            return Ok(pass_through(snapshot, graph, purpose, &self.cache, self.progress())?);
        }
        let mut options = self.export_options(precision);
        if precision == Precision::Fp16 {
            options.wide = self.wide_values(snapshot, &options)?;
        }
        Ok(export(snapshot, &options, &self.cache, self.progress())?)
    }

    pub(super) fn export_options(&self, precision: Precision) -> ExportOptions {
        let image_size = self.pipeline.export.image_size;
        let self_contained = self.pipeline.export.self_contained;
        ExportOptions { image_size, self_contained, ..ExportOptions::new(self.pipeline.task, precision) }
    }

    /// Precisions that some variant needs, each once.
    fn precisions(&self) -> Vec<Precision> {
        let mut precisions: Vec<_> = self.variants.iter().map(|variant| variant.precision).collect();
        precisions.sort();
        precisions.dedup();
        precisions
    }

    /// Runs every model on the samples; a comparison that does not hold ends the run.
    pub(crate) fn check(
        &mut self,
        snapshot: &Snapshot,
        (models, modules): (&[Stored<Model>], &[Stored<Model>]),
    ) -> Result<()> {
        let library = self.load_onnx_runtime()?;
        // The fp32 graph points into the checkpoint, so it costs nothing to have as a reference.
        let reference = match models.iter().find(|model| model.record.precision == Precision::Fp32) {
            Some(model) => Some(model.clone()),
            None if self.pipeline.source.graph.is_some() => None,
            None => Some(self.export_precision(snapshot, Precision::Fp32)?),
        };
        for model in models {
            let samples = self.samples(snapshot, &model.record);
            let inputs = (model, reference.as_ref(), &samples);
            let facts = check_model(snapshot, inputs, &library, &self.cache, self.progress())?;
            self.report.checks.extend(facts);
        }
        // Modules are made from a checkpoint, and so is their reference.
        for (module, reference) in modules.iter().zip(reference.iter().cycle()) {
            let facts = self.check_module(snapshot, (module, reference), &library)?;
            self.report.checks.extend(facts);
        }
        match self.report.checks.iter().find(|check| !check.passed) {
            None => Ok(()),
            Some(failed) => Err(CheckFailed(format!(
                "output `{}` of `{}` differs from {}: cosine {:.6}, max absolute error {:.2e}",
                failed.output, failed.subject, failed.reference, failed.min_cosine, failed.max_absolute_error
            ))
            .into()),
        }
    }

    /// Opens ONNX Runtime and notes its version.
    pub(crate) fn load_onnx_runtime(&mut self) -> Result<String> {
        let path = self.settings.onnx_runtime();
        if !path.exists() {
            return Err(Missing(format!("ONNX Runtime was not found at `{}`", path.display())).into());
        }
        let version = planforge_runtime::load_library(&path)?;
        self.note_library("ONNX Runtime", &version);
        Ok(version)
    }

    fn note_library(&mut self, name: &str, version: &str) {
        let libraries = &mut self.report.environment.libraries;
        if libraries.iter().all(|library| library.name != name) {
            libraries.push(Library { name: name.to_owned(), version: version.to_owned() });
        }
    }

    /// Models to engines, one for each variant with a GPU.
    pub(crate) fn compile(&mut self, models: &[Stored<Model>]) -> Result<Vec<(Variant, Stored<Engine>)>> {
        let targets: Vec<Variant> = self.variants.iter().filter(|variant| variant.gpu.is_some()).cloned().collect();
        if targets.is_empty() {
            return Ok(Vec::new());
        }
        for sentence in &self.report.skipped {
            self.progress().note(Step::Compile, "skipped", sentence.clone());
        }
        let library_version = self.tensorrt_version()?;
        let mut engines = Vec::new();
        for variant in targets {
            let gpu = self.catalogue.find(variant.gpu.as_deref().unwrap_or_default())?.clone();
            let model = model_of(models, variant.precision)?;
            let engine = compile(
                model,
                &self.compile_options(gpu, &library_version, &model.record)?,
                &self.cache,
                self.progress(),
            )?;
            let folder = self.layout.engine(&variant);
            materialise(&engine, &folder)?;
            let plan = engine.record.plan.clone();
            if let Some(file) = engine.file(&plan) {
                self.report.engines.push(EngineFacts::new(
                    &engine.record,
                    file.byte_count,
                    &file.sha256,
                    outcome(&engine),
                ));
            }
            self.add_main_file(Step::Compile, &variant.id(), (&engine, &plan), &folder.join(&plan));
            engines.push((variant, engine));
        }
        Ok(engines)
    }

    fn tensorrt_version(&mut self) -> Result<String> {
        let libraries = planforge_tensorrt::Libraries::in_folder(&self.settings.tensorrt_folder());
        if !libraries.builder.exists() {
            return Err(Missing(format!("TensorRT-RTX was not found at `{}`", libraries.builder.display())).into());
        }
        let version = planforge_tensorrt::library_version(&libraries.builder)?;
        self.note_library("TensorRT-RTX", &version);
        Ok(version)
    }

    fn compile_options(&self, gpu: Gpu, library_version: &str, model: &Model) -> Result<CompileOptions> {
        let program = std::env::current_exe().context("the path of this program is unknown")?;
        Ok(CompileOptions {
            gpu,
            builder: self.pipeline.compile.builder,
            profiles: self.pipeline.profiles.clone(),
            outputs: self.pipeline.engine_outputs(model),
            libraries: self.settings.tensorrt_folder(),
            library_version: library_version.to_owned(),
            worker: Worker { program, arguments: vec!["internal".to_owned(), "build-engine".to_owned()] },
            timeout: Duration::from_secs(self.pipeline.compile.timeout_seconds),
        })
    }

    /// Models, modules and engines to archives, one for each variant.
    pub(crate) fn package(
        &mut self,
        (models, modules): (&[Stored<Model>], &[Stored<Model>]),
        engines: &[(Variant, Stored<Engine>)],
    ) -> Result<Vec<Stored<Archive>>> {
        let mut archives = Vec::new();
        for variant in self.variants.clone() {
            let is_module = variant.platform.model_format() == ModelFormat::TorchScript;
            let model = model_of(if is_module { modules } else { models }, variant.precision)?;
            let engine = engines.iter().find(|(of, _)| *of == variant).map(|(_, engine)| engine);
            let (name, profiles) = (&self.pipeline.name, &self.pipeline.profiles);
            let archive =
                planforge_package::package(name, &variant, model, engine, profiles, &self.cache, self.progress())?;
            let path = self.layout.archive(&variant);
            link_or_copy(&archive.path(&archive.record.file), &path)?;
            self.report.archives.push(ArchiveFacts::new(&archive.record, None));
            let file = archive.record.file.clone();
            self.add_main_file(Step::Package, &variant.id(), (&archive, &file), &path);
            archives.push(archive);
        }
        Ok(archives)
    }

    /// The store of this pipeline.
    pub(crate) fn store(&self) -> Result<Store> {
        let url = match &self.pipeline.store.url {
            Some(url) => url.clone(),
            None => Store::Directory(self.layout.store()).url(""),
        };
        Ok(Store::parse(&url)?)
    }

    /// Archives to N copies each.
    pub(crate) fn publish(&mut self, archives: &[Stored<Archive>]) -> Result<Vec<Published>> {
        let store = self.store()?;
        let copies = u32::from(self.pipeline.package.copies);
        let mut published = Vec::new();
        for (index, archive) in archives.iter().enumerate() {
            let start = Instant::now();
            let name = &self.pipeline.name;
            let done = planforge_package::publish(archive, name, &store, name.as_str(), copies, self.progress())?;
            self.report.archives[index].copies = Some(copies);
            let outcome = if done.kept == copies { Outcome::Cached } else { Outcome::Built };
            let path = store.folder(name.as_str()).join(done.variant.id());
            let file = ArtifactFile {
                path: String::new(),
                byte_count: archive.record.byte_count,
                sha256: archive.record.sha256.clone(),
            };
            let subject = format!("{} x {copies}", done.variant.id());
            self.add_row((Step::Publish, &subject), &path, &file, (start.elapsed(), outcome));
            published.push(done);
        }
        Ok(published)
    }
}

fn model_of(models: &[Stored<Model>], precision: Precision) -> Result<&Stored<Model>> {
    models
        .iter()
        .find(|model| model.record.precision == precision)
        .with_context(|| format!("no {precision} model was exported"))
}
