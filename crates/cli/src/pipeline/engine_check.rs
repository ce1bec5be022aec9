//! Engines run on a GPU of this machine and compared with ONNX Runtime, where there is one that they were built for.

use crate::failure::CheckFailed;
use crate::pipeline::check::{
    self, Gate, PerSample, append, compare, digests, inputs, per_sample, preparation_digests, run,
};
use crate::pipeline::engine_run::{EngineRun, run_engine};
use crate::pipeline::samples::Samples;
use crate::pipeline::steps::{Made, Run, model_of};
use anyhow::{Context, Result};
use planforge_core::{
    Builder, CacheKey, CacheKind, CachedArtifact, ComputeCapability, Engine, Model, Outcome, Precision, Profile,
    Snapshot, Step, Variant,
};
use planforge_engine::Sample;
use planforge_report::{CheckFacts, EngineRunFacts};
use planforge_runtime::Tensor;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

/// What an fp32 engine must reach, compared with ONNX Runtime on the processor: GPUs multiply fp32 in TF32, whose
/// fractions have 10 bits.
const ENGINE_FP32_GATE: Gate = Gate::Both { cosine: 0.9999, error: 0.02 };
/// What an fp16 engine must reach, compared with the fp16 export on ONNX Runtime.
const ENGINE_FP16_GATE: Gate = Gate::Both { cosine: 0.999, error: 0.1 };
/// What a bf16 engine must reach, compared with the bf16 export in rounded binary32 on ONNX Runtime: an engine that does not
/// round where two operators are one differs from that by about as much as either differs from fp32.
const ENGINE_BF16_GATE: Gate = Gate::Cosine(0.99);
/// Bumped whenever the same engine and samples give other facts.
const FORMAT: u32 = 1;

/// Compute capabilities of engines that no GPU here runs, and why.
type WithoutGpu = BTreeMap<Vec<ComputeCapability>, String>;

/// An engine that was run.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Checked {
    gpu: String,
    facts: Vec<CheckFacts>,
}

impl Run {
    /// Runs every engine, and notes of each where it ran or why it did not.
    ///
    /// # Errors
    /// [`CheckFailed`] for an engine whose outputs differ, and engines that should have run and did not.
    pub(super) fn check_engines(&mut self, made: &Made) -> Result<()> {
        let mut reasons: Vec<String> = Vec::new();
        let mut without_gpu = WithoutGpu::new();
        for (target, engine) in self.targets.clone().iter().zip(&made.engines) {
            let model = model_of(&made.models, target.variant.precision)?;
            let run = match self.check_engine(&target.variant, &made.snapshot, (model, engine), &mut without_gpu)? {
                Ok(checked) => {
                    self.report.checks.extend(checked.facts.iter().cloned());
                    if let Some(failed) = checked.facts.iter().find(|check| !check.passed) {
                        return Err(CheckFailed(differs(failed, &checked.gpu)).into());
                    }
                    EngineRunFacts::On(checked.gpu)
                }
                Err(reason) => {
                    if !reasons.contains(&reason) {
                        reasons.push(reason.clone());
                    }
                    EngineRunFacts::NotRun(reason)
                }
            };
            let is_this = |facts: &&mut planforge_report::EngineFacts| {
                Some(&facts.gpu) == target.variant.gpu.as_ref() && facts.precision == target.variant.precision
            };
            if let Some(facts) = self.report.engines.iter_mut().find(is_this) {
                facts.run = Some(run);
            }
        }
        for reason in reasons {
            self.progress().note(Step::Compile, "engines", format!("not run: {reason}"));
        }
        Ok(())
    }

