//! Memory of a copy, counted over the model for several batches and scaled by what the builder reported of one.

use crate::Result;
use crate::request_shape::RequestShape;
use planforge_core::{
    BATCHES, BuilderFigures, CopyMemory, EngineTarget, Gpu, Pipeline, Precision, Profile, Snapshot, Variant, max_batch,
    max_sequence,
};
use planforge_engine::{Checkpoint, ExportOptions, estimate};
use planforge_report::{PlanRow, PlanSource};
use std::collections::BTreeMap;

/// Memory of a copy for each precision and batch, as if no operations were fused.
#[derive(Debug, Default)]
pub(crate) struct CopyEstimates(Vec<(Precision, Vec<(u64, CopyMemory)>)>);

/// What the builder reported of engines.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct BuilderReports {
    /// Of an engine for the very batch.
    pub(crate) exact: Option<BuilderFigures>,
    /// Of an engine for another batch.
    pub(crate) other: Option<OtherReport>,
}

/// What the builder reported of an engine for another batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OtherReport {
    /// That batch.
    pub(crate) batch: u64,
    /// The report.
    pub(crate) figures: BuilderFigures,
}

/// Memory of a copy, and where it is known from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KnownMemory {
    /// The memory.
    pub(crate) memory: CopyMemory,
    /// Where it is known from.
    pub(crate) source: PlanSource,
}

impl CopyEstimates {
    /// Counts every batch of [`BATCHES`] and the largest of `profiles`, at their longest sequence, in each of `precisions`. A
    /// prebuilt graph cannot be counted.
    pub(crate) fn of(
        spec: &Pipeline,
        precisions: &[Precision],
        profiles: &[Profile],
        snapshot: &Snapshot,
    ) -> Result<Self> {
        if spec.source.graph.is_some() {
            return Ok(Self::default());
        }
        let checkpoint = Checkpoint::read(snapshot, spec.task)?;
        let mut batches = BATCHES.to_vec();
        batches.push(max_batch(profiles));
        batches.sort_unstable();
        batches.dedup();
        let sequence = max_sequence(profiles).unwrap_or(1);
        let mut estimates = Vec::new();
        for &precision in precisions {
            let options = export_options(spec, precision);
            let count = |&batch: &u64| Ok((batch, count_memory(&checkpoint, &options, batch, sequence)?));
            estimates.push((precision, batches.iter().map(count).collect::<Result<_>>()?));
        }
        Ok(Self(estimates))
    }

    /// For each precision, batches in ascending order with the memory of a copy.
    pub(crate) fn by_precision(&self) -> impl Iterator<Item = &[(u64, CopyMemory)]> {
        self.0.iter().map(|(_, rows)| rows.as_slice())
    }

    /// Memory of a copy: what the builder reported of this batch, else the count, scaled by its report of another batch.
    /// None where there is neither.
    pub(crate) fn memory(&self, precision: Precision, batch: u64, reports: &BuilderReports) -> Option<KnownMemory> {
        if let Some(memory) = reports.exact.as_ref().and_then(reported_memory) {
            return Some(KnownMemory { memory, source: PlanSource::Builder });
        }
        let counted = self.counted(precision, batch)?;
        let other = reports
            .other
            .and_then(|other| Some((reported_memory(&other.figures)?, self.counted(precision, other.batch)?)));
        let Some((reported, counted_there)) = other else {
            return Some(KnownMemory { memory: counted, source: PlanSource::Count });
        };
        let scaled = u128::from(counted.activation_byte_count) * u128::from(reported.activation_byte_count)
            / u128::from(counted_there.activation_byte_count.max(1));
        let activation_byte_count = u64::try_from(scaled).unwrap_or(u64::MAX);
        Some(KnownMemory { memory: CopyMemory { activation_byte_count, ..reported }, source: PlanSource::Scaled })
    }

    fn counted(&self, precision: Precision, batch: u64) -> Option<CopyMemory> {
        let (_, rows) = self.0.iter().find(|(known, _)| *known == precision)?;
        rows.iter().find(|(known, _)| *known == batch).map(|(_, memory)| *memory)
    }
}

/// Memory of a copy for requests of one shape, counted; none for a prebuilt graph.
pub(crate) fn estimate_copy(
    spec: &Pipeline,
    precision: Precision,
    shape: RequestShape,
    snapshot: &Snapshot,
) -> Result<Option<CopyMemory>> {
    if spec.source.graph.is_some() {
        return Ok(None);
    }
    let checkpoint = Checkpoint::read(snapshot, spec.task)?;
    let sequence = shape.sequence.unwrap_or(1);
    count_memory(&checkpoint, &export_options(spec, precision), shape.batch, sequence).map(Some)
}

