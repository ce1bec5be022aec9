//! Inputs, outputs and task heads that models over text share.

use super::pooling::Pooling;
use crate::checkpoint::Checkpoint;
use crate::ops::{Activation, LinearWidths};
use crate::{Ops, Result, Scope};
use planforge_core::{DataType, Dim, Task, TensorSpec};
use serde_json::Value;

const POOLER: &str = "pooler.dense";

/// What a text model gives beyond its hidden states.
#[derive(Debug)]
pub(super) enum TextHead {
    /// Nothing.
    None,
    /// One vector for each text.
    Embedding(Pooling),
    /// A score for each label, and nothing else: an answer carries every output that is not deselected.
    /// The number of labels.
    Classification(usize),
    /// A score for each label and token; the number of labels.
    TokenClassification(usize),
}

impl TextHead {
    /// The head for `task`.
    ///
    /// # Errors
    /// A sentence embedding without the files that describe it.
    pub(super) fn read(checkpoint: &Checkpoint, task: Task) -> Result<Self> {
        Ok(match task {
            Task::FeatureExtraction => Self::None,
            Task::SentenceEmbedding => Self::Embedding(Pooling::read(&checkpoint.snapshot)?),
            Task::TextClassification => Self::Classification(labels(&checkpoint.config).len()),
            Task::TokenClassification => Self::TokenClassification(labels(&checkpoint.config).len()),
        })
    }

    /// The outputs that follow from the hidden states in the same way for all relatives of BERT: the
    /// scores of tokens, or the hidden states with what the checkpoint and the task add to them.
    pub(super) fn output<O: Ops>(&self, ops: &mut O, width: usize, hidden: &O::Tensor, mask: &O::Tensor) -> Result<()> {
        if let Self::TokenClassification(labels) = *self {
            let widths = LinearWidths { input: width, output: labels };
            let logits = ops.linear(&Scope::root().child("classifier"), widths, hidden)?;
            output_per_token(ops, "logits", labels, &logits);
            return Ok(());
        }
        output_per_token(ops, "last_hidden_state", width, hidden);
        if ops.has(&Scope::root().child(POOLER), "weight") {
            let pooled = pool(ops, width, hidden)?;
            output_per_text(ops, "pooler_output", width, &pooled);
        }
        if let Self::Embedding(pooling) = self {
            let embedding = pooling.forward(ops, hidden, mask);
            output_per_text(ops, "sentence_embedding", width, &embedding);
        }
        Ok(())
    }
}

/// BERT's pooler: a product and a hyperbolic tangent over the first token.
pub(super) fn pool<O: Ops>(ops: &mut O, width: usize, hidden: &O::Tensor) -> Result<O::Tensor> {
    let first = ops.first_token(hidden);
    let pooled = ops.linear(&Scope::root().child(POOLER), LinearWidths { input: width, output: width }, &first)?;
    Ok(ops.activation(Activation::Tanh, &pooled))
}

/// Names of the labels in the order of the scores. A configuration without names has two, called as
/// transformers calls them.
pub(crate) fn labels(config: &Value) -> Vec<String> {
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

/// A graph input of one integer for each token.
pub(super) fn token_input<O: Ops>(ops: &mut O, name: &str) -> O::Tensor {
    ops.input(&TensorSpec::new(name, DataType::Int64, vec![Dim::dynamic("batch"), Dim::dynamic("sequence")]))
}

/// A graph output of `width` numbers for each token.
fn output_per_token<O: Ops>(ops: &mut O, name: &str, width: usize, value: &O::Tensor) {
    let dims = vec![Dim::dynamic("batch"), Dim::dynamic("sequence"), Dim::Fixed(width as u64)];
    ops.output(&TensorSpec::new(name, DataType::Fp32, dims), value);
}

/// A graph output of `width` numbers for each text.
fn output_per_text<O: Ops>(ops: &mut O, name: &str, width: usize, value: &O::Tensor) {
    let dims = vec![Dim::dynamic("batch"), Dim::Fixed(width as u64)];
    ops.output(&TensorSpec::new(name, DataType::Fp32, dims), value);
}

/// The scores of the last product of a classification head, which lies in `scope`.
pub(super) fn output_logits<O: Ops>(
    ops: &mut O,
    scope: &str,
    (width, labels): (usize, usize),
    x: &O::Tensor,
) -> Result<()> {
    let widths = LinearWidths { input: width, output: labels };
    let logits = ops.linear(&Scope::root().child(scope), widths, x)?;
    output_per_text(ops, "logits", labels, &logits);
    Ok(())
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
