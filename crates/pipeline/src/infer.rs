//! An exported model run on texts or images of the caller.

use crate::context::PipelineContext;
use crate::stages::{export_precision, fetch, load_onnx_runtime};
use crate::{Error, Result};
use planforge_core::{Model, Precision, Snapshot, Task};
use planforge_engine::{Sample, TextSample, Vocabulary};
use planforge_runtime::{Tensor, TensorValues};
use planforge_validate::{Samples, is_per_token, run_model};
use serde::Serialize;

/// Guesses kept of each masked token, text and image.
const GUESSES: usize = 5;

/// Most tokens of an answer.
const LONGEST_ANSWER: usize = 30;

/// What the task is about, for each sample.
#[derive(Debug, Default, Serialize)]
pub struct Inference {
    /// The texts, or the files.
    pub samples: Vec<String>,
    /// Name of the output.
    pub output: String,
    /// Its shape, samples first.
    pub shape: Vec<usize>,
    /// For each sample its values, in row-major order; empty where there are `guesses` instead.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<Vec<f32>>,
    /// For each sample its tokens, without padding, where there are values for each token.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tokens: Vec<Vec<String>>,
    /// Names of the values of a sample or token, for classification.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// For each sample what it is taken for, likeliest first: words for its masks, answers, classes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub guesses: Vec<Vec<Guess>>,
}

/// Something with its probability by the model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Guess {
    /// Class, word or answer.
    pub text: String,
    /// From 0 to 1.
    pub probability: f64,
}

/// Runs the export of `precision` on `samples` together, texts padded to the longest; the pipeline's first precision and its
/// samples where there are none.
///
/// # Errors
/// Samples that the task does not take, and those of fetching, exporting and running the model.
pub fn infer(context: &PipelineContext, samples: Option<&Samples>, precision: Option<Precision>) -> Result<Inference> {
    let spec = &context.spec;
    if let Some(samples) = samples {
        check_samples(spec.task, samples)?;
    }
    load_onnx_runtime(context)?;
    let source = fetch(context)?;
    let snapshot = &source.snapshot;
    let precision = precision.unwrap_or(spec.export.precisions[0]);
    let model = export_precision(context, snapshot, precision)?.model;
    let default = Samples::of_pipeline(spec, snapshot, &model.record);
    let samples = samples.unwrap_or(&default);
    check_samples(spec.task, samples)?;
    let batch = samples.batch(snapshot, &model.record)?;
    let mut outputs = run_model(&model, &batch)?;
    let names = model.record.main_outputs();
    outputs.retain(|output| names.contains(&output.name));
    interpret(spec.task, snapshot, &model.record, samples, &batch, &outputs)
}

/// The outputs that the task is about, as a person reads them.
fn interpret(
    task: Task,
    snapshot: &Snapshot,
    model: &Model,
    samples: &Samples,
    batch: &Sample,
    outputs: &[Tensor],
) -> Result<Inference> {
    let names = model.main_outputs();
    let output = outputs.first().ok_or_else(|| Error::NoOutput { name: names[0].clone() })?;
    let mut inference = Inference {
        samples: samples.names(),
        output: names.join(", "),
        shape: output.shape.clone(),
        labels: model.labels.clone(),
        ..Inference::default()
    };
    match (task, batch) {
        (Task::QuestionAnswering, Sample::Text(text)) => inference.guesses = answers(samples, text, outputs)?,
        (Task::FillMask, Sample::Text(text)) => {
            inference.guesses = fillings(&Vocabulary::read(snapshot)?, text, output)?;
        }
        (Task::ImageClassification | Task::TextClassification, _) => {
            inference.values = rows(output)?;
            inference.guesses = inference.values.iter().map(|scores| classes(scores, &inference.labels)).collect();
        }
        (_, Sample::Text(text)) => {
            inference.values = rows(output)?;
            inference.tokens = if is_per_token(output, text) { tokens(text) } else { Vec::new() };
        }
        (_, Sample::Image(_) | Sample::Tensors(_)) => inference.values = rows(output)?,
    }
    Ok(inference)
}

/// Fails for samples of a kind that the task does not take.
fn check_samples(task: Task, samples: &Samples) -> Result<()> {
    let expected = match (samples, task) {
        (Samples::Images(_), _) if !task.is_over_images() => "takes texts; use --text",
        (Samples::Texts(_) | Samples::Pairs(_), _) if task.is_over_images() => "takes images; use --image",
        (Samples::Texts(_), Task::QuestionAnswering) => "needs --text with a question and --context with a text",
        (Samples::Pairs(_), _) if task != Task::QuestionAnswering => "takes no --context",
        _ => return Ok(()),
    };
    Err(Error::WrongSamples { task, expected })
}

fn floats(output: &Tensor) -> Result<&[f32]> {
    let TensorValues::Fp32(values) = &output.values else {
        return Err(Error::OutputType { name: output.name.clone() });
    };
    Ok(values)
}

/// The values of each sample.
fn rows(output: &Tensor) -> Result<Vec<Vec<f32>>> {
    let values = floats(output)?;
    let count = (values.len() / output.shape.first().copied().unwrap_or(1).max(1)).max(1);
    Ok(values.chunks(count).map(<[f32]>::to_vec).collect())
}

