//! Memory of a copy and copies that fit, for several maximum batches, before anything is loaded on a GPU.

use crate::failure::BadUsage;
use crate::pipeline::steps::{Made, Run, model_of};
use anyhow::Result;
use planforge_core::{
    BATCHES, BuilderFigures, CONTEXT_BYTE_COUNT, CachedArtifact, CopyMemory, EngineTarget, Gpu, MaxBatch, Model,
    Pipeline, Precision, Snapshot, Step, dense_batch,
};
use planforge_engine::{BuildLimits, Checkpoint, CompileJob, ExportOptions, compile_all, estimate, find_engine};
use planforge_report::{PlanRow, PlanSource};
use serde::Serialize;

/// What fits where.
#[derive(Debug, Serialize)]
pub(crate) struct Plan {
    /// Name of the pipeline.
    pub(crate) pipeline: String,
    /// Largest batch of its profiles, which packages are made with.
    pub(crate) max_batch: u64,
    /// The batch that `max_batch = "auto"` chooses; none for a graph that is taken as it is.
    pub(crate) dense_batch: Option<u64>,
    /// Set aside for the CUDA context, once for each GPU.
    pub(crate) context_byte_count: u64,
    /// Combinations of GPU type and precision that the builder does not make.
    pub(crate) skipped: Vec<String>,
    /// For each engine, GPU type and maximum batch.
    pub(crate) rows: Vec<PlanRow>,
}

impl Run {
    /// Weighs maximum batches for every target; with `limits`, engines of all of them are built for it.
    pub(crate) fn plan(&mut self, runtime: &tokio::runtime::Runtime, limits: Option<BuildLimits>) -> Result<Plan> {
        if self.targets.is_empty() {
            return Err(BadUsage("the pipeline makes no engines; name GPU types with --gpu".to_owned()).into());
        }
        let made = self.prepare(runtime, Step::Export)?;
        let library_version = self.builder_version()?;
        if let Some(limits) = limits {
            let mut jobs = Vec::new();
            for (target, batch) in self.pairs() {
                jobs.push(self.job(&made, &target, batch, &library_version)?);
            }
            compile_all(&jobs, limits, self.cache(), self.progress())?;
        }
        let costs = Costs::of(&self.pipeline, &made.snapshot, &made.models)?;
        let mut rows = Vec::new();
        for (target, batch) in self.pairs() {
            let figures = |batch| -> Result<Option<BuilderFigures>> {
                let engine = find_engine(&self.job(&made, &target, batch, &library_version)?, self.cache());
                Ok(engine.map(|engine| engine.record.figures))
            };
            let own = self.pipeline.max_batch_size();
            let known = (figures(batch)?, figures(own)?.map(|figures| (own, figures)));
            let Some((memory, source)) = costs.memory(target.variant.precision, batch, known) else { continue };
            rows.extend(target.gpus.iter().map(|gpu| self.plan_row(&target, gpu, (batch, memory, source))));
        }
        if rows.is_empty() {
            return Err(BadUsage("a graph that is taken as it is cannot be counted; add --build".to_owned()).into());
        }
        Ok(Plan {
            pipeline: self.pipeline.name.to_string(),
            max_batch: self.pipeline.max_batch_size(),
            dense_batch: costs.dense_batch(&self.pipeline),
            context_byte_count: CONTEXT_BYTE_COUNT,
            skipped: self.report.skipped.clone(),
            rows,
        })
    }

    /// Every target with every maximum batch, the pipeline's own among them.
    fn pairs(&self) -> Vec<(EngineTarget, u64)> {
        let mut batches = BATCHES.to_vec();
        batches.push(self.pipeline.max_batch_size());
        batches.sort_unstable();
        batches.dedup();
        let with = |target: &EngineTarget| batches.iter().map(|&batch| (target.clone(), batch)).collect::<Vec<_>>();
        self.targets.iter().flat_map(with).collect()
    }

