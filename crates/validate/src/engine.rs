//! Engines, run on a GPU of this machine where there is one that they were built for, and compared with ONNX Runtime.

use crate::compare::{Comparison, Tolerance, compare};
use crate::engine_run::{EngineRun, RunnableEngine, run_engine};
use crate::model::{file_digests, preparation_digests};
use crate::onnx::{self, input_tensors, run_model};
use crate::outputs::{append_samples, outputs_per_sample};
use crate::samples::Samples;
use crate::{Error, Result};
use planforge_core::{
    Builder, Cache, CacheKey, CacheKind, CachedArtifact, CheckFacts, ChildProgram, ComputeCapability, Engine, Model,
    Outcome, Precision, Profile, Progress, Snapshot, Step, Variant, fixed_batch,
};
use planforge_engine::Sample;
use planforge_runtime::Tensor;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Tolerance of an fp32 engine, compared with ONNX Runtime on the CPU: GPUs multiply fp32 in TF32, whose fractions have
/// 10 bits.
const FP32_TOLERANCE: Tolerance = Tolerance::Both { cosine: 0.9999, relative_error: 0.02 };
/// Tolerance of an fp16 engine, compared with the fp16 export on ONNX Runtime.
const FP16_TOLERANCE: Tolerance = Tolerance::Both { cosine: 0.999, relative_error: 0.1 };
/// Tolerance of a bf16 engine, compared with the bf16 export on ONNX Runtime, which rounds after each operator. An engine
/// does not round between operators that it fuses, and differs from that by about as much as either differs from fp32.
const BF16_TOLERANCE: Tolerance = Tolerance::Cosine(0.99);
/// Bumped whenever the same engine and samples give other facts.
const FORMAT: u32 = 1;

/// What runs engines: a child process, and the library of TensorRT-RTX that it loads.
#[derive(Debug, Clone)]
pub struct EngineRunner {
    /// The child, which passes its request to [`crate::run_engine_here`].
    pub worker: ChildProgram,
    /// The library.
    pub library: PathBuf,
}

/// An engine to check.
#[derive(Debug, Clone, Copy)]
pub struct EngineCheck<'a> {
    /// Its variant, such as `tensorrt-fp16-l4`.
    pub subject: &'a str,
    /// What the model was exported from.
    pub snapshot: &'a Snapshot,
    /// The export that the engine was built from.
    pub model: &'a CachedArtifact<Model>,
    /// The engine.
    pub engine: &'a CachedArtifact<Engine>,
    /// The plan file, with the weights that it lacks next to it.
    pub plan: &'a Path,
    /// What it is run on.
    pub samples: &'a Samples,
}

/// An engine that was run.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckedEngine {
    /// Product name of the GPU that it ran on.
    pub gpu: String,
    /// The comparison of each output.
    pub facts: Vec<CheckFacts>,
}

/// Whether an engine was checked.
#[derive(Debug, Clone)]
pub enum EngineVerdict {
    /// It ran; the comparisons may hold or not.
    Checked(CheckedEngine),
    /// Why it was not run.
    Skipped(String),
}

/// Checks engines one after the other. It remembers for which compute capabilities this machine has no GPU.
#[derive(Debug)]
pub struct EngineChecker<'a> {
    runner: &'a EngineRunner,
    cache: &'a Cache,
    without_gpu: BTreeMap<Vec<ComputeCapability>, String>,
}

impl<'a> EngineChecker<'a> {
    /// A checker that runs engines with `runner` and keeps results in `cache`.
    #[must_use]
    pub const fn new(runner: &'a EngineRunner, cache: &'a Cache) -> Self {
        Self { runner, cache, without_gpu: BTreeMap::new() }
    }

