//! Running an exported model on the samples and comparing it with a reference.
//!
//! fp32 is compared with itself: each sample alone, without padding, against the padded batch, which
//! shows a wrong attention mask or pooling. fp16 and bf16 are compared with fp32. ONNX Runtime has no bf16 arithmetic on the
//! CPU, so a bf16 export runs there as a graph that computes each of its operators in binary32 and rounds the result.

use crate::pipeline::samples::Samples;
use anyhow::{Result, bail};
use planforge_core::{
    Cache, CacheKey, CacheKind, CachedArtifact, Digest, Model, Outcome, Precision, Progress, Snapshot, Step,
    TensorSpec, Variant,
};
use planforge_engine::{Sample, SampleValues, TextSample, emulate_bf16};
use planforge_report::CheckFacts;
use planforge_runtime::{OnnxSession, SessionOptions, Tensor, TensorValues};
use std::time::Instant;

/// Largest difference, relative to the largest value, that padding may make in fp32.
const PADDING_GATE: Gate = Gate::LargestError(1e-4);
/// What an fp16 output must reach, compared with fp32.
const FP16_GATE: Gate = Gate::Cosine(0.999);
/// The same of a bf16 output. Three bits fewer make errors 8 times as large, and what they take from a cosine 64 times;
/// a deep network on pictures of noise comes below 0.999.
const BF16_GATE: Gate = Gate::Cosine(0.99);
/// Bumped whenever the same model and samples give other facts.
const FORMAT: u32 = 2;

/// How near an output must be to what it is compared with.
#[derive(Debug, Clone, Copy)]
pub(super) enum Gate {
    /// Largest difference, relative to the largest value.
    LargestError(f64),
    /// Smallest cosine similarity of a sample.
    Cosine(f64),
    /// Both: smallest cosine similarity, and largest difference, relative to the largest value.
    Both { cosine: f64, error: f64 },
}

/// Checks `model` on `samples`, or finds an earlier check of the same files.
pub(super) fn check_model(
    snapshot: &Snapshot,
    (model, reference, samples): (&CachedArtifact<Model>, Option<&CachedArtifact<Model>>, &Samples),
    library_version: &str,
    cache: &Cache,
    progress: &dyn Progress,
) -> Result<Vec<CheckFacts>> {
    let subject = Variant::onnx(model.record.precision).id();
    progress.started(Step::Check, &subject, None, "");
    let start = Instant::now();
    let key = CacheKey::of(&(
        FORMAT,
        digests(model),
        reference.map(digests),
        samples.identity()?,
        library_version,
        preparation_digests(snapshot),
    ));
    let stored = cache.get_or_build(CacheKind::Check, &key, progress, |_| {
        let batch = samples.batch(snapshot, &model.record)?;
        let found = per_sample(&run(model, &batch)?, &batch);
        let precision = model.record.precision;
        let reference = reference.filter(|reference| reference.record.precision != precision);
        let (name, expected) = match reference {
            None => ("each sample alone, without padding", each_alone(snapshot, model, samples)?),
            Some(reference) => ("onnx-fp32", per_sample(&run(reference, &batch)?, &batch)),
        };
        let gate = half_gate(precision).unwrap_or(PADDING_GATE);
        Ok::<_, anyhow::Error>(compare((&subject, name), gate, &found, &expected))
    })?;
    let outcome = if stored.cache_hit { Outcome::Cached } else { Outcome::Built };
    progress.finished(Step::Check, &subject, outcome, start.elapsed());
    Ok(stored.record)
}

/// How near to fp32 the outputs of another precision must be.
pub(super) const fn half_gate(precision: Precision) -> Option<Gate> {
    match precision {
        Precision::Fp32 => None,
        Precision::Fp16 => Some(FP16_GATE),
        Precision::Bf16 => Some(BF16_GATE),
    }
}

pub(super) fn digests(model: &CachedArtifact<Model>) -> Vec<&Digest> {
    model.files.iter().map(|file| &file.sha256).collect()
}

