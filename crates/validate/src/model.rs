//! An ONNX export, run on the samples and compared with a reference.
//!
//! fp32 is compared with itself: each sample alone, without padding, against the padded batch, which shows a wrong
//! attention mask or pooling. fp16 and bf16 are compared with fp32.

use crate::Result;
use crate::compare::{Comparison, Tolerance, compare};
use crate::onnx::run_model;
use crate::outputs::{SampleOutputs, append_samples, outputs_per_sample};
use crate::samples::Samples;
use planforge_core::{
    Cache, CacheKey, CacheKind, CachedArtifact, CheckFacts, Digest, Model, Outcome, Precision, Progress, Snapshot,
    Step, Variant,
};
use std::time::Instant;

/// Largest error that padding may cause in fp32.
const PADDING_TOLERANCE: Tolerance = Tolerance::RelativeError(1e-4);
/// Tolerance of an fp16 output, compared with fp32.
const FP16_TOLERANCE: Tolerance = Tolerance::Cosine(0.999);
/// Tolerance of a bf16 output, compared with fp32. Three bits fewer than fp16 make errors 8 times as large, and what
/// they cost a cosine 64 times; a deep network on images of noise comes below 0.999.
const BF16_TOLERANCE: Tolerance = Tolerance::Cosine(0.99);
/// Bumped whenever the same model and samples give other facts.
const FORMAT: u32 = 2;

/// An export to check.
#[derive(Debug, Clone, Copy)]
pub struct ModelCheck<'a> {
    /// What the model was exported from.
    pub snapshot: &'a Snapshot,
    /// The export.
    pub model: &'a CachedArtifact<Model>,
    /// The fp32 export of the same snapshot, where there is one.
    pub reference: Option<&'a CachedArtifact<Model>>,
    /// What it is run on.
    pub samples: &'a Samples,
    /// Version of ONNX Runtime.
    pub library_version: &'a str,
}

/// Facts about each output of a model, from a run or from an earlier check of the same files.
///
/// # Errors
/// Samples that the model does not take, errors of ONNX Runtime and of the cache. A comparison that does not hold is not
/// an error here: see [`crate::require_passed`].
pub fn check_model(check: &ModelCheck<'_>, cache: &Cache, progress: &dyn Progress) -> Result<Vec<CheckFacts>> {
    let subject = Variant::onnx(check.model.record.precision).id();
    progress.started(Step::Check, &subject, None, "");
    let start = Instant::now();
    let key = CacheKey::of(&(
        FORMAT,
        file_digests(check.model),
        check.reference.map(file_digests),
        check.samples.identity()?,
        check.library_version,
        preparation_digests(check.snapshot),
    ));
    let found = cache.get_or_build(CacheKind::Check, &key, progress, |_| check.run(&subject, progress))?;
    let outcome = if found.cache_hit { Outcome::Cached } else { Outcome::Built };
    progress.finished(Step::Check, &subject, outcome, start.elapsed());
    Ok(found.record)
}

impl ModelCheck<'_> {
    fn run(&self, subject: &str, progress: &dyn Progress) -> Result<Vec<CheckFacts>> {
        let precision = self.model.record.precision;
        let batch = self.samples.batch(self.snapshot, &self.model.record)?;
        let found = outputs_per_sample(&run_model(self.model, &batch, progress)?, &batch);
        let (reference, expected) = match self.reference.filter(|it| it.record.precision != precision) {
            None => ("each sample alone, without padding", self.run_each_alone(progress)?),
            Some(reference) => ("onnx-fp32", outputs_per_sample(&run_model(reference, &batch, progress)?, &batch)),
        };
        let tolerance = half_precision_tolerance(precision).unwrap_or(PADDING_TOLERANCE);
        Ok(compare(&Comparison { subject, reference, tolerance }, &found, &expected))
    }

    fn run_each_alone(&self, progress: &dyn Progress) -> Result<Vec<SampleOutputs>> {
        let mut outputs = Vec::new();
        for single in self.samples.singles(self.snapshot, &self.model.record)? {
            append_samples(&mut outputs, outputs_per_sample(&run_model(self.model, &single, progress)?, &single));
        }
        Ok(outputs)
    }
}

/// Tolerance of the outputs of a half precision, compared with fp32.
pub(crate) const fn half_precision_tolerance(precision: Precision) -> Option<Tolerance> {
    match precision {
        Precision::Fp32 => None,
        Precision::Fp16 => Some(FP16_TOLERANCE),
        Precision::Bf16 => Some(BF16_TOLERANCE),
    }
}

/// Digests of an artifact's files, for cache keys.
pub(crate) fn file_digests(model: &CachedArtifact<Model>) -> Vec<&Digest> {
    model.files.iter().map(|file| &file.sha256).collect()
}

/// Digests of the files that decide how samples become inputs, in any folder, for cache keys: everything but weights.
pub(crate) fn preparation_digests(snapshot: &Snapshot) -> Vec<&Digest> {
    let decides = |path: &str| [".json", ".txt", ".model"].iter().any(|ending| path.ends_with(ending));
    snapshot.files.iter().filter(|file| decides(&file.path)).map(|file| &file.sha256).collect()
}
