//! `infer`: the exported model on texts or images from the command line.

use crate::args::InferArguments;
use crate::commands::context::CommandContext;
use crate::table::table;
use anyhow::Result;
use planforge_pipeline::{Inference, Overrides};
use planforge_validate::{Samples, cosine};
use std::fmt::Write;

/// Values shown of each sample; `--json` has all.
const SHOWN: usize = 6;

/// Prints the output that the pipeline's task is about, and for embeddings how similar the texts are.
pub(super) fn infer(context: &CommandContext, arguments: &InferArguments) -> Result<()> {
    let pipeline = context.open(&arguments.pipeline, &Overrides::default())?;
    let inference = planforge_pipeline::infer(&pipeline, samples(arguments).as_ref(), arguments.precision)?;
    context.show(&inference, &text(&inference))
}

/// The samples on the command line; none where it names none.
fn samples(arguments: &InferArguments) -> Option<Samples> {
    let texts = || arguments.texts.iter().cloned();
    if !arguments.images.is_empty() {
        return Some(Samples::Images(arguments.images.clone()));
    }
    if arguments.texts.is_empty() {
        return None;
    }
    Some(match &arguments.context {
        Some(context) => Samples::Pairs(texts().map(|question| (question, context.clone())).collect()),
        None => Samples::Texts(texts().collect()),
    })
}

fn text(inference: &Inference) -> String {
    let mut text = format!("{} {:?}\n", inference.output, inference.shape);
    if !inference.guesses.is_empty() {
        return text + &guesses(inference);
    }
    if !inference.labels.is_empty() {
        return text + &token_classes(inference);
    }
    for (index, (sentence, values)) in inference.samples.iter().zip(&inference.values).enumerate() {
        let shown: Vec<_> = values.iter().take(SHOWN).map(|value| format!("{value:+.4}")).collect();
        let more = if values.len() > SHOWN { " …" } else { "" };
        let _ = writeln!(text, "  {}  {}{more}  {sentence}", index + 1, shown.join(" "));
    }
    // One vector for each text can be compared; one for each token cannot.
    if inference.shape.len() == 2 && inference.samples.len() > 1 {
        let _ = write!(text, "cosine similarity\n{}", similarities(&inference.values));
    }
    text
}

/// Each sample with what it is taken for.
fn guesses(inference: &Inference) -> String {
    let mut text = String::new();
    for (sample, guesses) in inference.samples.iter().zip(&inference.guesses) {
        let _ = writeln!(text, "  {sample}");
        for guess in guesses {
            let _ = writeln!(text, "    {:>5.1} %  {}", guess.probability * 100.0, guess.text);
        }
    }
    text
}

/// Each token with its likeliest label.
fn token_classes(inference: &Inference) -> String {
    let mut text = String::new();
    for ((sentence, tokens), scores) in inference.samples.iter().zip(&inference.tokens).zip(&inference.values) {
        let _ = writeln!(text, "  {sentence}");
        for (token, scores) in tokens.iter().zip(scores.chunks(inference.labels.len())) {
            let best = scores.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |(index, _)| index);
            let _ = writeln!(text, "    {token:<16} {}", inference.labels[best]);
        }
    }
    text
}

fn similarities(vectors: &[Vec<f32>]) -> String {
    let numbers: Vec<_> = (1..=vectors.len()).map(|number| format!(">{number}")).collect();
    let headings: Vec<_> = std::iter::once("").chain(numbers.iter().map(String::as_str)).collect();
    let row = |(index, a): (usize, &Vec<f32>)| {
        let cells = vectors.iter().map(|b| format!("{:.3}", cosine(a, b)));
        std::iter::once((index + 1).to_string()).chain(cells).collect::<Vec<_>>()
    };
    table(&headings, &vectors.iter().enumerate().map(row).collect::<Vec<_>>())
}
