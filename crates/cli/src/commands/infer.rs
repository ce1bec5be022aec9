//! `infer`: the exported model on texts or images from the command line.

use crate::args::InferArguments;
use crate::commands::context::CommandContext;
use crate::failure::BadUsage;
use crate::printer::one_line;
use crate::table::table;
use anyhow::Result;
use planforge_core::{ACCESS_TOKEN_VARIABLE, TARGET_MODEL_HEADER, invocations_path};
use planforge_pipeline::{GuessValue, Inference, InferenceRequest, Overrides};
use planforge_validate::{Samples, cosine};
use std::fmt::Write;
use std::path::Path;

/// Values shown of each sample; `--json` has all.
const SHOWN: usize = 6;

/// Prints the output that the pipeline's task is about, and for embeddings how similar the texts are.
pub(super) fn infer(context: &CommandContext, arguments: &InferArguments) -> Result<()> {
    let pipeline = context.open(&arguments.pipeline, &Overrides::default())?;
    let samples = samples(arguments)?;
    let request = || planforge_pipeline::inference_request(&pipeline, samples.as_ref(), arguments.precision);
    if let Some(file) = &arguments.request {
        return write_request(context, &request()?, file);
    }
    let inference = match &arguments.url {
        Some(url) => planforge_pipeline::infer_served(&pipeline, &request()?, url)?,
        None => planforge_pipeline::infer(&pipeline, samples.as_ref(), arguments.precision)?,
    };
    context.show(&inference, &text(&inference))
}

/// Writes the body, and prints the command that sends it.
fn write_request(context: &CommandContext, request: &InferenceRequest, file: &Path) -> Result<()> {
    let InferenceRequest { body, endpoint, target_model, .. } = request;
    fs_err::write(file, &body.bytes)?;
    let (route, content_type) = (invocations_path(endpoint), &body.content_type);
    let quoted = file.display().to_string().replace('\'', r"'\''");
    let token = match &context.settings.pipeline.endpoint_token {
        Some(_) => format!(" -H \"Authorization: Bearer ${ACCESS_TOKEN_VARIABLE}\""),
        None => String::new(),
    };
    let command = format!(
        "curl -s http://127.0.0.1:8080{route} -H '{TARGET_MODEL_HEADER}: {target_model}' -H 'Content-Type: {content_type}'{token} \
         --data-binary @'{quoted}'"
    );
    let shown = serde_json::json!({
        "file": file, "content_type": content_type, "target_model": target_model, "route": route, "command": command,
    });
    context.show(&shown, &format!("{command}\n"))
}

/// The samples on the command line; none where it names none.
fn samples(arguments: &InferArguments) -> Result<Option<Samples>> {
    let InferArguments { texts, contexts, images, .. } = arguments;
    Ok(if !images.is_empty() {
        Some(Samples::Images(images.clone()))
    } else if texts.is_empty() {
        None
    } else if contexts.is_empty() {
        Some(Samples::Texts(texts.clone()))
    } else {
        Some(Samples::Pairs(pairs(texts, contexts)?))
    })
}

/// Each text with its context; the only text with each context, or each text with the only context.
fn pairs(texts: &[String], contexts: &[String]) -> Result<Vec<(String, String)>, BadUsage> {
    let count = texts.len().max(contexts.len());
    if [texts.len(), contexts.len()].iter().any(|&given| given != 1 && given != count) {
        return Err(BadUsage(format!(
            "invalid number of --context: {}; expected 1 or {}, as of --text",
            contexts.len(),
            texts.len()
        )));
    }
    let of = |given: &[String], index: usize| given[if given.len() == 1 { 0 } else { index }].clone();
    Ok((0..count).map(|index| (of(texts, index), of(contexts, index))).collect())
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
    for (index, (sample, guesses)) in inference.samples.iter().zip(&inference.guesses).enumerate() {
        let _ = writeln!(text, "  {sample}");
        if let Some(second) = inference.text_pairs.get(index) {
            let _ = writeln!(text, "  + {second}");
        }
        for guess in guesses {
            let _ = match guess.value {
                GuessValue::Probability(share) => {
                    writeln!(text, "    {:>5.1} %  {}", share * 100.0, one_line(&guess.text))
                }
                GuessValue::Score(score) => writeln!(text, "    {score:>+7.4}  {}", one_line(&guess.text)),
            };
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
            let _ = writeln!(text, "    {:<16} {}", one_line(token), one_line(&inference.labels[best]));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_text_or_context_is_paired_with_all_of_the_others() {
        let made = |texts: &[&str], contexts: &[&str]| {
            let owned = |given: &[&str]| given.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
            pairs(&owned(texts), &owned(contexts))
                .map(|pairs| pairs.iter().map(|(first, second)| format!("{first}{second}")).collect::<Vec<_>>())
        };
        assert_eq!(made(&["a"], &["1", "2"]).unwrap(), ["a1", "a2"]);
        assert_eq!(made(&["a", "b"], &["1"]).unwrap(), ["a1", "b1"]);
        assert_eq!(made(&["a", "b"], &["1", "2"]).unwrap(), ["a1", "b2"]);
        let refused = made(&["a", "b"], &["1", "2", "3"]).unwrap_err().to_string();
        assert!(refused.contains("3; expected 1 or 2"), "{refused}");
    }
}