fn export_options(spec: &Pipeline, precision: Precision) -> ExportOptions {
    let (image_size, ignore_tensors) = (spec.export.image_size, spec.export.ignore_tensors.clone());
    ExportOptions { image_size, ignore_tensors, ..ExportOptions::new(spec.task, precision) }
}

fn count_memory(checkpoint: &Checkpoint, options: &ExportOptions, batch: u64, sequence: u64) -> Result<CopyMemory> {
    let cost = estimate(checkpoint, options, batch, sequence)?;
    Ok(CopyMemory { weight_byte_count: cost.weight_byte_count, activation_byte_count: cost.peak_activation_byte_count })
}

/// A row for each GPU type of a target: copies that fit with a maximum batch and the memory of a copy.
pub(crate) fn plan_rows(spec: &Pipeline, target: &EngineTarget, max_batch: u64, known: KnownMemory) -> Vec<PlanRow> {
    target.gpus.iter().map(|gpu| plan_row(spec, &target.variant, gpu, max_batch, known)).collect()
}

/// As [`plan_rows`], of a TorchScript package, counted. libtorch's allocator is one for all models of a process, so copies that take
/// turns share the memory of their activations.
pub(crate) fn module_rows(
    spec: &Pipeline,
    variant: &Variant,
    targets: &[EngineTarget],
    estimates: &CopyEstimates,
) -> Vec<PlanRow> {
    let gpus: BTreeMap<&str, &Gpu> =
        targets.iter().flat_map(|target| &target.gpus).map(|gpu| (gpu.name.as_str(), gpu)).collect();
    let counted = estimates.0.iter().filter(|(precision, _)| *precision == variant.precision);
    let batches: Vec<_> = counted.flat_map(|(_, batches)| batches).collect();
    let mut rows = Vec::new();
    for gpu in gpus.into_values() {
        for &&(batch, memory) in &batches {
            let row = plan_row(spec, variant, gpu, batch, KnownMemory { memory, source: PlanSource::Count });
            let copies = memory.copies_with_shared_activations(row.gpu_byte_count, row.threshold);
            rows.push(PlanRow { shares_activations: true, copies, ..row });
        }
    }
    rows
}

fn plan_row(spec: &Pipeline, variant: &Variant, gpu: &Gpu, max_batch: u64, known: KnownMemory) -> PlanRow {
    let (threshold, gpu_byte_count) = (f64::from(spec.probe.threshold), gpu.memory_byte_count());
    PlanRow {
        variant: variant.id(),
        gpu: gpu.name.clone(),
        gpu_byte_count,
        is_board_memory: gpu.memory_mib.is_none(),
        max_batch,
        memory: known.memory,
        shares_activations: false,
        threshold,
        copies: known.memory.copies(gpu_byte_count, threshold),
        source: known.source,
    }
}

/// Weights and activations on the GPU, as the builder reported them.
pub(crate) fn reported_memory(figures: &BuilderFigures) -> Option<CopyMemory> {
    Some(CopyMemory {
        weight_byte_count: figures.weight_byte_count? + figures.persistent_byte_count.unwrap_or(0),
        activation_byte_count: figures.activation_byte_count?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(weight_byte_count: u64, activation_byte_count: u64) -> CopyMemory {
        CopyMemory { weight_byte_count, activation_byte_count }
    }

    fn figures(weights: u64, activations: u64) -> BuilderFigures {
        BuilderFigures {
            weight_byte_count: Some(weights),
            activation_byte_count: Some(activations),
            ..BuilderFigures::default()
        }
    }

    fn estimates() -> CopyEstimates {
        CopyEstimates(vec![(Precision::Fp16, vec![(1, memory(100, 10)), (8, memory(100, 80))])])
    }

    #[test]
    fn a_report_of_the_batch_wins_over_one_of_another_batch_and_that_over_a_count() {
        let of = |exact, other: Option<BuilderFigures>| {
            let other = other.map(|figures| OtherReport { batch: 1, figures });
            let known = estimates().memory(Precision::Fp16, 8, &BuilderReports { exact, other }).unwrap();
            (known.memory, known.source)
        };
        assert_eq!(of(None, None), (memory(100, 80), PlanSource::Count));
        assert_eq!(of(None, Some(figures(90, 5))), (memory(90, 40), PlanSource::Scaled));
        assert_eq!(of(Some(figures(90, 30)), Some(figures(90, 5))), (memory(90, 30), PlanSource::Builder));
    }

    #[test]
    fn nothing_is_known_of_a_batch_that_was_neither_counted_nor_built() {
        assert!(estimates().memory(Precision::Fp16, 3, &BuilderReports::default()).is_none());
        assert!(estimates().memory(Precision::Fp32, 8, &BuilderReports::default()).is_none());
    }
}