/// Digests of the files that say how samples become inputs.
pub(super) fn preparation_digests(snapshot: &Snapshot) -> Vec<&Digest> {
    let files = ["config.json", "preprocessor_config.json", "sentence_bert_config.json", "tokenizer.json"];
    files.iter().filter_map(|name| snapshot.file(name)).map(|file| &file.sha256).collect()
}

/// Why a model cannot be run on ONNX Runtime here, where it cannot.
pub(super) fn obstacle(model: &Model) -> Option<&'static str> {
    (model.taken_as_is && model.precision == Precision::Bf16)
        .then_some("ONNX Runtime has no bf16 arithmetic on the CPU, and this graph is taken as it is")
}

pub(super) fn run(model: &CachedArtifact<Model>, sample: &Sample) -> Result<Vec<Tensor>> {
    if let Some(why) = obstacle(&model.record) {
        bail!("`{}` cannot be run: {why}", Variant::onnx(model.record.precision).id());
    }
    let options = SessionOptions {
        intra_op_threads: std::thread::available_parallelism().map_or(1, usize::from),
        ..SessionOptions::default()
    };
    let graph = model.path(&model.record.graph);
    let mut session = match model.record.precision {
        Precision::Fp32 | Precision::Fp16 => OnnxSession::load(&graph, &options)?,
        Precision::Bf16 => OnnxSession::load_instead(&graph, &emulate_bf16(&graph)?, &options)?,
    };
    let inputs = inputs(session.inputs(), sample)?;
    Ok(session.run(&inputs, &[])?)
}

/// The sample's values for these inputs.
pub(super) fn inputs(specs: &[TensorSpec], sample: &Sample) -> Result<Vec<Tensor>> {
    let inputs = specs.iter().filter_map(|input| Some((&input.name, sample.input(&input.name)?)));
    inputs
        .map(|(name, given)| {
            let (shape, values) = given;
            let values = match values {
                SampleValues::Int64(values) => TensorValues::Int64(values.to_vec()),
                SampleValues::Fp32(values) => TensorValues::Fp32(values.to_vec()),
            };
            Ok(Tensor::new(name, &shape, values)?)
        })
        .collect()
}

/// For each output: its name, and for each sample the values that are not padding's.
pub(super) type PerSample = Vec<(String, Vec<Vec<f32>>)>;

pub(super) fn per_sample(outputs: &[Tensor], sample: &Sample) -> PerSample {
    let of_output = |tensor: &Tensor| {
        let TensorValues::Fp32(values) = &tensor.values else { return None };
        let count = values.len() / sample.batch().max(1);
        let samples = (0..sample.batch()).map(|index| {
            let all = &values[index * count..(index + 1) * count];
            match sample {
                Sample::Text(text) if is_per_token(tensor, text) => without_padding(all, text, index),
                _ => all.to_vec(),
            }
        });
        Some((tensor.name.clone(), samples.collect()))
    };
    outputs.iter().filter_map(of_output).collect()
}

/// Whether an output has values for each token. A length that happens to be the output's width is told from one
/// by the names of the two outputs that have one value for each token.
pub(super) fn is_per_token(tensor: &Tensor, sample: &TextSample) -> bool {
    let one_value = ["start_logits", "end_logits"].contains(&tensor.name.as_str());
    tensor.shape.get(1) == Some(&sample.sequence) && (tensor.shape.len() == 3 || one_value)
}

/// The rows of `values` whose tokens are not padding.
fn without_padding(values: &[f32], sample: &TextSample, index: usize) -> Vec<f32> {
    let mask = &sample.attention_mask[index * sample.sequence..(index + 1) * sample.sequence];
    let rows = values.chunks((values.len() / sample.sequence.max(1)).max(1)).zip(mask);
    rows.filter(|(_, kept)| **kept != 0).flat_map(|(row, _)| row.iter().copied()).collect()
}

fn each_alone(snapshot: &Snapshot, model: &CachedArtifact<Model>, samples: &Samples) -> Result<PerSample> {
    let mut together: PerSample = Vec::new();
    for single in samples.singles(snapshot, &model.record)? {
        append(&mut together, per_sample(&run(model, &single)?, &single));
    }
    Ok(together)
}