    /// The comparison, or why there is none.
    fn check_engine(
        &mut self,
        target: &Variant,
        snapshot: &Snapshot,
        (model, engine): (&CachedArtifact<Model>, &CachedArtifact<Engine>),
        without_gpu: &mut WithoutGpu,
    ) -> Result<Result<Checked, String>> {
        let (record, subject) = (&engine.record, target.id());
        let subject = subject.as_str();
        if let Some(reason) = obstacle(record).or_else(|| check::obstacle(&model.record)) {
            return Ok(Err(reason.to_owned()));
        }
        let samples = self.samples(snapshot, &model.record);
        let plan = engine.file(&record.plan).with_context(|| format!("`{subject}` has no engine file"))?;
        let prepared = preparation_digests(snapshot);
        let key = CacheKey::of(&(FORMAT, "engine", &plan.sha256, digests(model), samples.identity()?, prepared));
        if let Some(stored) = self.cache().get::<Checked>(CacheKind::Check, &key) {
            return Ok(Ok(stored.record));
        }
        let capabilities = &record.header.compute_capabilities;
        if let Some(reason) = without_gpu.get(capabilities) {
            return Ok(Err(reason.clone()));
        }
        self.load_onnx_runtime()?;
        let start = Instant::now();
        self.progress().started(Step::Check, subject, None, "");
        let batches = fitting(&samples, snapshot, &model.record, &record.profiles)?;
        let given: Vec<Vec<Tensor>> =
            batches.iter().map(|batch| inputs(&record.inputs, batch)).collect::<Result<_>>()?;
        let library = self.settings.tensorrt_library();
        // The one in the output folder has its weights beside it, where it lacks them.
        let place = self.layout.engine(target).join(&record.plan);
        let ran = run_engine((&library, &place), capabilities, &given, self.progress())
            .with_context(|| format!("engine `{subject}` was built, and failed when it was run"))?;
        let (gpu, outputs) = match ran {
            EngineRun::NoGpu(reason) => {
                without_gpu.insert(capabilities.clone(), reason.clone());
                return Ok(Err(reason));
            }
            EngineRun::Not(reason) => return Ok(Err(reason)),
            EngineRun::On(gpu, outputs) => (gpu, outputs),
        };
        let facts = compared(subject, model, &batches, &outputs)?;
        let checked = Checked { gpu, facts };
        // An engine that differs is looked at again: a driver may be at fault.
        if checked.facts.iter().all(|check| check.passed) {
            let keep = |_: &Path| Ok::<_, anyhow::Error>(checked.clone());
            self.cache().get_or_build(CacheKind::Check, &key, self.progress(), keep)?;
        }
        self.progress().finished(Step::Check, subject, Outcome::Built, start.elapsed());
        Ok(Ok(checked))
    }
}

/// Why an engine cannot be run whatever it is given.
fn obstacle(engine: &Engine) -> Option<&'static str> {
    if engine.builder == Builder::Trtexec {
        return Some("planforge runs engines of TensorRT-RTX, and leaves plans of TensorRT to Triton");
    }
    (!planforge_tensorrt::has_cuda_driver()).then_some("there is no CUDA driver here")
}

fn differs(failed: &CheckFacts, gpu: &str) -> String {
    format!(
        "output `{}` of `{}` on {gpu} differs from {}: cosine {:.6}, max absolute error {:.2e}",
        failed.output, failed.subject, failed.reference, failed.min_cosine, failed.max_absolute_error
    )
}

/// The samples in batches that the profiles take, as far as that can be had: each alone where they are too many, and
/// padded to the shortest sequence.
fn fitting(samples: &Samples, snapshot: &Snapshot, model: &Model, profiles: &[Profile]) -> Result<Vec<Sample>> {
    let whole = samples.batch(snapshot, model)?;
    let most = profiles.iter().map(|profile| profile.batch.max).max().unwrap_or(u64::MAX);
    let batches = if whole.batch() as u64 <= most { vec![whole] } else { samples.singles(snapshot, model)? };
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

/// The engine's outputs against those of ONNX Runtime, which runs the export that the engine was made from.
fn compared(
    subject: &str,
    model: &CachedArtifact<Model>,
    batches: &[Sample],
    outputs: &[Vec<Tensor>],
) -> Result<Vec<CheckFacts>> {
    let (mut found, mut expected): (PerSample, PerSample) = (Vec::new(), Vec::new());
    for (batch, outputs) in batches.iter().zip(outputs) {
        let reference = run(model, batch)?;
        let of_engine = outputs.iter().filter_map(|output| reference.iter().find(|known| known.name == output.name));
        append(&mut expected, per_sample(&of_engine.cloned().collect::<Vec<_>>(), batch));
        append(&mut found, per_sample(outputs, batch));
    }
    let precision = model.record.precision;
    let gate = match precision {
        Precision::Fp32 => ENGINE_FP32_GATE,
        Precision::Fp16 => ENGINE_FP16_GATE,
        Precision::Bf16 => ENGINE_BF16_GATE,
    };
    let reference = format!("{} on ONNX Runtime", Variant::onnx(precision).id());
    Ok(compare((subject, &reference), gate, &found, &expected))
}

#[cfg(test)]
mod tests {
    use super::*;
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
        let one = |values: &[f32]| -> PerSample { vec![("x".to_owned(), vec![values.to_vec()])] };
        let passed = |gate, values: &[f32]| compare(("e", "o"), gate, &one(values), &one(&[1.0, 2.0, -3.0]))[0].passed;
        assert!(passed(ENGINE_FP32_GATE, &[1.0, 2.001, -3.01]));
        assert!(!passed(ENGINE_FP32_GATE, &[1.0, 2.1, -3.0]));
        // The same direction, another size.
        assert!(!passed(ENGINE_FP32_GATE, &[1.5, 3.0, -4.5]) && !passed(ENGINE_FP16_GATE, &[1.5, 3.0, -4.5]));
        assert!(passed(ENGINE_FP16_GATE, &[1.01, 2.02, -2.98]));
        assert!(!passed(ENGINE_FP16_GATE, &[1.0, f32::NAN, -3.0]) && !passed(ENGINE_FP16_GATE, &[1.0, 2.0]));
    }
}
