//! RoBERTa (Liu et al., arXiv:1907.11692), XLM-RoBERTa (Conneau et al., arXiv:1911.02116) and CamemBERT
//! (Martin et al., arXiv:1911.03894).
//!
//! Reference: `RobertaModel` and `RobertaForSequenceClassification` of transformers. A BERT whose
//! positions are counted from the padding token's number on and leave padding out, and with one segment.

use super::bert::Config;
use super::encoder::Encoder;
use super::text::{MaskedLanguageModel, TextHead, output_logits, token_input};
use crate::checkpoint::Checkpoint;
use crate::ops::Activation;
use crate::{Ops, Result, Scope};
use planforge_core::Task;
use serde::Deserialize;

pub(super) const PREFIX: &str = "roberta.";

/// The key that BERT does not need.
#[derive(Debug, Deserialize)]
struct Padding {
    pad_token_id: usize,
}

/// A RoBERTa with its task's outputs.
#[derive(Debug)]
pub(crate) struct Roberta {
    config: Config,
    padding: usize,
    max_sequence: usize,
    encoder: Encoder,
    head: TextHead,
}

/// Stored position ids, heads of other tasks, and the pooler for a task that does without it.
pub(super) fn may_ignore(name: &str) -> bool {
    name.ends_with("embeddings.position_ids")
        || ["lm_head.", "classifier.", "qa_outputs.", "pooler."].iter().any(|head| name.starts_with(head))
}

/// Tokens of the longest text: positions up to the padding token's own are never given to one.
///
/// # Errors
/// What is wrong where none is left.
pub(super) fn tokens_after_padding(table: usize, padding: usize) -> std::result::Result<usize, String> {
    match table.checked_sub(padding + 1) {
        None | Some(0) => {
            Err(format!("`max_position_embeddings` {table} leaves no position after `pad_token_id` {padding}"))
        }
        Some(count) => Ok(count),
    }
}

/// The head that guesses masked tokens.
pub(super) const fn masked_language_model(vocabulary: usize) -> MaskedLanguageModel {
    MaskedLanguageModel {
        dense: "lm_head.dense",
        activation: Activation::Gelu,
        norm: "lm_head.layer_norm",
        decoder: "lm_head.decoder",
        bias: "lm_head",
        vocabulary,
    }
}

/// The scores of so many labels for the first token: two products with a hyperbolic tangent between them.
pub(super) fn classify<O: Ops>(ops: &mut O, (encoder, labels): (&Encoder, usize), hidden: &O::Tensor) -> Result<()> {
    let first = ops.token(0, hidden);
    let dense = ops.linear(&Scope::root().child("classifier.dense"), encoder.square(), &first)?;
    let dense = ops.activation(Activation::Tanh, &dense);
    output_logits(ops, "classifier.out_proj", (encoder.hidden_size, labels), &dense)
}

impl Roberta {
    pub(super) fn read(checkpoint: &Checkpoint, task: Task) -> Result<Self> {
        let (config, encoder) = Config::read(checkpoint)?;
        let Padding { pad_token_id: padding } = checkpoint.config()?;
        let max_sequence = tokens_after_padding(config.max_position_embeddings, padding)
            .map_err(|message| checkpoint.config_error(message))?;
        let head = TextHead::read(checkpoint, task, masked_language_model(config.vocab_size))?;
        Ok(Self { config, padding, max_sequence, encoder, head })
    }

    pub(super) const fn max_sequence(&self) -> u64 {
        self.max_sequence as u64
    }

    pub(super) fn forward<O: Ops>(&self, ops: &mut O) -> Result<()> {
        let input_ids = token_input(ops, "input_ids");
        let attention_mask = token_input(ops, "attention_mask");
        let token_types = (self.config.type_vocab_size > 1).then(|| token_input(ops, "token_type_ids"));
        let mask = ops.attention_mask(&attention_mask);
        let hidden = self.embeddings(ops, &input_ids, token_types.as_ref())?;
        let hidden = self.encoder.forward(ops, hidden, &[&mask])?;

        if let TextHead::Classification(labels) = self.head {
            return classify(ops, (&self.encoder, labels), &hidden);
        }
        self.head.output(ops, &self.encoder, &hidden, &attention_mask)
    }

    fn embeddings<O: Ops>(&self, ops: &mut O, ids: &O::Tensor, token_types: Option<&O::Tensor>) -> Result<O::Tensor> {
        let scope = Scope::root().child("embeddings");
        let config = &self.config;
        let width = self.encoder.hidden_size;
        let mut sum = ops.embedding(&scope.child("word_embeddings"), [config.vocab_size, width], ids)?;
        let (kinds, table) = (scope.child("token_type_embeddings"), [config.type_vocab_size, width]);
        if let Some(token_types) = token_types {
            let rows = ops.embedding(&kinds, table, token_types)?;
            sum = ops.add(&sum, &rows);
        } else if config.type_vocab_size == 1 {
            let row = ops.first_row(&kinds, table)?;
            sum = ops.add(&sum, &row);
        }
        let table = [config.max_position_embeddings, width];
        let positions = ops.padded_position_embedding(&scope.child("position_embeddings"), table, ids, self.padding)?;
        sum = ops.add(&sum, &positions);
        self.encoder.norm(ops, &scope.child("LayerNorm"), &sum)
    }
}
