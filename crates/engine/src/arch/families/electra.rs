//! ELECTRA (Clark et al., arXiv:2003.10555): discriminators, and the generators they were trained with.
//!
//! Reference: `ElectraModel`, its `ElectraFor…` for sequence and token classification and for question answering, and
//! `ElectraForMaskedLM` of transformers. A BERT without pooler, whose tables may be narrower than its encoder.

use super::bert::Config;
use crate::Result;
use crate::arch::config::read as read_config;
use crate::arch::keys::Keys;
use crate::arch::request::Request;
use crate::arch::text::{ClassificationHead, Embeddings, Heads, MaskedLanguageModel, Positions, TextHead, TextModel};
use crate::checkpoint::Checkpoint;
use crate::ops::Activation;
use serde::Deserialize;

/// Keys that BERT does not have.
pub(super) const KEYS: Keys = Keys {
    read: &["embedding_size"],
    fixed: &[],
    // Of the head for multiple choice.
    neutral: &[
        "summary_activation",
        "summary_first_dropout",
        "summary_last_dropout",
        "summary_proj_to_labels",
        "summary_type",
        "summary_use_proj",
    ],
};

/// The key that BERT does not have.
#[derive(Debug, Deserialize)]
struct Tables {
    embedding_size: usize,
}

/// Reads an ELECTRA. Its heads have a fixed activation, regardless of `hidden_act`.
pub(super) fn read(checkpoint: &Checkpoint, request: Request) -> Result<TextModel> {
    let (config, encoder) = Config::read(checkpoint)?;
    let Tables { embedding_size } = read_config(checkpoint)?;
    let heads = Heads {
        classification: ClassificationHead {
            dense: "classifier.dense",
            activation: Activation::Gelu,
            output: "classifier.out_proj",
        },
        masked_language_model: MaskedLanguageModel {
            dense: "generator_predictions.dense",
            activation: Activation::Gelu,
            norm: "generator_predictions.LayerNorm",
            decoder: "generator_lm_head",
            bias: "generator_lm_head",
            tied: config.tie_word_embeddings,
            vocab_size: config.vocab_size,
            embedding_size,
        },
    };
    let embeddings = Embeddings {
        vocab_size: config.vocab_size,
        embedding_size,
        token_types: config.token_types(),
        positions: Positions::FromZero { rows: config.max_position_embeddings },
        epsilon: encoder.epsilon,
        projection: (embedding_size != encoder.hidden_size).then_some("embeddings_project"),
    };
    let head = TextHead::read(checkpoint, request.task, heads)?;
    Ok(TextModel { embeddings, relative_positions: None, encoder, head })
}
