//! The steps of a `tokenizer.json`, compared with those that transformers builds for its class whichever the file has.

use crate::reference::TokenizerSteps;
use serde_json::Value;

/// What of a tokenizer's steps is not what its class builds; none where all is. Normalizers are not compared: which a class
/// builds depends on the vocabulary.
pub(super) fn difference(file: &Value, class: &TokenizerSteps) -> Option<String> {
    let model = file["model"]["type"].as_str().unwrap_or_default();
    let pre_tokenizers = names(&file["pre_tokenizer"], "pretokenizers");
    let found = frame(&file["post_processor"]);
    let unlike = |part: &str, found: &str, expected: &str| Some(format!("`{part}` is {found}, expected {expected}"));
    // Older files leave out the type.
    if !model.is_empty() && model != class.model {
        return unlike("model", model, &class.model);
    }
    if pre_tokenizers != class.pre_tokenizers {
        return unlike("pre_tokenizer", &listed(&pre_tokenizers), &listed(&class.pre_tokenizers));
    }
    let expected = class.frame.as_ref().filter(|expected| **expected != found)?;
    unlike("post_processor", &spelled(&found), &spelled(expected))
}

/// Names of the steps of a part, sequences opened.
fn names(step: &Value, inner: &str) -> Vec<String> {
    match step["type"].as_str() {
        None => Vec::new(),
        Some("Sequence") => step[inner].as_array().into_iter().flatten().flat_map(|step| names(step, inner)).collect(),
        Some(name) => vec![name.to_owned()],
    }
}

/// Where special tokens are (`S`) in what becomes of one text (`T`).
fn frame(step: &Value) -> String {
    match step["type"].as_str() {
        None | Some("ByteLevel") => "T".to_owned(),
        Some("Sequence") => {
            let mut frames = step["processors"].as_array().into_iter().flatten().map(frame);
            frames.find(|found| found != "T").unwrap_or_else(|| "T".to_owned())
        }
        Some("TemplateProcessing") => {
            let parts = step["single"].as_array().into_iter().flatten();
            parts.map(|part| if part.get("SpecialToken").is_some() { 'S' } else { 'T' }).collect()
        }
        Some(_) => "STS".to_owned(),
    }
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(" + ") }
}

/// A frame as text.
fn spelled(frame: &str) -> String {
    let parts: Vec<&str> = frame.chars().map(|part| if part == 'S' { "special token" } else { "text" }).collect();
    parts.join(" + ")
}