/// Puts further samples behind those of the same outputs.
pub(super) fn append(together: &mut PerSample, further: PerSample) {
    for (name, values) in further {
        match together.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => known.extend(values),
            None => together.push((name, values)),
        }
    }
}

/// The facts of each output of the subject, compared with the reference.
pub(super) fn compare(
    (subject, reference): (&str, &str),
    gate: Gate,
    found: &PerSample,
    expected: &PerSample,
) -> Vec<CheckFacts> {
    let pairs = found.iter().zip(expected);
    pairs
        .map(|((name, found), (_, expected))| {
            let pairs = || found.iter().zip(expected);
            let min_cosine = pairs().map(|(a, b)| cosine(a, b)).fold(1.0, f64::min);
            let max_absolute_error = pairs().map(|(a, b)| max_difference(a, b)).fold(0.0, f64::max);
            let scale = expected.iter().flatten().fold(0.0, |most: f64, value| most.max(f64::from(value.abs())));
            let passed = match gate {
                Gate::LargestError(tolerance) => max_absolute_error <= tolerance * scale,
                Gate::Cosine(floor) => min_cosine >= floor,
                Gate::Both { cosine, error } => min_cosine >= cosine && max_absolute_error <= error * scale,
            };
            CheckFacts {
                subject: subject.to_owned(),
                reference: reference.to_owned(),
                output: name.clone(),
                samples: u32::try_from(found.len()).unwrap_or(u32::MAX),
                min_cosine,
                max_absolute_error,
                passed,
            }
        })
        .collect()
}

/// Cosine similarity; -1 where a value is not a number or the lengths differ, so that no check passes.
pub(crate) fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let similarity = dot(a, b) / (dot(a, a) * dot(b, b)).sqrt();
    if a.len() == b.len() && similarity.is_finite() { similarity.min(1.0) } else { -1.0 }
}

/// Largest absolute difference; infinite where a value is not a number or the lengths differ.
fn max_difference(a: &[f32], b: &[f32]) -> f64 {
    let most = a
        .iter()
        .zip(b)
        .map(|(a, b)| f64::from((a - b).abs()))
        .try_fold(0.0, |most: f64, difference| difference.is_finite().then(|| most.max(difference)));
    most.filter(|_| a.len() == b.len()).unwrap_or(f64::INFINITY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(values: &[f32]) -> PerSample {
        vec![("x".to_owned(), vec![values.to_vec()])]
    }

    fn passed(gate: Gate, found: &PerSample, expected: &PerSample) -> bool {
        compare(("found", "expected"), gate, found, expected)[0].passed
    }

    #[test]
    fn differences_and_not_a_number_fail_the_gate() {
        assert!(passed(FP16_GATE, &one(&[1.0, 2.0]), &one(&[1.001, 2.0])));
        assert!(!passed(FP16_GATE, &one(&[2.0, 1.0]), &one(&[1.0, 2.0])));
        assert!(!passed(FP16_GATE, &one(&[f32::NAN, 1.0]), &one(&[1.0, 2.0])));
        assert!(passed(PADDING_GATE, &one(&[1.0, 2.0]), &one(&[1.0, 2.0001])));
        assert!(!passed(PADDING_GATE, &one(&[1.0, 2.0]), &one(&[1.0, 2.1])));
        assert!(!passed(PADDING_GATE, &one(&[1.0, f32::NAN]), &one(&[1.0, 2.0])));
    }

    #[test]
    fn padding_is_left_out_of_token_outputs() {
        let sample = TextSample {
            batch: 2,
            sequence: 2,
            input_ids: vec![1, 2, 3, 0],
            attention_mask: vec![1, 1, 1, 0],
            token_type_ids: vec![0; 4],
            tokens: Vec::new(),
            second_spans: Vec::new(),
        };
        let tensor = Tensor::new("x", &[2, 2, 1], TensorValues::Fp32(vec![1.0, 2.0, 3.0, 9.0])).unwrap();
        assert_eq!(per_sample(&[tensor], &Sample::Text(sample))[0].1, [vec![1.0, 2.0], vec![3.0]]);
    }
}
