//! Each step: previous result in, next result out, rows for the report on the way.

use crate::failure::{BadUsage, CheckFailed, Missing};
use crate::pipeline::check::{check_model, obstacle};
use crate::pipeline::compile::compile_together;
use crate::pipeline::lock::RunLock;
use crate::pipeline::overrides::{LockUse, Overrides, with_catalogue};
use crate::progress::Terminal;
use crate::settings::Settings;
use anyhow::{Context, Result};
use planforge_core::{
    Archive, Cache, CacheUse, CachedArtifact, Engine, EngineTarget, KnownDigests, Model, ModelFormat, Outcome,
    OutputLayout, Pipeline, Precision, Progress, Published, Snapshot, Step, Variant, write_atomically,
};
use planforge_engine::{BuildLimits, ExportOptions, check_profiles, export, pass_through};
use planforge_hub::{FetchOptions, fetch, local_snapshot, model_card};
use planforge_report::{Library, Report, SourceFacts};
use planforge_store::ObjectStore;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How a bf16 export was run.
const BF16_NOTE: &str = "onnx-bf16 was run as a graph that computes each of its operators in fp32 and rounds the result to \
                         bf16: ONNX Runtime has no bf16 arithmetic on the CPU.";

/// What the steps made, as far as they went.
pub(crate) struct Made {
    pub(crate) snapshot: Snapshot,
    pub(crate) models: Vec<CachedArtifact<Model>>,
    /// TorchScript.
    pub(crate) modules: Vec<CachedArtifact<Model>>,
    /// In the order of the run's targets.
    pub(crate) engines: Vec<CachedArtifact<Engine>>,
    /// In the order of the run's variants.
    pub(crate) archives: Vec<CachedArtifact<Archive>>,
    pub(crate) published: Vec<Published>,
}

