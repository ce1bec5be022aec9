//! Running an exported model on the samples and comparing it with a reference.
//!
//! fp32 is compared with itself: each sample alone, without padding, against the padded batch, which
//! shows a wrong attention mask or pooling. fp16 is compared with fp32.

use anyhow::Result;
use planforge_bench::CheckFacts;
use planforge_core::{
    Cache, CacheKey, CacheKind, Digest, Model, Outcome, Precision, Progress, Snapshot, Step, Stored, Variant,
};
use planforge_engine::{TextSample, tokenize};
use planforge_runtime::{OnnxSession, SessionOptions, Tensor, TensorValues};
use std::time::Instant;

/// Largest difference, relative to the largest value, that padding may make in fp32.
const PADDING_TOLERANCE: f64 = 1e-4;
/// Smallest cosine similarity of an fp16 output with fp32.
const HALF_COSINE_FLOOR: f64 = 0.999;
/// Bumped whenever the same model and samples give other facts.
const FORMAT: u32 = 1;

/// Checks `model` on `samples`, or finds an earlier check of the same files.
pub(super) fn check_model(
    snapshot: &Snapshot,
    (model, reference, samples): (&Stored<Model>, &Stored<Model>, &[String]),
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
        digests(reference),
        samples,
        library_version,
        tokenizer_digest(snapshot),
    ));
    let stored = cache.get_or_build(CacheKind::Check, &key, progress, |_| {
        let limit = model.record.max_sequence.unwrap_or(u64::MAX);
        let batch = tokenize(snapshot, samples, limit)?;
        let found = texts(&run(model, &batch)?, &batch);
        let expected = match model.record.precision {
            Precision::Fp32 => each_alone(snapshot, model, (samples, limit))?,
            Precision::Fp16 => texts(&run(reference, &batch)?, &batch),
        };
        Ok::<_, anyhow::Error>(compare(model.record.precision, &found, &expected))
    })?;
    let outcome = if stored.reused { Outcome::Cached } else { Outcome::Built };
    progress.finished(Step::Check, &subject, outcome, start.elapsed());
    Ok(stored.record)
}

fn digests(model: &Stored<Model>) -> Vec<&Digest> {
    model.files.iter().map(|file| &file.sha256).collect()
}

fn tokenizer_digest(snapshot: &Snapshot) -> Option<&Digest> {
    snapshot.file("tokenizer.json").map(|file| &file.sha256)
}

pub(super) fn run(model: &Stored<Model>, sample: &TextSample) -> Result<Vec<Tensor>> {
    let options = SessionOptions { intra_op_threads: std::thread::available_parallelism().map_or(1, usize::from) };
    let mut session = OnnxSession::load(&model.path(&model.record.graph), &options)?;
    Ok(session.run(&inputs(&session, sample)?, &[])?)
}

/// The sample's values for the inputs that the session has.
fn inputs(session: &OnnxSession, sample: &TextSample) -> Result<Vec<Tensor>> {
    let given = session.inputs().iter().filter_map(|input| Some((&input.name, sample.values(&input.name)?)));
    given
        .map(|(name, values)| {
            Ok(Tensor::new(name, &[sample.batch, sample.sequence], TensorValues::Int64(values.to_vec()))?)
        })
        .collect()
}

/// For each output: its name, and for each text the values that belong to its tokens.
type Texts = Vec<(String, Vec<Vec<f32>>)>;

fn texts(outputs: &[Tensor], sample: &TextSample) -> Texts {
    let of_output = |tensor: &Tensor| {
        let TensorValues::Fp32(values) = &tensor.values else { return None };
        let per_text = values.len() / sample.batch.max(1);
        let per_token = tensor.shape.get(1) == Some(&sample.sequence) && tensor.shape.len() == 3;
        let of_text = |text: usize| {
            let all = &values[text * per_text..(text + 1) * per_text];
            if !per_token {
                return all.to_vec();
            }
            let mask = &sample.attention_mask[text * sample.sequence..(text + 1) * sample.sequence];
            let rows = all.chunks(per_text / sample.sequence.max(1)).zip(mask);
            rows.filter(|(_, kept)| **kept != 0).flat_map(|(row, _)| row.iter().copied()).collect()
        };
        Some((tensor.name.clone(), (0..sample.batch).map(of_text).collect()))
    };
    outputs.iter().filter_map(of_output).collect()
}

fn each_alone(snapshot: &Snapshot, model: &Stored<Model>, (samples, limit): (&[String], u64)) -> Result<Texts> {
    let mut together: Texts = Vec::new();
    for sample in samples {
        let single = tokenize(snapshot, std::slice::from_ref(sample), limit)?;
        for (name, texts) in texts(&run(model, &single)?, &single) {
            match together.iter_mut().find(|(known, _)| *known == name) {
                Some((_, known)) => known.extend(texts),
                None => together.push((name, texts)),
            }
        }
    }
    Ok(together)
}

fn compare(precision: Precision, found: &Texts, expected: &Texts) -> Vec<CheckFacts> {
    let pairs = found.iter().zip(expected);
    pairs
        .map(|((name, found), (_, expected))| {
            let pairs = || found.iter().zip(expected);
            let min_cosine = pairs().map(|(a, b)| cosine(a, b)).fold(1.0, f64::min);
            let max_absolute_error = pairs().map(|(a, b)| max_difference(a, b)).fold(0.0, f64::max);
            let scale = expected.iter().flatten().fold(0.0, |most: f64, value| most.max(f64::from(value.abs())));
            let (reference, passed) = match precision {
                Precision::Fp32 => {
                    ("each sample alone, without padding", max_absolute_error <= PADDING_TOLERANCE * scale)
                }
                Precision::Fp16 => ("onnx-fp32", min_cosine >= HALF_COSINE_FLOOR),
            };
            CheckFacts {
                subject: Variant::onnx(precision).id(),
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

    fn one(values: &[f32]) -> Texts {
        vec![("x".to_owned(), vec![values.to_vec()])]
    }

    #[test]
    fn differences_and_not_a_number_fail_the_gate() {
        assert!(compare(Precision::Fp16, &one(&[1.0, 2.0]), &one(&[1.001, 2.0]))[0].passed);
        assert!(!compare(Precision::Fp16, &one(&[2.0, 1.0]), &one(&[1.0, 2.0]))[0].passed);
        assert!(!compare(Precision::Fp16, &one(&[f32::NAN, 1.0]), &one(&[1.0, 2.0]))[0].passed);
        assert!(compare(Precision::Fp32, &one(&[1.0, 2.0]), &one(&[1.0, 2.0001]))[0].passed);
        assert!(!compare(Precision::Fp32, &one(&[1.0, 2.0]), &one(&[1.0, 2.1]))[0].passed);
        assert!(!compare(Precision::Fp32, &one(&[1.0, f32::NAN]), &one(&[1.0, 2.0]))[0].passed);
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
        };
        let tensor = Tensor::new("x", &[2, 2, 1], TensorValues::Fp32(vec![1.0, 2.0, 3.0, 9.0])).unwrap();
        assert_eq!(texts(&[tensor], &sample)[0].1, [vec![1.0, 2.0], vec![3.0]]);
    }
}
