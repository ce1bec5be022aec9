//! Whether a checkpoint has the head that a task needs.

use crate::checkpoint::Checkpoint;
use crate::{Error, Result};
use planforge_core::Task;
use serde_json::Value;

/// Ends of the names of transformers' classes, each with the task that its head is for.
const HEADS: [(&str, Option<Task>); 7] = [
    ("ForSequenceClassification", Some(Task::TextClassification)),
    ("ForTokenClassification", Some(Task::TokenClassification)),
    ("ForQuestionAnswering", Some(Task::QuestionAnswering)),
    ("ForMaskedLM", Some(Task::FillMask)),
    ("ForPreTraining", Some(Task::FillMask)),
    ("ForNextSentencePrediction", None),
    ("ForMultipleChoice", None),
];

/// Ends of the names of classes whose heads have the same tensors in several families, but another meaning.
const SAME_TENSORS: [&str; 3] = ["ForSequenceClassification", "ForTokenClassification", "ForMultipleChoice"];

/// Refuses a task whose head the checkpoint does not have. `scope_of` gives the scope of a tensor that only the head for a
/// task has; none for tasks without a head.
///
/// # Errors
/// [`Error::Task`] with the class of the checkpoint and the tasks that it fits.
pub(super) fn check_head(
    checkpoint: &Checkpoint,
    task: Task,
    scope_of: impl Fn(Task) -> Option<&'static str>,
) -> Result<()> {
    let classes = classes(&checkpoint.config);
    let Some(scope) = scope_of(task) else { return Ok(()) };
    let known = |class: &&str| HEADS.iter().any(|(end, _)| class.ends_with(end));
    let Some(class) = classes.iter().copied().find(known) else { return Ok(()) };
    let fits = |class: &&str| HEADS.iter().any(|(end, fits)| class.ends_with(end) && *fits == Some(task));
    let over_labels = [Task::TextClassification, Task::TokenClassification].contains(&task);
    let is_ambiguous = over_labels && SAME_TENSORS.iter().any(|end| class.ends_with(end));
    if classes.iter().any(fits) || !is_ambiguous && has(checkpoint, scope) {
        return Ok(());
    }
    let of_class = HEADS.iter().filter(|(end, _)| class.ends_with(end)).filter_map(|(_, task)| *task);
    let there = of_class.filter(|&task| scope_of(task).is_some_and(|scope| has(checkpoint, scope)));
    let tasks: Vec<String> = there.chain([Task::FeatureExtraction]).map(|task| format!("`{task}`")).collect();
    let message = format!("its head is that of `{class}`; expected task {}", tasks.join(" or "));
    Err(Error::Task { task: task.to_string(), repo: checkpoint.snapshot.repo.clone(), message })
}

/// Whether the checkpoint has the weight of `scope`, under a prefix or without one.
fn has(checkpoint: &Checkpoint, scope: &str) -> bool {
    let name = format!("{scope}.weight");
    let is_it = |found: &str| {
        found.strip_suffix(name.as_str()).is_some_and(|prefix| prefix.is_empty() || prefix.ends_with('.'))
    };
    checkpoint.files.iter().flat_map(|file| &file.tensors).any(|tensor| is_it(&tensor.name))
}

/// Classes of transformers that the checkpoint was saved from.
fn classes(config: &Value) -> Vec<&str> {
    let listed = config.get("architectures").and_then(Value::as_array);
    listed.into_iter().flatten().filter_map(Value::as_str).collect()
}