    fn job<'a>(
        &self,
        made: &'a Made,
        target: &EngineTarget,
        batch: u64,
        library_version: &str,
    ) -> Result<CompileJob<'a>> {
        let model = model_of(&made.models, target.variant.precision)?;
        let subject = format!("{} batch {batch}", target.variant.id());
        let mut options = self.options_for(target, &model.record, (subject, library_version))?;
        options.profiles = self.pipeline.profiles_up_to(batch);
        Ok(CompileJob { model, options })
    }

    /// A row for one GPU type of a target.
    pub(super) fn plan_row(
        &self,
        target: &EngineTarget,
        gpu: &Gpu,
        (max_batch, memory, source): (u64, CopyMemory, PlanSource),
    ) -> PlanRow {
        let gpu_byte_count = u64::from(gpu.memory_gib) << 30;
        let threshold = f64::from(self.pipeline.probe.threshold);
        PlanRow {
            variant: target.variant.id(),
            gpu: gpu.name.clone(),
            gpu_byte_count,
            max_batch,
            memory,
            threshold,
            copies: memory.copies(gpu_byte_count, threshold),
            source,
        }
    }

    /// Lowers the profiles' largest batch where the pipeline asks for that.
    pub(super) fn choose_max_batch(&mut self, snapshot: &Snapshot) -> Result<()> {
        if self.pipeline.compile.max_batch == MaxBatch::Profile {
            return Ok(());
        }
        let costs = Costs::of(&self.pipeline, snapshot, &[])?;
        let batch = costs.dense_batch(&self.pipeline).ok_or_else(|| {
            BadUsage(
                "key `compile.max_batch`: a graph that is taken as it is cannot be counted; leave it out".to_owned(),
            )
        })?;
        self.progress().note(Step::Compile, self.pipeline.name.as_str(), format!("largest batch: {batch}"));
        self.pipeline = self.pipeline.clone().with_max_batch(batch, &self.file)?;
        Ok(())
    }
}

/// Weights and activations on the GPU, as the builder says.
pub(super) fn memory_of(figures: &BuilderFigures) -> Option<CopyMemory> {
    Some(CopyMemory {
        weight_byte_count: figures.weight_byte_count? + figures.persistent_byte_count.unwrap_or(0),
        activation_byte_count: figures.activation_byte_count?,
    })
}

/// What batches cost, counted over the model: for each precision, for each batch.
struct Costs(Vec<(Precision, Vec<(u64, CopyMemory)>)>);

impl Costs {
    /// Counts every batch of [`BATCHES`] and the pipeline's own largest, at its longest sequence. Nothing is known of a
    /// graph that is taken as it is.
    fn of(pipeline: &Pipeline, snapshot: &Snapshot, models: &[CachedArtifact<Model>]) -> Result<Self> {
        let mut costs = Vec::new();
        if pipeline.source.graph.is_some() || models.iter().any(|model| model.record.taken_as_is) {
            return Ok(Self(costs));
        }
        let checkpoint = Checkpoint::read(snapshot)?;
        let mut batches = BATCHES.to_vec();
        batches.push(pipeline.max_batch_size());
        batches.sort_unstable();
        for &precision in &pipeline.export.precisions {
            let image_size = pipeline.export.image_size;
            let options = ExportOptions { image_size, ..ExportOptions::new(pipeline.task, precision) };
            let sequence = pipeline.max_sequence().unwrap_or(1);
            let mut of_precision = Vec::new();
            for &batch in &batches {
                let cost = estimate(&checkpoint, &options, batch, sequence)?;
                let (weight_byte_count, activation_byte_count) =
                    (cost.weight_byte_count, cost.peak_activation_byte_count);
                of_precision.push((batch, CopyMemory { weight_byte_count, activation_byte_count }));
            }
            costs.push((precision, of_precision));
        }
        Ok(Self(costs))
    }

    fn counted(&self, precision: Precision, batch: u64) -> Option<CopyMemory> {
        let (_, of_precision) = self.0.iter().find(|(known, _)| *known == precision)?;
        of_precision.iter().find(|(known, _)| *known == batch).map(|(_, memory)| *memory)
    }

    /// Memory of a copy: what the builder said of this batch, else what is counted, scaled by what it said of another.
    fn memory(
        &self,
        precision: Precision,
        batch: u64,
        (exact, other): (Option<BuilderFigures>, Option<(u64, BuilderFigures)>),
    ) -> Option<(CopyMemory, PlanSource)> {
        if let Some(memory) = exact.as_ref().and_then(memory_of) {
            return Some((memory, PlanSource::Builder));
        }
        let counted = self.counted(precision, batch)?;
        let other = other.and_then(|(batch, figures)| Some((memory_of(&figures)?, self.counted(precision, batch)?)));
        let Some((said, counted_there)) = other else { return Some((counted, PlanSource::Count)) };
        let scaled = u128::from(counted.activation_byte_count) * u128::from(said.activation_byte_count)
            / u128::from(counted_there.activation_byte_count.max(1));
        let activation_byte_count = u64::try_from(scaled).unwrap_or(u64::MAX);
        Some((CopyMemory { activation_byte_count, ..said }, PlanSource::Scaled))
    }

    /// The batch of `max_batch = "auto"`: the smallest that any precision asks for, and no more than the profiles'.
    fn dense_batch(&self, pipeline: &Pipeline) -> Option<u64> {
        let largest = pipeline.max_batch_size();
        let candidates = |of_precision: &[(u64, CopyMemory)]| {
            let usable = of_precision.iter().filter(|(batch, _)| BATCHES.contains(batch) && *batch <= largest);
            dense_batch(&usable.copied().collect::<Vec<_>>())
        };
        self.0.iter().filter_map(|(_, of_precision)| candidates(of_precision)).min()
    }
}
