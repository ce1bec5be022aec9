//! Inputs, outputs and task heads that models over text share.

use super::encoder::Encoder;
use super::labels::labels;
use super::pooling::Pooling;
use crate::checkpoint::Checkpoint;
use crate::ops::{Activation, LinearWidths};
use crate::{Error, Ops, Result, Scope};
use planforge_core::{DataType, Dim, Task, TensorSpec};

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
    /// Where the answer starts and ends.
    QuestionAnswering,
    /// A score for each token of the vocabulary.
    MaskedLanguageModel(MaskedLanguageModel),
}

/// Names and sizes of the head that guesses masked tokens: a product, an activation, a normalisation, and a
/// product with the embedding table.
#[derive(Debug)]
pub(super) struct MaskedLanguageModel {
    /// First product.
    pub(super) dense: &'static str,
    /// Its activation.
    pub(super) activation: Activation,
    /// Normalisation.
    pub(super) norm: &'static str,
    /// Scope of the last product: its weight is the embedding table where it has none of its own.
    pub(super) decoder: &'static str,
    /// Scope of the last product's bias where it has none of its own.
    pub(super) bias: &'static str,
    /// Size of the vocabulary.
    pub(super) vocabulary: usize,
}

/// The embedding table of BERT and its relatives.
const TABLE: &str = "embeddings.word_embeddings.weight";

impl MaskedLanguageModel {
    /// The graph output `logits` `[batch, sequence, vocabulary]`.
    fn output<O: Ops>(&self, ops: &mut O, encoder: &Encoder, hidden: &O::Tensor) -> Result<()> {
        let root = Scope::root();
        let x = ops.linear(&root.child(self.dense), encoder.square(), hidden)?;
        let x = ops.activation(self.activation, &x);
        let x = encoder.norm(ops, &root.child(self.norm), &x)?;
        let decoder = root.child(self.decoder);
        let own = decoder.tensor("weight");
        let weight = if ops.has(&decoder, "weight") { own.as_str() } else { TABLE };
        let holder = if ops.has(&decoder, "bias") { self.decoder } else { self.bias };
        let widths = LinearWidths { input: encoder.hidden_size, output: self.vocabulary };
        let logits = ops.linear_with((weight, Some(&root.child(holder).tensor("bias"))), widths, &x)?;
        output_per_token(ops, "logits", self.vocabulary, &logits);
        Ok(())
    }
}

impl TextHead {
    /// The head for `task`; `masked` is the one that guesses masked tokens.
    ///
    /// # Errors
    /// A sentence embedding without the files that describe it, and a task over images.
    pub(super) fn read(checkpoint: &Checkpoint, task: Task, masked: MaskedLanguageModel) -> Result<Self> {
        Ok(match task {
            Task::FeatureExtraction => Self::None,
            Task::SentenceEmbedding => Self::Embedding(Pooling::read(&checkpoint.snapshot)?),
            Task::TextClassification => Self::Classification(labels(&checkpoint.config).len()),
            Task::TokenClassification => Self::TokenClassification(labels(&checkpoint.config).len()),
            Task::QuestionAnswering => Self::QuestionAnswering,
            Task::FillMask => Self::MaskedLanguageModel(masked),
            Task::ImageClassification => {
                let message = format!("model type `{}` is for texts", checkpoint.model_type);
                return Err(Error::Task { task: task.to_string(), repo: checkpoint.snapshot.repo.clone(), message });
            }
        })
    }

    /// The outputs that follow from the hidden states in the same way for all relatives of BERT: the
    /// scores of tokens, or the hidden states with what the checkpoint and the task add to them.
    pub(super) fn output<O: Ops>(
        &self,
        ops: &mut O,
        encoder: &Encoder,
        hidden: &O::Tensor,
        mask: &O::Tensor,
    ) -> Result<()> {
        let width = encoder.hidden_size;
        if let Self::MaskedLanguageModel(head) = self {
            return head.output(ops, encoder, hidden);
        }
        if let Self::TokenClassification(labels) = *self {
            let widths = LinearWidths { input: width, output: labels };
            let logits = ops.linear(&Scope::root().child("classifier"), widths, hidden)?;
            output_per_token(ops, "logits", labels, &logits);
            return Ok(());
        }
        if let Self::QuestionAnswering = self {
            let widths = LinearWidths { input: width, output: 2 };
            let logits = ops.linear(&Scope::root().child("qa_outputs"), widths, hidden)?;
            for (index, name) in ["start_logits", "end_logits"].into_iter().enumerate() {
                let scores = ops.select(index, &logits);
                let dims = vec![Dim::dynamic("batch"), Dim::dynamic("sequence")];
                ops.output(&TensorSpec::new(name, DataType::Fp32, dims), &scores);
            }
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
    let first = ops.token(0, hidden);
    let pooled = ops.linear(&Scope::root().child(POOLER), LinearWidths { input: width, output: width }, &first)?;
    Ok(ops.activation(Activation::Tanh, &pooled))
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
