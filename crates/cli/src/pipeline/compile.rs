//! Models to engines: those of all pipelines at once.

use crate::failure::Missing;
use crate::pipeline::plan::memory_of;
use crate::pipeline::rows::{materialise, outcome};
use crate::pipeline::steps::{Made, Run, model_of};
use anyhow::{Context, Result};
use planforge_core::{
    Builder, CachedArtifact, Engine, EngineTarget, Model, PlacedWeights, Step, TritonRelease, link_or_copy,
    write_atomically,
};
use planforge_engine::{BuildLimits, CompileJob, CompileOptions, Worker, compile_all, place_weights};
use planforge_report::{EngineFacts, PlanSource};
use std::path::Path;
use std::time::Duration;

/// Compiles the engines of all `runs` within one limit, and puts each into its run.
pub(crate) fn compile_together(runs: &mut [(&mut Run, &mut Made)], limits: BuildLimits) -> Result<()> {
    let several = runs.len() > 1;
    let mut options = Vec::new();
    for (run, made) in &mut *runs {
        options.push(run.compile_options(&made.models, several)?);
    }
    let mut jobs = Vec::new();
    for ((_, made), options) in runs.iter().zip(options) {
        for options in options {
            jobs.push(CompileJob { model: model_of(&made.models, options.target.variant.precision)?, options });
        }
    }
    let Some((first, _)) = runs.first() else { return Ok(()) };
    let mut engines = compile_all(&jobs, limits, first.cache(), first.progress())?.into_iter();
    for (run, made) in runs {
        let own: Vec<_> = engines.by_ref().take(run.targets.len()).collect();
        run.add_engines(&own, &made.models)?;
        made.engines = own;
        run.check_engines(made)?;
    }
    Ok(())
}

/// Puts what the engine at `plan` lacks beside it, so that the folder is all that is needed to run it.
fn add_weights(model: &CachedArtifact<Model>, engine: &CachedArtifact<Engine>, plan: &Path) -> Result<()> {
    let list = PlacedWeights::path(plan);
    let Some(weights) = place_weights(model, engine)? else {
        // Of an earlier engine in its place.
        return if list.exists() { Ok(fs_err::remove_file(list)?) } else { Ok(()) };
    };
    for file in weights.files() {
        link_or_copy(&model.path(file), &plan.with_file_name(file))?;
    }
    Ok(write_atomically(&list, &weights.to_json())?)
}

impl Run {
    /// How each target of this run is compiled; `several` pipelines are told apart by their names.
    fn compile_options(&mut self, models: &[CachedArtifact<Model>], several: bool) -> Result<Vec<CompileOptions>> {
        if self.targets.is_empty() {
            return Ok(Vec::new());
        }
        for sentence in &self.report.skipped {
            self.progress().note(Step::Compile, "skipped", sentence.clone());
        }
        let library_version = self.builder_version()?;
        let options = |target: &EngineTarget| {
            let model = &model_of(models, target.variant.precision)?.record;
            let name = if several { format!("{} ", self.pipeline.name) } else { String::new() };
            self.options_for(target, model, (format!("{name}{}", target.variant.id()), &library_version))
        };
        self.targets.iter().map(options).collect()
    }

    pub(super) fn options_for(
        &self,
        target: &EngineTarget,
        model: &Model,
        (subject, library_version): (String, &str),
    ) -> Result<CompileOptions> {
        let program = std::env::current_exe().context("the path of this program is unknown")?;
        Ok(CompileOptions {
            subject,
            target: target.clone(),
            builder: self.pipeline.compile.builder,
            builder_options: self.pipeline.builder_options(),
            profiles: self.pipeline.profiles.clone(),
            outputs: self.pipeline.engine_outputs(model),
            libraries: self.settings.tensorrt_folder(),
            trtexec: match self.pipeline.compile.builder {
                Builder::Rtx => None,
                Builder::Trtexec => Some(self.settings.trtexec()?),
            },
            library_version: library_version.to_owned(),
            worker: Worker { program, arguments: vec!["internal".to_owned(), "build-engine".to_owned()] },
            timeout: Duration::from_secs(self.pipeline.compile.timeout_seconds),
        })
    }

    /// Puts engines into the output folder and the report, in the order of the targets.
    fn add_engines(&mut self, engines: &[CachedArtifact<Engine>], models: &[CachedArtifact<Model>]) -> Result<()> {
        for (target, engine) in self.targets.clone().iter().zip(engines) {
            let folder = self.layout.engine(&target.variant);
            materialise(engine, &folder)?;
            let plan = engine.record.plan.clone();
            add_weights(model_of(models, target.variant.precision)?, engine, &folder.join(&plan))?;
            if let Some(file) = engine.file(&plan) {
                let facts = EngineFacts::new(&engine.record, file.byte_count, &file.sha256, outcome(engine));
                self.report.engines.push(facts);
                self.add_plan(target, &engine.record);
            }
            self.add_main_file(Step::Compile, &target.variant.id(), (engine, &plan), &folder.join(&plan));
        }
        Ok(())
    }

    /// Notes how many copies of an engine are predicted to fit.
    fn add_plan(&mut self, target: &EngineTarget, engine: &Engine) {
        let Some(memory) = memory_of(&engine.figures) else { return };
        let batch = engine.profiles.iter().map(|profile| profile.batch.max).max().unwrap_or(1);
        let row = |gpu| self.plan_row(target, gpu, (batch, memory, PlanSource::Builder));
        let rows: Vec<_> = target.gpus.iter().map(row).collect();
        self.report.plan.extend(rows);
    }

    /// Version of what the pipeline's builder builds with, which knows every GPU type of this run.
    pub(super) fn builder_version(&mut self) -> Result<String> {
        let builder = self.pipeline.compile.builder;
        let version = match builder {
            Builder::Rtx => self.tensorrt_version()?,
            Builder::Trtexec => planforge_tensorrt::trtexec_version(&self.settings.trtexec()?)?.to_string(),
        };
        let release = self.pipeline.compile.triton.as_deref().map(TritonRelease::find).transpose()?;
        for gpu in self.targets.iter().flat_map(|target| &target.gpus) {
            gpu.check_version(builder, &version)?;
            release.as_ref().map_or(Ok(()), |release| release.check_gpu(gpu))?;
        }
        if let Some(release) = &release {
            release.check_version(&version, self.pipeline.compile.version_compatible)?;
        }
        self.note_library(builder.library(), &version);
        Ok(version)
    }

    fn tensorrt_version(&self) -> Result<String> {
        let libraries = planforge_tensorrt::Libraries::in_folder(&self.settings.tensorrt_folder());
        if !libraries.builder.exists() {
            return Err(Missing(format!("TensorRT-RTX was not found at `{}`", libraries.builder.display())).into());
        }
        Ok(planforge_tensorrt::supported_version(&libraries.builder)?)
    }
}