    /// The comparison with ONNX Runtime, from a run or from an earlier check of the same files, or why there is none.
    /// ONNX Runtime must have been loaded.
    ///
    /// # Errors
    /// [`Error::EngineRun`] for an engine that should have run and did not, and those of the samples and the cache.
    pub fn check(&mut self, check: &EngineCheck<'_>, progress: &dyn Progress) -> Result<EngineVerdict> {
        let record = &check.engine.record;
        if let Some(reason) = skip_reason(record).or_else(|| onnx::skip_reason(&check.model.record)) {
            return Ok(EngineVerdict::Skipped(reason.to_owned()));
        }
        let key = cache_key(check)?;
        if let Some(found) = self.cache.get::<CheckedEngine>(CacheKind::Check, &key) {
            return Ok(EngineVerdict::Checked(found.record));
        }
        let capabilities = &record.header.compute_capabilities;
        if let Some(reason) = self.without_gpu.get(capabilities) {
            return Ok(EngineVerdict::Skipped(reason.clone()));
        }
        let start = Instant::now();
        progress.started(Step::Check, check.subject, None, "");
        let batches = batches_within_profiles(check)?;
        let (gpu, outputs) = match self.run(check, &batches, progress)? {
            EngineRun::NoGpu(reason) => {
                self.without_gpu.insert(capabilities.clone(), reason.clone());
                return Ok(EngineVerdict::Skipped(reason));
            }
            EngineRun::Skipped(reason) => return Ok(EngineVerdict::Skipped(reason)),
            EngineRun::Ran { gpu, outputs } => (gpu, outputs),
        };
        let checked = CheckedEngine { gpu, facts: compare_with_onnx(check, &batches, &outputs, progress)? };
        // An engine that differs is run again the next time: a driver may be at fault.
        if checked.facts.iter().all(|facts| facts.passed) {
            self.cache.get_or_build(CacheKind::Check, &key, progress, |_| Ok::<_, Error>(checked.clone()))?;
        }
        progress.finished(Step::Check, check.subject, Outcome::Built, start.elapsed());
        Ok(EngineVerdict::Checked(checked))
    }

    fn run(&self, check: &EngineCheck<'_>, batches: &[Sample], progress: &dyn Progress) -> Result<EngineRun> {
        let record = &check.engine.record;
        let inputs = |batch| input_tensors(&record.inputs, batch);
        let inputs: Vec<Vec<Tensor>> = batches.iter().map(inputs).collect::<Result<_>>()?;
        let engine = RunnableEngine { plan: check.plan, compute_capabilities: &record.header.compute_capabilities };
        let EngineRunner { worker, library } = self.runner;
        run_engine(engine, &inputs, worker, library, progress)
            .map_err(|source| Error::EngineRun { subject: check.subject.to_owned(), source: Box::new(source) })
    }
}

fn cache_key(check: &EngineCheck<'_>) -> Result<CacheKey> {
    let EngineCheck { subject, snapshot, model, engine, samples, .. } = *check;
    let plan = engine.file(&engine.record.plan).ok_or_else(|| Error::NoPlan { subject: subject.to_owned() })?;
    let prepared = preparation_digests(snapshot);
    Ok(CacheKey::of(&(FORMAT, "engine", &plan.sha256, file_digests(model), samples.identity()?, prepared)))
}

/// Why an engine cannot run here, regardless of its inputs.
fn skip_reason(engine: &Engine) -> Option<&'static str> {
    if engine.builder == Builder::Trtexec {
        return Some("planforge runs engines of TensorRT-RTX, and leaves plans of TensorRT to Triton");
    }
    (!planforge_tensorrt::has_cuda_driver()).then_some("there is no CUDA driver here")
}

/// The samples in batches that the profiles take, as far as possible: each sample alone where all are too many, and
/// texts padded to the shortest sequence. A graph may take one batch only.
fn batches_within_profiles(check: &EngineCheck<'_>) -> Result<Vec<Sample>> {
    let EngineCheck { snapshot, model, samples, .. } = *check;
    let profiles = &check.engine.record.profiles;
    let whole = samples.batch(snapshot, &model.record)?;
    if let Some(size) = fixed_batch(&model.record.inputs) {
        return Ok(whole.in_batches_of(usize::try_from(size).unwrap_or(usize::MAX)));
    }
    let most = profiles.iter().map(|profile| profile.batch.max).max().unwrap_or(u64::MAX);
    let batches = if whole.batch() as u64 <= most { vec![whole] } else { samples.singles(snapshot, &model.record)? };
    Ok(batches.into_iter().map(|batch| padded(batch, profiles)).collect())
}

