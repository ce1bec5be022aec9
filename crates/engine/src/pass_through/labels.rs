//! Names of a graph's scores, from the configuration in its folder or at the top of its repository.

use crate::Result;
use crate::arch::label_names;
use crate::checkpoint::read_json;
use planforge_core::{Dim, Model, Snapshot, Task};
use serde_json::Value;

const CONFIG: &str = "config.json";

/// Names of the scores of `graph`; empty for tasks without scores, without a configuration, and where it names more or fewer
/// scores than the graph gives.
///
/// # Errors
/// A configuration that is not JSON.
pub(super) fn graph_labels(snapshot: &Snapshot, graph: &str, model: &Model) -> Result<Vec<String>> {
    let has_scores =
        matches!(model.task, Task::TextClassification | Task::TokenClassification | Task::ImageClassification);
    let Some(file) = config_file(snapshot, graph).filter(|_| has_scores) else { return Ok(Vec::new()) };
    let names = label_names(&read_json::<Value>(snapshot, &file)?);
    let outputs = model.main_outputs();
    let output = outputs.first().and_then(|name| model.outputs.iter().find(|output| output.name == *name));
    let count = output.and_then(|output| match output.dims.last() {
        Some(Dim::Fixed(size)) => usize::try_from(*size).ok(),
        _ => None,
    });
    Ok(if count.is_none_or(|count| count == names.len()) { names } else { Vec::new() })
}

/// The configuration in the folder of `graph`, else that at the top of the repository; none without one.
pub(crate) fn config_file(snapshot: &Snapshot, graph: &str) -> Option<String> {
    let beside = graph.rsplit_once('/').map(|(folder, _)| format!("{folder}/{CONFIG}"));
    beside.into_iter().chain([CONFIG.to_owned()]).find(|file| snapshot.file(file).is_some())
}
