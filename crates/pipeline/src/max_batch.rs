//! The rule that picks `max_batch_size`: the largest batch of the profiles or, with `max_batch = "auto"`, a smaller one that
//! lets more copies share a GPU.

use crate::context::PipelineContext;
use crate::estimate::CopyEstimates;
use crate::{Error, Result};
use planforge_core::{BATCHES, MaxBatch, Pipeline, Snapshot, Step, recommended_max_batch};

/// The pipeline with its profiles' largest batch lowered, where it asks for that with `compile.max_batch`; else none.
pub(crate) fn choose_max_batch(context: &PipelineContext, snapshot: &Snapshot) -> Result<Option<Pipeline>> {
    let spec = &context.spec;
    if spec.compile.max_batch == MaxBatch::Profile {
        return Ok(None);
    }
    let estimates = CopyEstimates::of(spec, &spec.export.precisions, &spec.profiles, snapshot)?;
    let batch = auto_max_batch(&estimates, spec.max_batch_size()).ok_or(Error::UncountableMaxBatch)?;
    context.progress().note(Step::Compile, spec.name.as_str(), format!("largest batch: {batch}"));
    Ok(Some(spec.clone().with_max_batch(batch, &context.file)?))
}

/// The batch of `max_batch = "auto"`: the smallest that any precision recommends, and no more than `largest`, that of the
/// profiles. None for a model whose memory cannot be counted.
pub(crate) fn auto_max_batch(estimates: &CopyEstimates, largest: u64) -> Option<u64> {
    let recommended = estimates.by_precision().filter_map(|rows| {
        let candidates = rows.iter().filter(|(batch, _)| BATCHES.contains(batch) && *batch <= largest);
        recommended_max_batch(&candidates.copied().collect::<Vec<_>>())
    });
    recommended.min()
}