fn padded(sample: Sample, profiles: &[Profile]) -> Sample {
    let batch = sample.batch() as u64;
    let takes = |profile: &&Profile| (profile.batch.min..=profile.batch.max).contains(&batch);
    let shortest = profiles.iter().filter(takes).filter_map(|profile| profile.sequence).map(|range| range.min).min();
    match (sample, shortest.and_then(|length| usize::try_from(length).ok())) {
        (Sample::Text(text), Some(length)) => Sample::Text(text.padded_to(length)),
        (sample, _) => sample,
    }
}

/// The engine's outputs, compared with those of the export on ONNX Runtime.
fn compare_with_onnx(
    check: &EngineCheck<'_>,
    batches: &[Sample],
    outputs: &[Vec<Tensor>],
    progress: &dyn Progress,
) -> Result<Vec<CheckFacts>> {
    let (mut found, mut expected) = (Vec::new(), Vec::new());
    for (batch, outputs) in batches.iter().zip(outputs) {
        let reference = run_model(check.model, batch, progress)?;
        let same = outputs.iter().filter_map(|output| reference.iter().find(|known| known.name == output.name));
        append_samples(&mut expected, outputs_per_sample(&same.cloned().collect::<Vec<_>>(), batch));
        append_samples(&mut found, outputs_per_sample(outputs, batch));
    }
    let precision = check.model.record.precision;
    let reference = format!("{} on ONNX Runtime", Variant::onnx(precision).id());
    let comparison =
        Comparison { subject: check.subject, reference: &reference, tolerance: engine_tolerance(precision) };
    Ok(compare(&comparison, &found, &expected))
}

const fn engine_tolerance(precision: Precision) -> Tolerance {
    match precision {
        Precision::Fp32 => FP32_TOLERANCE,
        Precision::Fp16 => FP16_TOLERANCE,
        Precision::Bf16 => BF16_TOLERANCE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outputs::SampleOutputs;
    use planforge_core::ProfileRange;
    use planforge_engine::TextSample;

    fn profile(batch: [u64; 3], sequence: [u64; 3]) -> Profile {
        let range = |values| ProfileRange::try_from(values).unwrap();
        Profile { batch: range(batch), sequence: Some(range(sequence)) }
    }

    #[test]
    fn texts_are_padded_to_what_a_profile_of_their_batch_takes() {
        let text = TextSample {
            batch: 2,
            sequence: 3,
            input_ids: vec![1, 2, 3, 4, 5, 0],
            attention_mask: vec![1, 1, 1, 1, 1, 0],
            token_type_ids: vec![0; 6],
            tokens: Vec::new(),
            second_spans: Vec::new(),
        };
        let profiles = [profile([1, 1, 1], [2, 2, 4]), profile([2, 2, 4], [5, 8, 16]), profile([1, 2, 4], [7, 8, 16])];
        let Sample::Text(padded) = padded(Sample::Text(text.clone()), &profiles) else { panic!() };
        assert_eq!((padded.batch, padded.sequence), (2, 5));
        assert_eq!(padded.input_ids, [1, 2, 3, 0, 0, 4, 5, 0, 0, 0]);
        assert_eq!(padded.attention_mask, [1, 1, 1, 0, 0, 1, 1, 0, 0, 0]);
        assert_eq!(super::padded(Sample::Text(text.clone()), &[]), Sample::Text(text));
    }

    #[test]
    fn engines_must_agree_in_direction_and_in_size() {
        let one = |values: &[f32]| vec![SampleOutputs { name: "x".to_owned(), values: vec![values.to_vec()] }];
        let passed = |tolerance, values: &[f32]| {
            let comparison = Comparison { subject: "engine", reference: "export", tolerance };
            compare(&comparison, &one(values), &one(&[1.0, 2.0, -3.0]))[0].passed
        };
        assert!(passed(FP32_TOLERANCE, &[1.0, 2.001, -3.01]));
        assert!(!passed(FP32_TOLERANCE, &[1.0, 2.1, -3.0]));
        // The same direction, another size.
        assert!(!passed(FP32_TOLERANCE, &[1.5, 3.0, -4.5]) && !passed(FP16_TOLERANCE, &[1.5, 3.0, -4.5]));
        assert!(passed(FP16_TOLERANCE, &[1.01, 2.02, -2.98]));
        assert!(!passed(FP16_TOLERANCE, &[1.0, f32::NAN, -3.0]) && !passed(FP16_TOLERANCE, &[1.0, 2.0]));
    }
}
