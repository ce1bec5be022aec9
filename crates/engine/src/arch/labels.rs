//! Names of the classes a checkpoint tells apart.

use super::timm::TimmConfig;
use crate::Result;
use crate::checkpoint::Checkpoint;
use planforge_core::Task;
use serde_json::Value;
use std::collections::BTreeMap;

/// The classes of ImageNet-1k in their usual order, a line each (Russakovsky et al., arXiv:1409.0575). Checkpoints
/// of timm refer to them without listing them.
const IMAGENET: &str = include_str!("imagenet-1k.txt");

/// Labels of a configuration without any.
const DEFAULT_COUNT: usize = 2;
/// Far more labels than any checkpoint has.
const MOST_LABELS: usize = 1 << 20;

/// Names of the scores that `task` gives, in order; empty for tasks without scores, and where a checkpoint names none.
///
/// # Errors
/// A configuration of another shape.
pub(crate) fn task_labels(checkpoint: &Checkpoint, task: Task) -> Result<Vec<String>> {
    match task {
        Task::TextClassification | Task::TokenClassification => labels(checkpoint),
        Task::ImageClassification if checkpoint.is_timm() => Ok(timm_labels(&TimmConfig::read(checkpoint)?)),
        Task::ImageClassification => labels(checkpoint),
        Task::FeatureExtraction
        | Task::SentenceEmbedding
        | Task::QuestionAnswering
        | Task::FillMask
        | Task::ImageFeatureExtraction => Ok(Vec::new()),
    }
}

fn timm_labels(config: &TimmConfig) -> Vec<String> {
    if let Some(names) = config.label_names().filter(|names| names.len() == config.num_classes()) {
        return names.clone();
    }
    let tag = config.pretrained_cfg.tag.as_deref().unwrap_or_default();
    let names: Vec<_> = IMAGENET.lines().map(str::to_owned).collect();
    if tag.contains("in1k") && config.num_classes() == names.len() { names } else { Vec::new() }
}

/// Names of the labels in the order of the scores, as transformers reads them: those of `id2label`, else as many as
/// `num_labels`, else two. Names whose number is not `num_labels` do not count.
///
/// # Errors
/// [`crate::Error::Config`] for values of another shape.
pub(super) fn labels(checkpoint: &Checkpoint) -> Result<Vec<String>> {
    of_config(&checkpoint.config).map_err(|message| checkpoint.config_error(message))
}

fn of_config(config: &Value) -> std::result::Result<Vec<String>, String> {
    let count = match config.get("num_labels") {
        None | Some(Value::Null) => None,
        Some(count) => {
            let number = count.as_u64().and_then(|count| usize::try_from(count).ok());
            let expected = || format!("`num_labels` is {count}, expected a number of labels");
            Some(number.filter(|count| (1..=MOST_LABELS).contains(count)).ok_or_else(expected)?)
        }
    };
    let names = match config.get("id2label") {
        None | Some(Value::Null) => None,
        Some(Value::Object(names)) if names.is_empty() => None,
        Some(Value::Object(names)) => Some(names),
        Some(other) => return Err(format!("`id2label` is {other}, expected an object")),
    };
    let Some(names) = names else { return Ok((0..count.unwrap_or(DEFAULT_COUNT)).map(default_name).collect()) };
    if let Some(count) = count.filter(|&count| count != names.len()) {
        return Ok((0..count).map(default_name).collect());
    }
    let mut numbered = BTreeMap::new();
    for (number, name) in names {
        let number: usize =
            number.trim().parse().map_err(|_| format!("`id2label` has the key `{number}`, expected a number"))?;
        numbered.insert(number, name.as_str().map_or_else(|| name.to_string(), str::to_owned));
    }
    // As many scores as names; a number without a name is called as in a configuration without names.
    let name = |number: usize| numbered.get(&number).cloned().unwrap_or_else(|| default_name(number));
    Ok((0..names.len()).map(name).collect())
}

fn default_name(number: usize) -> String {
    format!("LABEL_{number}")
}

/// Names of the labels that a configuration lists, of transformers or of timm, in the order of the scores.
pub(crate) fn label_names(config: &Value) -> Vec<String> {
    if let Some(names) = config.get("label_names").and_then(Value::as_array) {
        return names.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    }
    let names = config.get("id2label").and_then(Value::as_object);
    let mut numbered: Vec<(u64, String)> = names
        .into_iter()
        .flatten()
        .filter_map(|(number, name)| Some((number.parse().ok()?, name.as_str()?.to_owned())))
        .collect();
    numbered.sort();
    numbered.into_iter().map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn labels_come_in_the_order_of_their_numbers() {
        let names = json!({ "10": "k", "2": "c", "0": "a" });
        assert_eq!(of_config(&json!({ "id2label": names })).unwrap(), ["a", "LABEL_1", "c"]);
        assert_eq!(of_config(&json!({ "id2label": { "1": "b", "0": 7 } })).unwrap(), ["7", "b"]);
    }

    #[test]
    fn without_names_their_number_is_that_of_the_reference() {
        assert_eq!(of_config(&json!({})).unwrap(), ["LABEL_0", "LABEL_1"]);
        assert_eq!(
            of_config(&json!({ "num_labels": 3, "id2label": null })).unwrap(),
            ["LABEL_0", "LABEL_1", "LABEL_2"]
        );
        let more = json!({ "num_labels": 3, "id2label": { "0": "a", "1": "b" } });
        assert_eq!(of_config(&more).unwrap(), ["LABEL_0", "LABEL_1", "LABEL_2"]);
    }

    #[test]
    fn values_of_another_shape_are_refused() {
        let refused = |config: Value| of_config(&config).unwrap_err();
        assert!(refused(json!({ "id2label": { "a": "b" } })).contains("the key `a`"));
        assert!(refused(json!({ "id2label": ["a"] })).contains("expected an object"));
        assert!(refused(json!({ "num_labels": 0 })).contains("`num_labels` is 0"));
    }
}
