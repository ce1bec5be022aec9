//! The `plan` command: memory of a copy and copies that fit, for several maximum batches, before anything is loaded on a
//! GPU.

use crate::context::PipelineContext;
use crate::estimate::{BuilderReports, CopyEstimates, OtherReport, module_rows, plan_rows};
use crate::max_batch::auto_max_batch;
use crate::plan::{BuildPlan, select_variants};
use crate::run::prepare;
use crate::stages::{builder_version, compile_options, model_of};
use crate::{Error, Result};
use planforge_core::{
    BATCHES, BuilderFigures, CONTEXT_BYTE_COUNT, CachedArtifact, EngineTarget, Model, Platform, Snapshot, Step,
    max_batch, profiles_up_to,
};
use planforge_engine::{BuildLimits, CompileJob, EngineWorker, compile_all, find_engine};
use planforge_report::PlanRow;
use serde::Serialize;

/// What fits where.
#[derive(Debug, Serialize)]
pub struct MemoryPlan {
    /// Name of the pipeline.
    pub pipeline: String,
    /// Largest batch of its profiles, which packages are made with.
    pub max_batch: u64,
    /// The batch that `max_batch = "auto"` chooses; none for a prebuilt graph.
    #[serde(rename = "dense_batch")]
    pub recommended_max_batch: Option<u64>,
    /// Set aside for the CUDA context, once for each GPU.
    pub context_byte_count: u64,
    /// Combinations of GPU type and precision that the builder does not make.
    pub skipped: Vec<String>,
    /// For each engine, GPU type and maximum batch.
    pub rows: Vec<PlanRow>,
}

/// Weighs maximum batches for every engine of a pipeline; with `limits`, engines of all of them are built for it.
///
/// # Errors
/// [`Error::NoEngines`], [`Error::UncountablePlan`], and those of the stages up to the export.
pub fn plan_memory(context: &PipelineContext, limits: Option<BuildLimits>) -> Result<MemoryPlan> {
    let selection = select_variants(context)?;
    if selection.targets.is_empty() {
        return Err(Error::NoEngines);
    }
    let record = prepare(context, &selection, Step::Export)?;
    let engines = BatchEngines {
        context,
        plan: &record.plan,
        models: &record.exports.models,
        library_version: builder_version(context, &record.plan.selection.targets)?,
    };
    if let Some(limits) = limits {
        engines.build_all(limits)?;
    }
    let profiles = &record.plan.profiles;
    let estimates =
        CopyEstimates::of(&context.spec, &context.spec.export.precisions, profiles, &record.source.snapshot)?;
    let mut rows = engines.rows(&estimates)?;
    if rows.is_empty() {
        return Err(Error::UncountablePlan);
    }
    rows.extend(engines.module_rows(&record.source.snapshot)?);
    Ok(MemoryPlan {
        pipeline: context.spec.name.to_string(),
        max_batch: max_batch(profiles),
        recommended_max_batch: auto_max_batch(&estimates, max_batch(profiles)),
        context_byte_count: CONTEXT_BYTE_COUNT,
        skipped: record.plan.selection.skipped.clone(),
        rows,
    })
}

/// Engines of every target for every maximum batch, built or to be built.
struct BatchEngines<'a> {
    context: &'a PipelineContext,
    plan: &'a BuildPlan,
    models: &'a [CachedArtifact<Model>],
    library_version: String,
}

impl<'a> BatchEngines<'a> {
    fn build_all(&self, limits: BuildLimits) -> Result<()> {
        let mut jobs = Vec::new();
        for target in &self.plan.selection.targets {
            for batch in self.batches() {
                jobs.push(self.job(target, batch)?);
            }
        }
        let worker = EngineWorker::new(self.context.options.workers.engine_worker.clone());
        compile_all(&jobs, &worker, limits, &self.context.cache, self.context.progress())?;
        Ok(())
    }

    /// A row for each target, maximum batch and GPU type whose memory is known.
    fn rows(&self, estimates: &CopyEstimates) -> Result<Vec<PlanRow>> {
        let own = max_batch(&self.plan.profiles);
        let mut rows = Vec::new();
        for target in &self.plan.selection.targets {
            let other = self.figures(target, own)?.map(|figures| OtherReport { batch: own, figures });
            for batch in self.batches() {
                let reports = BuilderReports { exact: self.figures(target, batch)?, other };
                let Some(known) = estimates.memory(target.variant.precision, batch, &reports) else { continue };
                rows.extend(plan_rows(&self.context.spec, target, batch, known));
            }
        }
        Ok(rows)
    }

    /// Rows of the TorchScript packages that the pipeline asks for, whether or not this program can make them.
    fn module_rows(&self, snapshot: &Snapshot) -> Result<Vec<PlanRow>> {
        let (spec, targets) = (&self.context.spec, &self.plan.selection.targets);
        let mut modules = spec.variants(targets);
        modules.retain(|variant| variant.platform == Platform::Pytorch);
        let precisions: Vec<_> = modules.iter().map(|variant| variant.precision).collect();
        let estimates = CopyEstimates::of(spec, &precisions, &self.plan.profiles, snapshot)?;
        Ok(modules.iter().flat_map(|variant| module_rows(spec, variant, targets, &estimates)).collect())
    }

    /// The maximum batches that are weighed, the plan's own among them.
    fn batches(&self) -> Vec<u64> {
        let mut batches = BATCHES.to_vec();
        batches.push(max_batch(&self.plan.profiles));
        batches.sort_unstable();
        batches.dedup();
        batches
    }

    /// What the builder reported of the engine for this batch, where it was built.
    fn figures(&self, target: &EngineTarget, batch: u64) -> Result<Option<BuilderFigures>> {
        let engine = find_engine(&self.job(target, batch)?, &self.context.cache);
        Ok(engine.map(|engine| engine.record.figures))
    }

    fn job(&self, target: &EngineTarget, batch: u64) -> Result<CompileJob<'a>> {
        let model = model_of(self.models, target.variant.precision)?;
        let subject = format!("{} batch {batch}", target.variant.id());
        let profiles = profiles_up_to(&self.plan.profiles, batch);
        let options = compile_options(self.context, target, &model.record, profiles, &self.library_version, subject)?;
        Ok(CompileJob { model, options })
    }
}
