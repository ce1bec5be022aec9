//! BERT (Devlin et al., arXiv:1810.04805) and models of its shape, such as MiniLM.
//!
//! Reference: `BertModel` and `BertForSequenceClassification` of transformers. Tensor names are the
//! checkpoint's, without the prefix `bert.` that task heads add.

use super::encoder::{Encoder, LayerNames, activation};
use super::text::{MaskedLanguageModel, TextHead, output_logits, pool, token_input};
use crate::checkpoint::Checkpoint;
use crate::{Ops, Result, Scope};
use planforge_core::Task;
use serde::Deserialize;

pub(super) const PREFIX: &str = "bert.";

/// Names in a layer; RoBERTa has the same.
pub(super) const LAYER_NAMES: LayerNames = LayerNames {
    attention: "attention.self",
    query_key_value: ["attention.self.query", "attention.self.key", "attention.self.value"],
    projection: "attention.output.dense",
    attention_norm: "attention.output.LayerNorm",
    up: "intermediate.dense",
    down: "output.dense",
    output_norm: "output.LayerNorm",
};

/// `config.json`; RoBERTa has the same keys.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Config {
    pub(super) vocab_size: usize,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    hidden_act: String,
    pub(super) max_position_embeddings: usize,
    pub(super) type_vocab_size: usize,
    layer_norm_eps: f32,
    #[serde(default = "absolute")]
    position_embedding_type: String,
}

fn absolute() -> String {
    "absolute".to_owned()
}

impl Config {
    /// Reads the configuration and the encoder it describes.
    ///
    /// # Errors
    /// Keys that are missing or have values that are not supported.
    pub(super) fn read(checkpoint: &Checkpoint) -> Result<(Self, Encoder)> {
        let config: Self = checkpoint.config()?;
        let fail = |message: String| checkpoint.config_error(message);
        if config.position_embedding_type != "absolute" {
            let found = &config.position_embedding_type;
            return Err(fail(format!("`position_embedding_type` is `{found}`, expected `absolute`")));
        }
        let encoder = Encoder {
            layers: "encoder.layer",
            names: &LAYER_NAMES,
            layer_count: config.num_hidden_layers,
            hidden_size: config.hidden_size,
            intermediate_size: config.intermediate_size,
            heads: config.num_attention_heads,
            epsilon: config.layer_norm_eps,
            activation: activation("hidden_act", &config.hidden_act).map_err(fail)?,
        };
        encoder.check("hidden_size", "num_attention_heads").map_err(fail)?;
        Ok((config, encoder))
    }
}

/// A BERT with its task's outputs.
#[derive(Debug)]
pub(crate) struct Bert {
    config: Config,
    encoder: Encoder,
    head: TextHead,
}

/// Stored position ids are the numbers 0, 1, 2 …, which the graph does not need; heads of other
/// tasks, and the pooler for a task that does without it, are not part of the graph.
pub(super) fn may_ignore(name: &str) -> bool {
    name.ends_with("embeddings.position_ids")
        || ["cls.", "classifier.", "qa_outputs.", "pooler."].iter().any(|head| name.starts_with(head))
}

impl Bert {
    pub(super) fn read(checkpoint: &Checkpoint, task: Task) -> Result<Self> {
        let (config, encoder) = Config::read(checkpoint)?;
        let masked = MaskedLanguageModel {
            dense: "cls.predictions.transform.dense",
            activation: encoder.activation,
            norm: "cls.predictions.transform.LayerNorm",
            decoder: "cls.predictions.decoder",
            bias: "cls.predictions",
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
        let token_types = (self.config.type_vocab_size > 0).then(|| token_input(ops, "token_type_ids"));
        let mask = ops.attention_mask(&attention_mask);
        let hidden = self.embeddings(ops, &input_ids, token_types.as_ref())?;
        let hidden = self.encoder.forward(ops, hidden, &[&mask])?;

        if let TextHead::Classification(labels) = self.head {
            let pooled = pool(ops, self.encoder.hidden_size, &hidden)?;
            return output_logits(ops, "classifier", (self.encoder.hidden_size, labels), &pooled);
        }
        self.head.output(ops, &self.encoder, &hidden, &attention_mask)
    }

    fn embeddings<O: Ops>(&self, ops: &mut O, ids: &O::Tensor, token_types: Option<&O::Tensor>) -> Result<O::Tensor> {
        let scope = Scope::root().child("embeddings");
        let config = &self.config;
        let width = self.encoder.hidden_size;
        let mut sum = ops.embedding(&scope.child("word_embeddings"), [config.vocab_size, width], ids)?;
        if let Some(token_types) = token_types {
            let kinds =
                ops.embedding(&scope.child("token_type_embeddings"), [config.type_vocab_size, width], token_types)?;
            sum = ops.add(&sum, &kinds);
        }
        let positions =
            ops.position_embedding(&scope.child("position_embeddings"), [config.max_position_embeddings, width], ids)?;
        sum = ops.add(&sum, &positions);
        self.encoder.norm(ops, &scope.child("LayerNorm"), &sum)
    }
}
