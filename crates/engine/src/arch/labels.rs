//! Names of the classes a checkpoint tells apart.

use super::timm::TimmConfig;
use crate::Result;
use crate::checkpoint::Checkpoint;
use planforge_core::Task;
use serde_json::Value;

/// The classes of ImageNet-1k in their usual order, a line each (Russakovsky et al., arXiv:1409.0575). Checkpoints
/// of timm refer to them without listing them.
const IMAGENET: &str = include_str!("imagenet-1k.txt");

/// Names of the scores that `task` gives, in order; empty for tasks without scores, and where a checkpoint names none.
///
/// # Errors
/// A timm configuration of another shape.
pub(crate) fn task_labels(checkpoint: &Checkpoint, task: Task) -> Result<Vec<String>> {
    match task {
        Task::TextClassification | Task::TokenClassification => Ok(labels(&checkpoint.config)),
        Task::ImageClassification if checkpoint.is_timm() => Ok(timm_labels(&TimmConfig::read(checkpoint)?)),
        Task::ImageClassification => Ok(labels(&checkpoint.config)),
        Task::FeatureExtraction | Task::SentenceEmbedding | Task::QuestionAnswering | Task::FillMask => Ok(Vec::new()),
    }
}

fn timm_labels(config: &TimmConfig) -> Vec<String> {
    if let Some(names) = config.label_names.as_ref().filter(|names| names.len() == config.num_classes) {
        return names.clone();
    }
    let tag = config.pretrained_cfg.tag.as_deref().unwrap_or_default();
    let names: Vec<_> = IMAGENET.lines().map(str::to_owned).collect();
    if tag.contains("in1k") && config.num_classes == names.len() { names } else { Vec::new() }
}

/// Names of the labels in the order of the scores. A configuration without names has two, called as
/// transformers calls them.
pub(super) fn labels(config: &Value) -> Vec<String> {
    let names = config.get("id2label").and_then(Value::as_object);
    let mut numbered: Vec<(u64, String)> = names
        .into_iter()
        .flatten()
        .filter_map(|(number, name)| Some((number.parse().ok()?, name.as_str()?.to_owned())))
        .collect();
    numbered.sort();
    if numbered.is_empty() {
        return vec!["LABEL_0".to_owned(), "LABEL_1".to_owned()];
    }
    numbered.into_iter().map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn labels_come_in_the_order_of_their_numbers() {
        let config = json!({ "id2label": { "10": "k", "2": "c", "0": "a" } });
        assert_eq!(labels(&config), ["a", "c", "k"]);
        assert_eq!(labels(&json!({})), ["LABEL_0", "LABEL_1"]);
    }
}