/// The tokens of each text that are not padding.
fn tokens(sample: &TextSample) -> Vec<Vec<String>> {
    let texts = sample.tokens.chunks(sample.sequence.max(1)).zip(sample.attention_mask.chunks(sample.sequence.max(1)));
    let kept = |(tokens, mask): (&[String], &[i64])| {
        tokens.iter().zip(mask).filter(|(_, kept)| **kept != 0).map(|(token, _)| token.clone()).collect()
    };
    texts.map(kept).collect()
}

/// The likeliest classes.
fn classes(scores: &[f32], labels: &[String]) -> Vec<Guess> {
    likeliest(scores, |class| labels.get(class).cloned().unwrap_or_else(|| format!("class {class}")))
}

/// The likeliest words for the first mask of each text.
fn fillings(vocabulary: &Vocabulary, sample: &TextSample, output: &Tensor) -> Result<Vec<Vec<Guess>>> {
    let (mask, written) = vocabulary.mask().ok_or(Error::NoMaskToken)?;
    let (values, sequence) = (floats(output)?, sample.sequence.max(1));
    let width = output.shape.last().copied().unwrap_or(1).max(1);
    let of_text = |(ids, scores): (&[i64], &[f32])| {
        let place = ids.iter().position(|&id| id == mask);
        let place = place.ok_or_else(|| Error::NoMask { mask: written.to_owned() })?;
        Ok(likeliest(&scores[place * width..(place + 1) * width], |number| vocabulary.word(number)))
    };
    sample.input_ids.chunks(sequence).zip(values.chunks(sequence * width)).map(of_text).collect()
}

/// The likeliest stretch of each context.
fn answers(samples: &Samples, sample: &TextSample, outputs: &[Tensor]) -> Result<Vec<Vec<Guess>>> {
    let (Samples::Pairs(pairs), [start, end]) = (samples, outputs) else {
        return Err(Error::NoAnswerScores);
    };
    let (starts, ends, sequence) = (floats(start)?, floats(end)?, sample.sequence.max(1));
    let of_pair = |(index, (_, context)): (usize, &(String, String))| {
        let place = index * sequence..(index + 1) * sequence;
        let spans = &sample.second_spans[place.clone()];
        answer(context, spans, &starts[place.clone()], &ends[place]).into_iter().collect()
    };
    Ok(pairs.iter().enumerate().map(of_pair).collect())
}

/// The stretch of `context` with the largest product of probabilities.
fn answer(context: &str, spans: &[Option<(usize, usize)>], starts: &[f32], ends: &[f32]) -> Option<Guess> {
    let (starts, ends) = (softmax_where(starts, spans), softmax_where(ends, spans));
    let (first, last, probability) = (0..spans.len())
        .flat_map(|first| (first..spans.len().min(first + LONGEST_ANSWER)).map(move |last| (first, last)))
        .map(|(first, last)| (first, last, starts[first] * ends[last]))
        .max_by(|a, b| a.2.total_cmp(&b.2))?;
    let (from, to) = (spans[first]?.0, spans[last]?.1);
    Some(Guess { text: context.get(from..to)?.to_owned(), probability })
}

/// Probabilities of the tokens that are part of the context; 0 for the others.
fn softmax_where(scores: &[f32], spans: &[Option<(usize, usize)>]) -> Vec<f64> {
    let scores: Vec<f32> =
        scores.iter().zip(spans).map(|(score, span)| if span.is_some() { *score } else { f32::NEG_INFINITY }).collect();
    softmax(&scores)
}

fn likeliest(scores: &[f32], name: impl Fn(usize) -> String) -> Vec<Guess> {
    let mut shares: Vec<(usize, f64)> = softmax(scores).into_iter().enumerate().collect();
    shares.sort_by(|a, b| b.1.total_cmp(&a.1));
    shares.truncate(GUESSES);
    shares.into_iter().map(|(number, probability)| Guess { text: name(number), probability }).collect()
}

/// Probabilities of scores.
fn softmax(scores: &[f32]) -> Vec<f64> {
    let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weights: Vec<f64> = scores.iter().map(|score| f64::from(score - largest).exp()).collect();
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_part_of_the_context_and_ends_after_it_starts() {
        let spans = [None, None, Some((0, 3)), Some((4, 7)), Some((8, 13))];
        let found = answer("the cat sleeps", &spans, &[9.0, 0.0, 0.0, 5.0, 1.0], &[9.0, 0.0, 6.0, 0.0, 5.0]).unwrap();
        assert_eq!(found.text, "cat sleep");
        assert!(found.probability > 0.2 && found.probability < 1.0, "{found:?}");
    }

    #[test]
    fn classes_without_names_have_numbers() {
        let found = classes(&[0.0, 3.0, 1.0], &["a".to_owned()]);
        let names: Vec<_> = found.iter().map(|guess| guess.text.as_str()).collect();
        assert_eq!(names, ["class 1", "class 2", "a"]);
        assert!((found.iter().map(|guess| guess.probability).sum::<f64>() - 1.0).abs() < 1e-9);
    }
}