/// One pipeline under way. Steps are called in order; each fills its part.
pub(crate) struct Run {
    pub(crate) settings: Settings,
    pub(crate) terminal: Arc<Terminal>,
    pub(crate) pipeline: Pipeline,
    /// The pipeline file.
    pub(super) file: PathBuf,
    pub(crate) layout: OutputLayout,
    pub(crate) report: Report,
    /// Engines to make.
    pub(crate) targets: Vec<EngineTarget>,
    /// Packages to make.
    pub(crate) variants: Vec<Variant>,
    pub(super) lock: RunLock,
    /// Fetch what the pipeline does not need, too.
    pub(crate) all_files: bool,
    /// The store, once it was asked for.
    pub(super) store: Option<Arc<dyn ObjectStore>>,
    cache: Cache,
    /// Held from the first step on, so that nobody prunes what this run relies on.
    cache_use: Option<CacheUse>,
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
        let pipeline = overrides.apply(read_pipeline(path)?)?.checked(path)?;
        let (pipeline, catalogue) = with_catalogue(pipeline, overrides.catalogue.as_deref())?;
        let lock = RunLock::open(path, &pipeline, overrides.lock)?;
        let (targets, mut skipped) = match overrides.lock {
            LockUse::Rebuild => (lock.targets(&catalogue)?, Vec::new()),
            _ => pipeline.engine_targets(&catalogue)?,
        };
        let variants = match overrides.lock {
            LockUse::Rebuild => lock.variants()?,
            _ => pipeline.variants(&targets),
        };
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
            cache_use: None,
            all_files: false,
            store: None,
            file: path.to_owned(),
            lock,
            variants,
            pipeline,
            report,
            targets,
            started: Instant::now(),
        })
    }

    /// Runs all steps in order, `until` the last one wanted, and returns what they made.
    pub(crate) fn make(&mut self, runtime: &tokio::runtime::Runtime, until: Step, limits: BuildLimits) -> Result<Made> {
        let mut made = self.prepare(runtime, until)?;
        if until >= Step::Compile {
            compile_together(&mut [(self, &mut made)], limits)?;
        }
        self.finish(runtime, &mut made, until)?;
        Ok(made)
    }

    /// The steps before engines are compiled.
    pub(crate) fn prepare(&mut self, runtime: &tokio::runtime::Runtime, until: Step) -> Result<Made> {
        if until >= Step::Publish {
            self.store(runtime)?;
        }
        let snapshot = self.fetch(runtime)?;
        self.check_plan(until)?;
        if until >= Step::Package {
            self.check_backend()?;
        }
        if until >= Step::Export {
            self.choose_max_batch(&snapshot)?;
        }
        let models = if until >= Step::Export { self.export(&snapshot)? } else { Vec::new() };
        let modules = self.export_modules(&snapshot, &models)?;
        if until >= Step::Check {
            self.check(&snapshot, (&models, &modules))?;
        }
        Ok(Made { snapshot, models, modules, engines: Vec::new(), archives: Vec::new(), published: Vec::new() })
    }

    /// The steps after engines were compiled.
    pub(crate) fn finish(&mut self, runtime: &tokio::runtime::Runtime, made: &mut Made, until: Step) -> Result<()> {
        if until >= Step::Package {
            made.archives = self.package(&made.snapshot, (&made.models, &made.modules), &made.engines)?;
        }
        let lock = self.lock_of(made)?;
        self.settle_lock(&lock)?;
        self.add_provenance(&lock, &made.archives)?;
        if until >= Step::Publish {
            made.published = self.publish(runtime, &made.archives)?;
        }
        Ok(())
    }

    /// Time since the run began.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    pub(super) fn cache(&self) -> &Cache {
        &self.cache
    }

    pub(crate) fn progress(&self) -> &dyn Progress {
        &*self.terminal
    }

    /// Hub or folder to snapshot.
    pub(crate) fn fetch(&mut self, runtime: &tokio::runtime::Runtime) -> Result<Snapshot> {
        let start = Instant::now();
        self.cache_use = Some(self.cache.use_shared(self.progress())?);
        let source = &self.pipeline.source;
        let digests = KnownDigests::in_folder(self.settings.cache.join("digests"));
        let mut snapshot = match (&source.path, &source.repo) {
            (Some(folder), _) => local_snapshot(folder, source.graph.as_deref(), &digests, self.progress())?,
            (None, Some(repo)) => {
                let hub = &self.settings.hub;
                let options = FetchOptions {
                    repo: repo.clone(),
                    revision: self.lock.commit_of(source).unwrap_or(&source.revision).to_owned(),
                    cache: hub.cache.clone(),
                    endpoint: hub.endpoint.clone(),
                    token: hub.token.clone(),
                    offline: hub.offline,
                    digests,
                    graph: source.graph.clone(),
                    all_files: self.all_files,
                    transfer: hub.transfer,
                };
                runtime.block_on(fetch(&options, Arc::clone(&self.terminal) as Arc<dyn Progress>))?
            }
            (None, None) => return Err(BadUsage("the pipeline names no source".to_owned()).into()),
        };
        if snapshot.commit != "local" {
            snapshot.revision.clone_from(&source.revision);
        }
        self.check_snapshot(&snapshot)?;
        let record = serde_json::to_vec_pretty(&snapshot)?;
        write_atomically(&self.layout.snapshot(), &record)?;
        self.report.source = Some(SourceFacts { card: model_card(&snapshot), ..SourceFacts::from(&snapshot) });
        let outcome =
            if snapshot.commit == "local" || self.settings.hub.offline { Outcome::Cached } else { Outcome::Built };
        if let Some(weights) = snapshot.files.iter().max_by_key(|file| file.byte_count) {
            let path = snapshot.directory.join(&weights.path);
            self.add_row((Step::Fetch, &weights.path), &path, weights, (start.elapsed(), outcome));
        }
        Ok(snapshot)
    }

    /// Snapshot to one model for each precision.
    pub(crate) fn export(&mut self, snapshot: &Snapshot) -> Result<Vec<CachedArtifact<Model>>> {
        let mut models = Vec::new();
        for precision in self.precisions() {
            let model = self.export_precision(snapshot, precision)?;
            check_profiles(&model.record, &self.pipeline.profiles)
                .with_context(|| format!("`{}` does not fit the model", self.file.display()))?;
            self.add_export(&model)?;
            models.push(model);
        }
        Ok(models)
    }

    pub(super) fn export_precision(
        &mut self,
        snapshot: &Snapshot,
        precision: Precision,
    ) -> Result<CachedArtifact<Model>> {
        if let Some(graph) = &self.pipeline.source.graph {
            let purpose = (self.pipeline.task, precision);
            return Ok(pass_through(snapshot, graph, purpose, &self.cache, self.progress())?);
        }
        let mut options = self.export_options(precision);
        options.wide = match precision {
            Precision::Fp32 => BTreeSet::new(),
            Precision::Fp16 => self.wide_values(snapshot, &options)?,
            // Its range is that of binary32.
            Precision::Bf16 => self.pipeline.export.keep_fp32.iter().cloned().collect(),
        };
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
        precisions.extend(self.lock.precisions());
        precisions.sort();
        precisions.dedup();
        precisions
    }

    /// Runs every model on the samples; a comparison that does not hold ends the run.
    pub(crate) fn check(
        &mut self,
        snapshot: &Snapshot,
        (models, modules): (&[CachedArtifact<Model>], &[CachedArtifact<Model>]),
    ) -> Result<()> {
        let library = self.load_onnx_runtime()?;
        // The fp32 graph points into the checkpoint, so it costs nothing to have as a reference.
        let reference = match models.iter().find(|model| model.record.precision == Precision::Fp32) {
            Some(model) => Some(model.clone()),
            None if self.pipeline.source.graph.is_some() => None,
            None => Some(self.export_precision(snapshot, Precision::Fp32)?),
        };
        for model in models {
            if let Some(why) = obstacle(&model.record) {
                let id = Variant::onnx(model.record.precision).id();
                self.report.notes.push(format!("{id} was not run: {why}."));
                continue;
            }
            let samples = self.samples(snapshot, &model.record);
            let inputs = (model, reference.as_ref(), &samples);
            let facts = check_model(snapshot, inputs, &library, &self.cache, self.progress())?;
            self.report.checks.extend(facts);
        }
        if models.iter().any(|model| model.record.precision == Precision::Bf16 && obstacle(&model.record).is_none()) {
            self.report.notes.push(BF16_NOTE.to_owned());
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

    pub(super) fn note_library(&mut self, name: &str, version: &str) {
        let libraries = &mut self.report.environment.libraries;
        if libraries.iter().all(|library| library.name != name) {
            libraries.push(Library { name: name.to_owned(), version: version.to_owned() });
        }
    }
}

/// Reads a pipeline file.
pub(super) fn read_pipeline(path: &Path) -> Result<Pipeline> {
    let shown = path.display();
    if path.is_dir() {
        return Err(BadUsage(format!("`{shown}` is a folder: name the pipeline file in it")).into());
    }
    if !path.is_file() {
        return Err(BadUsage(format!("pipeline file `{shown}` does not exist")).into());
    }
    Ok(Pipeline::read(path)?)
}

pub(super) fn model_of(models: &[CachedArtifact<Model>], precision: Precision) -> Result<&CachedArtifact<Model>> {
    models
        .iter()
        .find(|model| model.record.precision == precision)
        .with_context(|| format!("no {precision} model was exported"))
}
