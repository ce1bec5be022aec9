//! BERT (Devlin et al., arXiv:1810.04805) and models of its shape, such as MiniLM.
//!
//! Reference: `BertModel` and `BertForSequenceClassification` of transformers. Tensor names are the
//! checkpoint's, without the prefix `bert.` that task heads add.

use crate::Result;
use crate::arch::config::{activation, read as read_config};
use crate::arch::keys::{Fixed, Keys};
use crate::arch::request::Request;
use crate::arch::text::{
    ClassificationHead, Embeddings, Encoder, Heads, LayerNames, MaskedLanguageModel, Positions, TextHead, TextModel,
    TokenTypes,
};
use crate::checkpoint::Checkpoint;
use crate::ops::Activation;
use serde::Deserialize;

/// Names in a layer; RoBERTa has the same.
const LAYER_NAMES: LayerNames = LayerNames {
    attention: "attention.self",
    query_key_value: ["attention.self.query", "attention.self.key", "attention.self.value"],
    projection: "attention.output.dense",
    attention_norm: "attention.output.LayerNorm",
    up: "intermediate.dense",
    down: "output.dense",
    output_norm: "output.LayerNorm",
};

/// Keys of BERT and of relatives whose encoder is the same.
pub(super) const KEYS: Keys = Keys {
    read: &[
        "vocab_size",
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "intermediate_size",
        "hidden_act",
        "max_position_embeddings",
        "type_vocab_size",
        "layer_norm_eps",
        "tie_word_embeddings",
    ],
    fixed: &[
        // Attention to the tokens before only, and to another model's.
        Fixed { key: "is_decoder", values: &["false"] },
        Fixed { key: "add_cross_attention", values: &["false"] },
        // Read before release 5 only.
        Fixed { key: "position_embedding_type", values: &["\"absolute\""] },
    ],
    neutral: &[
        "attention_probs_dropout_prob",
        "classifier_dropout",
        // Decides whether a width that the heads do not divide is an error; it always is one here.
        "embedding_size",
        "hidden_dropout_prob",
        "use_cache",
    ],
};

/// `config.json`; relatives have the same keys.
#[derive(Debug, Deserialize)]
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
    pub(super) tie_word_embeddings: bool,
}

impl Config {
    /// Reads the configuration and the encoder it describes.
    ///
    /// # Errors
    /// Keys of another type, or with values that are not supported.
    pub(super) fn read(checkpoint: &Checkpoint) -> Result<(Self, Encoder)> {
        let config: Self = read_config(checkpoint)?;
        let fail = |message: String| checkpoint.config_error(message);
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

    /// Segments are an input wherever the model has a table of them.
    pub(super) const fn token_types(&self) -> TokenTypes {
        match self.type_vocab_size {
            0 => TokenTypes::None,
            rows => TokenTypes::Input(rows),
        }
    }
}

/// Reads a BERT.
pub(super) fn read(checkpoint: &Checkpoint, request: Request) -> Result<TextModel> {
    let (config, encoder) = Config::read(checkpoint)?;
    let heads = Heads {
        classification: ClassificationHead {
            dense: "pooler.dense",
            activation: Activation::Tanh,
            output: "classifier",
        },
        masked_language_model: MaskedLanguageModel {
            dense: "cls.predictions.transform.dense",
            activation: encoder.activation,
            norm: "cls.predictions.transform.LayerNorm",
            decoder: "cls.predictions.decoder",
            bias: "cls.predictions",
            tied: config.tie_word_embeddings,
            vocab_size: config.vocab_size,
            embedding_size: encoder.hidden_size,
        },
    };
    let embeddings = Embeddings {
        vocab_size: config.vocab_size,
        embedding_size: encoder.hidden_size,
        token_types: config.token_types(),
        positions: Positions::FromZero { rows: config.max_position_embeddings },
        epsilon: encoder.epsilon,
        projection: None,
    };
    let head = TextHead::read(checkpoint, request.task, heads)?;
    Ok(TextModel { embeddings, relative_positions: None, encoder, head })
}
