//! DistilBERT (Sanh et al., arXiv:1910.01108).
//!
//! Reference: `DistilBertModel` and `DistilBertForSequenceClassification` of transformers. A BERT without
//! segments and pooler, under names of its own.

use crate::Result;
use crate::arch::config::{activation, read as read_config};
use crate::arch::keys::Keys;
use crate::arch::request::Request;
use crate::arch::text::{
    ClassificationHead, Embeddings, Encoder, Heads, LayerNames, MaskedLanguageModel, Positions, TextHead, TextModel,
    TokenTypes,
};
use crate::checkpoint::Checkpoint;
use crate::ops::Activation;
use serde::Deserialize;

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

/// Keys of `config.json`.
pub(super) const KEYS: Keys = Keys {
    read: &[
        "vocab_size",
        "dim",
        "n_layers",
        "n_heads",
        "hidden_dim",
        "activation",
        "max_position_embeddings",
        "tie_word_embeddings",
    ],
    fixed: &[],
    neutral: &[
        "attention_dropout",
        "dropout",
        "qa_dropout",
        "seq_classif_dropout",
        // What the table of positions is initialised with; a checkpoint has the table.
        "sinusoidal_pos_embds",
    ],
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
    tie_word_embeddings: bool,
}

/// Reads a DistilBERT.
pub(super) fn read(checkpoint: &Checkpoint, request: Request) -> Result<TextModel> {
    let config: Config = read_config(checkpoint)?;
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
    let embeddings = Embeddings {
        vocab_size: config.vocab_size,
        embedding_size: config.dim,
        token_types: TokenTypes::None,
        positions: Positions::FromZero { rows: config.max_position_embeddings },
        epsilon: EPSILON,
        projection: None,
    };
    let head = TextHead::read(checkpoint, request.task, heads(&config, &encoder))?;
    Ok(TextModel { embeddings, relative_positions: None, encoder, head })
}

const fn heads(config: &Config, encoder: &Encoder) -> Heads {
    Heads {
        classification: ClassificationHead {
            dense: "pre_classifier",
            activation: Activation::Relu,
            output: "classifier",
        },
        masked_language_model: MaskedLanguageModel {
            dense: "vocab_transform",
            activation: encoder.activation,
            norm: "vocab_layer_norm",
            decoder: "vocab_projector",
            bias: "vocab_projector",
            tied: config.tie_word_embeddings,
            vocab_size: config.vocab_size,
            embedding_size: config.dim,
        },
    }
}
