//! DistilBERT (Sanh et al., arXiv:1910.01108).
//!
//! Reference: `DistilBertModel` and `DistilBertForSequenceClassification` of transformers. A BERT without
//! segments and pooler, under names of its own.

use super::encoder::{Encoder, LayerNames, activation};
use super::text::{MaskedLanguageModel, TextHead, output_logits, token_input};
use crate::checkpoint::Checkpoint;
use crate::ops::Activation;
use crate::{Ops, Result, Scope};
use planforge_core::Task;
use serde::Deserialize;

pub(super) const PREFIX: &str = "distilbert.";

/// Fixed in the reference implementation.
const EPSILON: f32 = 1e-12;

const LAYER_NAMES: LayerNames = LayerNames {
    attention: "attention",
    query_key_value: ["attention.q_lin", "attention.k_lin", "attention.v_lin"],
    projection: "attention.out_lin",
    attention_norm: "sa_layer_norm",
    up: "ffn.lin1",
    down: "ffn.lin2",
    output_norm: "output_layer_norm",
};

/// `config.json`.
#[derive(Debug, Deserialize)]
struct Config {
    vocab_size: usize,
    dim: usize,
    n_layers: usize,
    n_heads: usize,
    hidden_dim: usize,
    activation: String,
    max_position_embeddings: usize,
}

/// A DistilBERT with its task's outputs.
#[derive(Debug)]
pub(crate) struct DistilBert {
    config: Config,
    encoder: Encoder,
    head: TextHead,
}

/// Stored position ids, and heads of other tasks.
pub(super) fn may_ignore(name: &str) -> bool {
    let heads =
        ["vocab_transform.", "vocab_layer_norm.", "vocab_projector.", "pre_classifier.", "classifier.", "qa_outputs."];
    name.ends_with("embeddings.position_ids") || heads.iter().any(|head| name.starts_with(head))
}

impl DistilBert {
    pub(super) fn read(checkpoint: &Checkpoint, task: Task) -> Result<Self> {
        let config: Config = checkpoint.config()?;
        let fail = |message: String| checkpoint.config_error(message);
        let encoder = Encoder {
            layers: "transformer.layer",
            names: &LAYER_NAMES,
            layer_count: config.n_layers,
            hidden_size: config.dim,
            intermediate_size: config.hidden_dim,
            heads: config.n_heads,
            epsilon: EPSILON,
            activation: activation("activation", &config.activation).map_err(fail)?,
        };
        encoder.check("dim", "n_heads").map_err(fail)?;
        let masked = MaskedLanguageModel {
            dense: "vocab_transform",
            activation: encoder.activation,
            norm: "vocab_layer_norm",
            decoder: "vocab_projector",
            bias: "vocab_projector",
            vocabulary: config.vocab_size,
        };
        let head = TextHead::read(checkpoint, task, masked)?;
        Ok(Self { config, encoder, head })
    }

    pub(super) fn max_sequence(&self) -> u64 {
        self.config.max_position_embeddings as u64
    }

    pub(super) fn forward<O: Ops>(&self, ops: &mut O) -> Result<()> {
        let input_ids = token_input(ops, "input_ids");
        let attention_mask = token_input(ops, "attention_mask");
        let mask = ops.attention_mask(&attention_mask);
        let hidden = self.embeddings(ops, &input_ids)?;
        let hidden = self.encoder.forward(ops, hidden, &[&mask])?;

        if let TextHead::Classification(labels) = self.head {
            let first = ops.token(0, &hidden);
            let dense = ops.linear(&Scope::root().child("pre_classifier"), self.encoder.square(), &first)?;
            let dense = ops.activation(Activation::Relu, &dense);
            return output_logits(ops, "classifier", (self.encoder.hidden_size, labels), &dense);
        }
        self.head.output(ops, &self.encoder, &hidden, &attention_mask)
    }

    fn embeddings<O: Ops>(&self, ops: &mut O, ids: &O::Tensor) -> Result<O::Tensor> {
        let scope = Scope::root().child("embeddings");
        let (config, width) = (&self.config, self.encoder.hidden_size);
        let words = ops.embedding(&scope.child("word_embeddings"), [config.vocab_size, width], ids)?;
        let table = [config.max_position_embeddings, width];
        let positions = ops.position_embedding(&scope.child("position_embeddings"), table, ids)?;
        let sum = ops.add(&words, &positions);
        self.encoder.norm(ops, &scope.child("LayerNorm"), &sum)
    }
}
