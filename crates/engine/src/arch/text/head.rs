//! What a task adds to the hidden states, and the outputs of the graph.

use super::encoder::Encoder;
use super::fit::check_head;
use super::sentence::SentenceHead;
use crate::arch::labels::labels;
use crate::checkpoint::Checkpoint;
use crate::ops::{Activation, LinearWidths};
use crate::sentence::check_cross_encoder;
use crate::{Error, Ops, Result, Scope};
use planforge_core::{DataType, Dim, Task, TensorSpec};

const POOLER: &str = "pooler.dense";

/// What a text model gives beyond its hidden states.
#[derive(Debug)]
pub(crate) enum TextHead {
    /// Nothing.
    None,
    /// One vector for each text.
    Embedding(SentenceHead),
    /// A score for each label, and nothing else: a response carries every output that is not deselected.
    Classification {
        /// Names of the head.
        head: ClassificationHead,
        /// Number of labels.
        labels: usize,
    },
    /// A score for each label and token.
    TokenClassification {
        /// Number of labels.
        labels: usize,
    },
    /// Where the answer starts and ends.
    QuestionAnswering,
    /// A score for each token of the vocabulary.
    MaskedLanguageModel(MaskedLanguageModel),
}

/// The heads of a family whose names and activations differ between families.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heads {
    /// Classifies texts.
    pub(crate) classification: ClassificationHead,
    /// Predicts masked tokens.
    pub(crate) masked_language_model: MaskedLanguageModel,
}

/// A product over the first token, an activation, and a product that gives a score for each label.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClassificationHead {
    /// Scope of the first product.
    pub(crate) dense: &'static str,
    /// Its activation.
    pub(crate) activation: Activation,
    /// Scope of the second product.
    pub(crate) output: &'static str,
}

/// A product, an activation, a normalisation, and a product with the table of tokens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MaskedLanguageModel {
    /// Scope of the first product.
    pub(crate) dense: &'static str,
    /// Its activation.
    pub(crate) activation: Activation,
    /// Scope of the normalisation.
    pub(crate) norm: &'static str,
    /// Scope of the last product: its weight is the table of tokens where it has none of its own.
    pub(crate) decoder: &'static str,
    /// Scope of the last product's bias where it has none of its own.
    pub(crate) bias: &'static str,
    /// Whether the last product may do without tensors of its own.
    pub(crate) tied: bool,
    /// Rows of the table of tokens.
    pub(crate) vocab_size: usize,
    /// Width of the table of tokens.
    pub(crate) embedding_size: usize,
}

/// The scope of the table of tokens of BERT and its relatives.
const TABLE: &str = "embeddings.word_embeddings";

impl Heads {
    /// The scope of a tensor that only the head for `task` has; none for tasks without a head.
    const fn scope(self, task: Task) -> Option<&'static str> {
        match task {
            Task::TextClassification => Some(self.classification.output),
            Task::TokenClassification => Some("classifier"),
            Task::QuestionAnswering => Some("qa_outputs"),
            Task::FillMask => Some(self.masked_language_model.dense),
            _ => None,
        }
    }
}

impl ClassificationHead {
    /// The graph output `logits` `[batch, labels]`.
    fn forward<O: Ops>(self, ops: &mut O, encoder: &Encoder, labels: usize, hidden: &O::Tensor) -> Result<()> {
        let root = Scope::root();
        let first = ops.token(0, hidden);
        let dense = ops.linear(&root.child(self.dense), encoder.square(), &first)?;
        let dense = ops.activation(self.activation, &dense);
        let widths = LinearWidths { input: encoder.hidden_size, output: labels };
        let logits = ops.linear(&root.child(self.output), widths, &dense)?;
        output_per_text(ops, "logits", labels, &logits);
        Ok(())
    }
}

impl MaskedLanguageModel {
    /// The graph output `logits` `[batch, sequence, vocab_size]`.
    fn forward<O: Ops>(self, ops: &mut O, encoder: &Encoder, hidden: &O::Tensor) -> Result<()> {
        let root = Scope::root();
        let dense = LinearWidths { input: encoder.hidden_size, output: self.embedding_size };
        let x = ops.linear(&root.child(self.dense), dense, hidden)?;
        let x = ops.activation(self.activation, &x);
        let x = ops.layer_norm(&root.child(self.norm), self.embedding_size, encoder.epsilon, &x)?;
        let decoder = root.child(self.decoder);
        let table = if self.tied && !ops.has(&decoder, "weight") { root.child(TABLE) } else { decoder.clone() };
        let holder = if self.tied && !ops.has(&decoder, "bias") { self.bias } else { self.decoder };
        let widths = LinearWidths { input: self.embedding_size, output: self.vocab_size };
        let logits = ops.linear_with(&table.tensor("weight"), Some(&root.child(holder).tensor("bias")), widths, &x)?;
        output_per_token(ops, "logits", self.vocab_size, &logits);
        Ok(())
    }
}

