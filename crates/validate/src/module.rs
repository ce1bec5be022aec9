//! A TorchScript module, run on the samples and compared with the fp32 ONNX export.

use crate::Result;
use crate::compare::{Comparison, Tolerance, compare};
use crate::model::{file_digests, half_precision_tolerance, preparation_digests};
use crate::onnx::{input_tensors, run_model};
use crate::outputs::outputs_per_sample;
use crate::samples::Samples;
use crate::torchscript::{LIBTORCH_VERSION, run_module};
use planforge_core::{
    Cache, CacheKey, CacheKind, CachedArtifact, CheckFacts, Model, Outcome, Progress, Snapshot, Step,
};
use std::time::Instant;

/// Largest error of an fp32 module, compared with ONNX.
const FP32_TOLERANCE: Tolerance = Tolerance::RelativeError(1e-5);
/// Bumped whenever the same module and samples give other facts.
const FORMAT: u32 = 1;

/// A module to check.
#[derive(Debug, Clone, Copy)]
pub struct ModuleCheck<'a> {
    /// What the module was exported from.
    pub snapshot: &'a Snapshot,
    /// The module.
    pub module: &'a CachedArtifact<Model>,
    /// The fp32 ONNX export of the same snapshot.
    pub reference: &'a CachedArtifact<Model>,
    /// What it is run on.
    pub samples: &'a Samples,
    /// Version of ONNX Runtime.
    pub library_version: &'a str,
}

/// Facts about each output of a module, from a run or from an earlier check of the same files.
///
/// # Errors
/// Samples that the module does not take, errors of libtorch, ONNX Runtime and the cache. A comparison that does not
/// hold is not an error here: see [`crate::require_passed`].
pub fn check_module(check: &ModuleCheck<'_>, cache: &Cache, progress: &dyn Progress) -> Result<Vec<CheckFacts>> {
    let ModuleCheck { snapshot, module, reference, samples, library_version } = *check;
    let precision = module.record.precision;
    let subject = format!("{}-{precision}", module.record.format);
    progress.started(Step::Check, &subject, None, "");
    let start = Instant::now();
    let key = CacheKey::of(&(
        (&subject, FORMAT, LIBTORCH_VERSION, library_version),
        file_digests(module),
        file_digests(reference),
        samples.identity()?,
        preparation_digests(snapshot),
    ));
    let checked = cache.get_or_build(CacheKind::Check, &key, progress, |_| {
        let batch = samples.batch(snapshot, &module.record)?;
        let found = run_module(module, &input_tensors(&module.record.inputs, &batch)?)?;
        let expected = run_model(reference, &batch, progress)?;
        let tolerance = half_precision_tolerance(precision).unwrap_or(FP32_TOLERANCE);
        let comparison = Comparison { subject: &subject, reference: "onnx-fp32", tolerance };
        let (found, expected) = (outputs_per_sample(&found, &batch), outputs_per_sample(&expected, &batch));
        Ok::<_, crate::Error>(compare(&comparison, &found, &expected))
    })?;
    let outcome = if checked.cache_hit { Outcome::Cached } else { Outcome::Built };
    progress.finished(Step::Check, &subject, outcome, start.elapsed());
    Ok(checked.record)
}
