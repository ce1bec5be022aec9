//! An exported model run on texts or images of the caller.

use crate::context::PipelineContext;
use crate::guess::{Guess, classes, likeliest, softmax};
use crate::response::tensors;
use crate::stages::{endpoint_client, export_precision, fetch, load_onnx_runtime, request_body};
use crate::{Error, Result};
use planforge_bench::Endpoint;
use planforge_core::{CachedArtifact, Model, Precision, RequestBody, Snapshot, Task, copy_name, endpoint_name};
use planforge_engine::{Sample, ScoreFunction, TextSample, Vocabulary};
use planforge_runtime::{Tensor, TensorValues};
use planforge_validate::{Samples, is_per_token, run_model};
use serde::Serialize;
use std::time::Duration;

/// Longest wait for an answer, of a model that may have to be loaded.
const TIMEOUT: Duration = Duration::from_secs(70);

/// Most tokens of an answer.
const LONGEST_ANSWER: usize = 30;

/// What the task is about, for each sample.
#[derive(Debug, Default, Serialize)]
pub struct Inference {
    /// The texts, the first of each pair, or the files.
    pub samples: Vec<String>,
    /// The second text of each pair.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub text_pairs: Vec<String>,
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

/// A request for a served copy, and what is needed to read its answer.
#[derive(Debug)]
pub struct InferenceRequest {
    /// The request.
    pub body: RequestBody,
    /// Name of the endpoint.
    pub endpoint: String,
    /// Name of the first copy.
    pub target_model: String,
    snapshot: Snapshot,
    model: CachedArtifact<Model>,
    samples: Samples,
    batch: Sample,
}

/// The request for `samples` together, as [`infer`] would run them.
///
/// # Errors
/// As for [`infer`], and a request that is larger than SageMaker takes.
pub fn inference_request(
    context: &PipelineContext,
    samples: Option<&Samples>,
    precision: Option<Precision>,
) -> Result<InferenceRequest> {
    let spec = &context.spec;
    let source = fetch(context)?;
    let snapshot = source.snapshot;
    let precision = precision.unwrap_or(spec.export.precisions[0]);
    let model = export_precision(context, &snapshot, precision)?.model;
    let samples = samples.cloned().unwrap_or_else(|| Samples::of_pipeline(spec, &snapshot, &model.record));
    check_samples(spec.task, &samples)?;
    let batch = samples.batch(&snapshot, &model.record)?;
    let body = request_body("samples", &model.record, &batch)?;
    let target_model = copy_name(&spec.name, 0);
    let endpoint = endpoint_name(&spec.name);
    Ok(InferenceRequest { body, endpoint, target_model, snapshot, model, samples, batch })
}

/// What the endpoint at `url` answers to a request.
///
/// # Errors
/// An endpoint that does not answer with success.
pub fn infer_served(context: &PipelineContext, request: &InferenceRequest, url: &str) -> Result<Inference> {
    let client = endpoint_client(context, url, TIMEOUT)?;
    let prepared = client.prepare(request.body.clone());
    let answer = context.runtime.block_on(client.send(&prepared, &request.target_model))?;
    let outputs = as_floats(tensors(&answer.content_type, &answer.body)?);
    let InferenceRequest { snapshot, model, samples, batch, .. } = request;
    interpret(context, snapshot, model, samples, batch, &outputs)
}

fn as_floats(mut outputs: Vec<Tensor>) -> Vec<Tensor> {
    for output in &mut outputs {
        if let Some(values) = output.values.floats() {
            output.values = TensorValues::Fp32(values.into_owned());
        }
    }
    outputs
}

/// Runs the export of `precision` on `samples` together, texts padded to the longest; the pipeline's first precision and its
/// samples where there are none.
///
/// # Errors
/// [`Error::NotFinite`], samples that the task does not take, and those of fetching, exporting and running the model.
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
    let mut outputs = run_model(&model, &batch, context.progress())?;
    let names = model.record.main_outputs();
    outputs.retain(|output| names.contains(&output.name));
    interpret(context, snapshot, &model, samples, &batch, &as_floats(outputs))
}

/// The outputs that the task is about, as a person reads them.
fn interpret(
    context: &PipelineContext,
    snapshot: &Snapshot,
    model: &CachedArtifact<Model>,
    samples: &Samples,
    batch: &Sample,
    outputs: &[Tensor],
) -> Result<Inference> {
    let (task, names) = (context.spec.task, model.record.main_outputs());
    outputs.iter().try_for_each(require_finite)?;
    let output = outputs.first().ok_or_else(|| Error::NoOutput { name: names[0].clone() })?;
    let mut inference = Inference {
        samples: samples.names(),
        text_pairs: samples.second_texts(),
        output: names.join(", "),
        shape: output.shape.clone(),
        labels: model.record.labels.clone(),
        ..Inference::default()
    };
    match (task, batch) {
        (Task::QuestionAnswering, Sample::Text(text)) => inference.guesses = answers(samples, text, outputs)?,
        (Task::FillMask, Sample::Text(text)) => {
            inference.guesses = fillings(&Vocabulary::read(snapshot, task)?, text, output)?;
        }
        (Task::ImageClassification | Task::TextClassification, _) => {
            inference.values = rows(output)?;
            let count = inference.values.first().map_or(0, Vec::len);
            let function = ScoreFunction::read(snapshot, model, context.spec.source.graph.as_deref(), count)?;
            let guesses = |scores: &Vec<f32>| classes(function, scores, &inference.labels);
            inference.guesses = inference.values.iter().map(guesses).collect();
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
        (Samples::Texts(_) | Samples::RandomTokens { .. }, Task::QuestionAnswering) => {
            "needs --text with a question and --context with a text"
        }
        (Samples::Pairs(_), _) if !matches!(task, Task::QuestionAnswering | Task::TextClassification) => {
            "takes no --context"
        }
        _ => return Ok(()),
    };
    Err(Error::WrongSamples { task, expected })
}

fn require_finite(output: &Tensor) -> Result<()> {
    let Some(values) = output.values.floats() else { return Ok(()) };
    let mut infinite = values.iter().filter(|value| !value.is_finite());
    match infinite.next() {
        None => Ok(()),
        Some(&value) => {
            let count = 1 + infinite.count();
            Err(Error::NotFinite { name: output.name.clone(), count, total: values.len(), value })
        }
    }
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
    Some(Guess::of_probability(context.get(from..to)?.to_owned(), probability))
}

/// Probabilities of the tokens that are part of the context; 0 for the others.
fn softmax_where(scores: &[f32], spans: &[Option<(usize, usize)>]) -> Vec<f64> {
    let scores: Vec<f32> =
        scores.iter().zip(spans).map(|(score, span)| if span.is_some() { *score } else { f32::NEG_INFINITY }).collect();
    softmax(&scores)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::GuessValue;

    #[test]
    fn an_answer_is_part_of_the_context_and_ends_after_it_starts() {
        let spans = [None, None, Some((0, 3)), Some((4, 7)), Some((8, 13))];
        let found = answer("the cat sleeps", &spans, &[9.0, 0.0, 0.0, 5.0, 1.0], &[9.0, 0.0, 6.0, 0.0, 5.0]).unwrap();
        assert_eq!(found.text, "cat sleep");
        let GuessValue::Probability(probability) = found.value else { panic!("{found:?}") };
        assert!(probability > 0.2 && probability < 1.0, "{found:?}");
    }
}
