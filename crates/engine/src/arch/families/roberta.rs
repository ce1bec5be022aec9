//! RoBERTa (Liu et al., arXiv:1907.11692), XLM-RoBERTa (Conneau et al., arXiv:1911.02116) and CamemBERT
//! (Martin et al., arXiv:1911.03894).
//!
//! Reference: `RobertaModel` and `RobertaForSequenceClassification` of transformers. A BERT whose
//! positions are counted from the padding token's number on and leave padding out, and with one segment.

use super::bert::Config;
use crate::Result;
use crate::arch::config::read as read_config;
use crate::arch::keys::Keys;
use crate::arch::request::Request;
use crate::arch::text::{
    ClassificationHead, Embeddings, Encoder, Heads, MaskedLanguageModel, Positions, TextHead, TextModel, TokenTypes,
};
use crate::checkpoint::Checkpoint;
use crate::ops::Activation;
use serde::Deserialize;

/// Keys that BERT does not need.
pub(super) const KEYS: Keys = Keys { read: &["pad_token_id"], fixed: &[], neutral: &[] };

/// The key that BERT does not need.
#[derive(Debug, Deserialize)]
struct Padding {
    pad_token_id: usize,
}

/// Heads of RoBERTa and MPNet, whose last product may be `tied` to the table of tokens.
pub(super) const fn heads(encoder: &Encoder, vocab_size: usize, tied: bool) -> Heads {
    Heads {
        classification: ClassificationHead {
            dense: "classifier.dense",
            activation: Activation::Tanh,
            output: "classifier.out_proj",
        },
        masked_language_model: MaskedLanguageModel {
            dense: "lm_head.dense",
            activation: Activation::Gelu,
            norm: "lm_head.layer_norm",
            decoder: "lm_head.decoder",
            bias: "lm_head",
            tied,
            vocab_size,
            embedding_size: encoder.hidden_size,
        },
    }
}

/// Reads a RoBERTa.
pub(super) fn read(checkpoint: &Checkpoint, request: Request) -> Result<TextModel> {
    let (config, encoder) = Config::read(checkpoint)?;
    let Padding { pad_token_id } = read_config(checkpoint)?;
    let positions = Positions::after_padding(config.max_position_embeddings, pad_token_id)
        .map_err(|message| checkpoint.config_error(message))?;
    let embeddings = Embeddings {
        vocab_size: config.vocab_size,
        embedding_size: encoder.hidden_size,
        token_types: match config.type_vocab_size {
            1 => TokenTypes::FirstRow(1),
            _ => config.token_types(),
        },
        positions,
        epsilon: encoder.epsilon,
        projection: None,
    };
    let heads = heads(&encoder, config.vocab_size, config.tie_word_embeddings);
    let head = TextHead::read(checkpoint, request.task, heads)?;
    Ok(TextModel { embeddings, relative_positions: None, encoder, head })
}
