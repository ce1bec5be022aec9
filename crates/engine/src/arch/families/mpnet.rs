//! MPNet (Song et al., arXiv:2004.09297).
//!
//! Reference: `MPNetModel` and `MPNetForSequenceClassification` of transformers. A RoBERTa without segments, whose
//! layers all add to their attention scores the entry of one table for the distance between two tokens, as T5 does
//! (Raffel et al., arXiv:1910.10683).

use super::roberta::heads;
use crate::Result;
use crate::arch::config::{activation, read as read_config};
use crate::arch::keys::Keys;
use crate::arch::request::Request;
use crate::arch::text::{
    Embeddings, Encoder, LayerNames, Positions, RelativePositions, TextHead, TextModel, TokenTypes,
};
use crate::checkpoint::Checkpoint;
use serde::Deserialize;

/// The number of the padding token, and the last position that no token has: fixed in the reference implementation.
const PADDING: usize = 1;
/// Rows of the table of distances that the reference implementation uses, regardless of its size.
const BUCKET_COUNT: usize = 32;
/// Of those, rows for keys before the query; as many are for keys after it.
const ONE_SIDE: i64 = 16;
/// Distances below have a row each.
const EXACT: i64 = 8;

const LAYER_NAMES: LayerNames = LayerNames {
    attention: "attention.attn",
    query_key_value: ["attention.attn.q", "attention.attn.k", "attention.attn.v"],
    projection: "attention.attn.o",
    attention_norm: "attention.LayerNorm",
    up: "intermediate.dense",
    down: "output.dense",
    output_norm: "output.LayerNorm",
};

/// Keys of `config.json`.
pub(super) const KEYS: Keys = Keys {
    read: &[
        "vocab_size",
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "intermediate_size",
        "hidden_act",
        "max_position_embeddings",
        "layer_norm_eps",
        "relative_attention_num_buckets",
        "tie_word_embeddings",
    ],
    fixed: &[],
    neutral: &[
        "attention_probs_dropout_prob",
        "classifier_dropout",
        // Decides whether a width that the heads do not divide is an error; it always is one here.
        "embedding_size",
        "hidden_dropout_prob",
    ],
};

/// `config.json`.
#[derive(Debug, Deserialize)]
struct Config {
    vocab_size: usize,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    hidden_act: String,
    max_position_embeddings: usize,
    layer_norm_eps: f32,
    relative_attention_num_buckets: usize,
    tie_word_embeddings: bool,
}

/// Reads an MPNet.
pub(super) fn read(checkpoint: &Checkpoint, request: Request) -> Result<TextModel> {
    let config: Config = read_config(checkpoint)?;
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
    let bucket_count = config.relative_attention_num_buckets;
    if bucket_count < BUCKET_COUNT {
        let message = format!("`relative_attention_num_buckets` is {bucket_count}, expected at least {BUCKET_COUNT}");
        return Err(fail(message));
    }
    let embeddings = Embeddings {
        vocab_size: config.vocab_size,
        embedding_size: config.hidden_size,
        token_types: TokenTypes::None,
        positions: Positions::after_padding(config.max_position_embeddings, PADDING).map_err(fail)?,
        epsilon: config.layer_norm_eps,
        projection: None,
    };
    let scope = "encoder.relative_attention_bias";
    let relative_positions = Some(RelativePositions { scope, bucket_count, bucket });
    let heads = heads(&encoder, config.vocab_size, config.tie_word_embeddings);
    let head = TextHead::read(checkpoint, request.task, heads)?;
    Ok(TextModel { embeddings, relative_positions, encoder, head })
}

/// Row of the table for a key this many tokens after its query: up to [`EXACT`] one for each distance, then eight more
/// for each factor of 16, the last for all beyond.
fn bucket(distance: i64) -> i64 {
    let side = if distance > 0 { ONE_SIDE } else { 0 };
    let length = distance.abs();
    if length < EXACT {
        return side + length;
    }
    // 8 log16(length / 8) is the binary logarithm of (length / 8)^2.
    let beyond = (length * length / (EXACT * EXACT)).ilog2();
    side + (EXACT + i64::from(beyond)).min(ONE_SIDE - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first distance of each row, as `MPNetEncoder.relative_position_bucket` of transformers 5.23 gives them
    /// (scripts/reference/mpnet-buckets.py).
    #[test]
    fn distances_share_rows_as_in_the_reference() {
        let firsts = |sign: i64| {
            let mut rows: Vec<(i64, i64)> = Vec::new();
            for length in 0..600 {
                let row = bucket(sign * length);
                if rows.last().is_none_or(|&(_, last)| last != row) {
                    rows.push((length, row));
                }
            }
            rows
        };
        let before: Vec<(i64, i64)> =
            [0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 23, 32, 46, 64, 91].into_iter().zip(0..).collect();
        let after: Vec<(i64, i64)> = before.iter().map(|&(length, row)| (length, row + 16)).collect();
        assert_eq!(firsts(-1), before);
        assert_eq!(firsts(1)[1..], after[1..]);
    }
}
