//! The values of a model that binary16 would not hold.
//!
//! The samples are run in fp32 by ONNX Runtime. A value is kept in binary32 when its largest magnitude comes within
//! [`HEADROOM`] of binary16's largest, since other inputs may give more, or when all of it is below binary16's
//! normal numbers, where digits are lost. Comparing outputs would not show it: on the CPU, ONNX Runtime computes
//! fp16 graphs in binary32.

use crate::Result;
use crate::model::{file_digests, preparation_digests};
use crate::onnx::run_model;
use crate::samples::Samples;
use planforge_core::{Cache, CacheKey, CacheKind, CachedArtifact, Model, Progress, Snapshot};
use planforge_engine::RANGE_PREFIX;
use planforge_runtime::{Tensor, TensorValues};
use std::collections::BTreeSet;

/// Largest finite binary16 number.
const LARGEST: f32 = 65_504.0;

/// Smallest normal binary16 number, 2^-14.
const SMALLEST: f32 = 6.103_515_6e-5;

/// How much larger than on the samples a value may become.
const HEADROOM: f32 = 4.0;

/// Bumped whenever the same ranges give other values.
const FORMAT: u32 = 1;

/// A model whose ranges are measured.
#[derive(Debug, Clone, Copy)]
pub struct RangeCheck<'a> {
    /// What the model was exported from.
    pub snapshot: &'a Snapshot,
    /// The export that gives ranges as outputs: see [`planforge_engine::export_ranges`].
    pub model: &'a CachedArtifact<Model>,
    /// What it is run on.
    pub samples: &'a Samples,
    /// Version of ONNX Runtime.
    pub library_version: &'a str,
}

/// Names of the values that binary16 would not hold, from a run on the samples or from an earlier one of the same files.
///
/// # Errors
/// Samples that the model does not take, errors of ONNX Runtime and of the cache.
pub fn values_beyond_fp16(check: &RangeCheck<'_>, cache: &Cache, progress: &dyn Progress) -> Result<Vec<String>> {
    let RangeCheck { snapshot, model, samples, library_version } = *check;
    let prepared = preparation_digests(snapshot);
    let key = CacheKey::of(&("ranges", FORMAT, file_digests(model), samples.identity()?, library_version, prepared));
    let found = cache.get_or_build(CacheKind::Check, &key, progress, |_| {
        let batch = samples.batch(snapshot, &model.record)?;
        Ok::<_, crate::Error>(out_of_range(&run_model(model, &batch, progress)?))
    })?;
    Ok(found.record)
}

/// Names of the values that binary16 would not hold, from their largest magnitudes.
fn out_of_range(ranges: &[Tensor]) -> Vec<String> {
    let is_outside =
        |largest: f32| largest.is_finite() && (largest > LARGEST / HEADROOM || (largest > 0.0 && largest < SMALLEST));
    let name = |tensor: &Tensor| match &tensor.values {
        TensorValues::Fp32(values) if values.first().is_some_and(|largest| is_outside(*largest)) => {
            let name = tensor.name.strip_prefix(RANGE_PREFIX)?;
            // A number tells values of one name apart; both are kept in fp32.
            Some(name.split('#').next().unwrap_or(name).to_owned())
        }
        _ => None,
    };
    let names: BTreeSet<String> = ranges.iter().filter_map(name).collect();
    names.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_near_either_end_of_the_range_are_named() {
        let range = |name: &str, largest: f32| {
            Tensor::new(&format!("{RANGE_PREFIX}{name}"), &[], TensorValues::Fp32(vec![largest])).unwrap()
        };
        let ranges = [
            range("ordinary", 12.0),
            range("large#2", 20_000.0),
            range("tiny", 3e-5),
            range("zero", 0.0),
            range("infinite", f32::INFINITY),
        ];
        assert_eq!(out_of_range(&ranges), ["large", "tiny"]);
    }
}