impl TextHead {
    /// The head for `task`.
    ///
    /// # Errors
    /// A sentence embedding without the files that describe it, and a task over images.
    pub(crate) fn read(checkpoint: &Checkpoint, task: Task, heads: Heads) -> Result<Self> {
        check_head(checkpoint, task, |task| heads.scope(task))?;
        let label_count = || labels(checkpoint).map(|labels| labels.len());
        Ok(match task {
            Task::FeatureExtraction => Self::None,
            Task::SentenceEmbedding => Self::Embedding(SentenceHead::read(checkpoint)?),
            Task::TextClassification => {
                check_cross_encoder(&checkpoint.snapshot)?;
                Self::Classification { head: heads.classification, labels: label_count()? }
            }
            Task::TokenClassification => Self::TokenClassification { labels: label_count()? },
            Task::QuestionAnswering => Self::QuestionAnswering,
            Task::FillMask => Self::MaskedLanguageModel(heads.masked_language_model),
            Task::ImageClassification | Task::ImageFeatureExtraction => {
                let message = format!("model type `{}` is for texts", checkpoint.model_type);
                return Err(Error::Task { task: task.to_string(), repo: checkpoint.snapshot.repo.clone(), message });
            }
        })
    }

    /// The scope of the table of tokens: that of the last product over masked words where only this has one, since the
    /// reference ties either to the other.
    pub(super) fn token_table<O: Ops>(&self, ops: &O) -> Scope {
        let table = Scope::root().child(TABLE);
        match self {
            Self::MaskedLanguageModel(head) if head.tied && !ops.has(&table, "weight") => {
                let decoder = Scope::root().child(head.decoder);
                if ops.has(&decoder, "weight") { decoder } else { table }
            }
            _ => table,
        }
    }

    /// The task's outputs from the hidden states.
    pub(super) fn forward<O: Ops>(
        &self,
        ops: &mut O,
        encoder: &Encoder,
        hidden: &O::Tensor,
        mask: &O::Tensor,
    ) -> Result<()> {
        match *self {
            Self::None => output_hidden_states(ops, encoder, hidden),
            Self::Embedding(ref modules) => {
                output_hidden_states(ops, encoder, hidden)?;
                let embedding = modules.forward(ops, encoder.hidden_size, hidden, mask)?;
                output_per_text(ops, "sentence_embedding", embedding.width, &embedding.value);
                Ok(())
            }
            Self::Classification { head, labels } => head.forward(ops, encoder, labels, hidden),
            Self::TokenClassification { labels } => {
                let widths = LinearWidths { input: encoder.hidden_size, output: labels };
                let logits = ops.linear(&Scope::root().child("classifier"), widths, hidden)?;
                output_per_token(ops, "logits", labels, &logits);
                Ok(())
            }
            Self::QuestionAnswering => output_span(ops, encoder, hidden),
            Self::MaskedLanguageModel(head) => head.forward(ops, encoder, hidden),
        }
    }
}

/// The scores of each token as the start and as the end of the answer.
fn output_span<O: Ops>(ops: &mut O, encoder: &Encoder, hidden: &O::Tensor) -> Result<()> {
    let widths = LinearWidths { input: encoder.hidden_size, output: 2 };
    let logits = ops.linear(&Scope::root().child("qa_outputs"), widths, hidden)?;
    for (index, name) in ["start_logits", "end_logits"].into_iter().enumerate() {
        let scores = ops.select(index, &logits);
        let dims = vec![Dim::dynamic("batch"), Dim::dynamic("sequence")];
        ops.output(&TensorSpec::new(name, DataType::Fp32, dims), &scores);
    }
    Ok(())
}

/// The hidden states, and BERT's pooler over the first token where the checkpoint has one.
fn output_hidden_states<O: Ops>(ops: &mut O, encoder: &Encoder, hidden: &O::Tensor) -> Result<()> {
    let width = encoder.hidden_size;
    output_per_token(ops, "last_hidden_state", width, hidden);
    let pooler = Scope::root().child(POOLER);
    if ops.has(&pooler, "weight") {
        let first = ops.token(0, hidden);
        let pooled = ops.linear(&pooler, encoder.square(), &first)?;
        let pooled = ops.activation(Activation::Tanh, &pooled);
        output_per_text(ops, "pooler_output", width, &pooled);
    }
    Ok(())
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
