//! How a model over texts knows where a token stands: rows of a table, and biases by distance.

use crate::ops::RelativeBias;
use crate::{Ops, Result, Scope};

/// Which row of the table of positions is for which token.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Positions {
    /// Tokens have the positions 0, 1, 2 …
    FromZero {
        /// Rows of the table.
        rows: usize,
    },
    /// Tokens have the positions after the padding token's number, and padding has that number itself.
    AfterPadding {
        /// Rows of the table.
        rows: usize,
        /// Number of the padding token.
        padding: usize,
    },
}

impl Positions {
    /// Positions after `padding` in a table of `rows`.
    ///
    /// # Errors
    /// What is wrong where no row is left for a token.
    pub(crate) fn after_padding(rows: usize, padding: usize) -> std::result::Result<Self, String> {
        if rows <= padding + 1 {
            return Err(format!("`max_position_embeddings` {rows} leaves no position after `pad_token_id` {padding}"));
        }
        Ok(Self::AfterPadding { rows, padding })
    }

    /// Tokens of the longest text: positions up to the padding token's own are never given to one.
    pub(crate) const fn max_sequence(self) -> usize {
        match self {
            Self::FromZero { rows } => rows,
            Self::AfterPadding { rows, padding } => rows - padding - 1,
        }
    }

    /// The rows for `ids`, each of `width`.
    pub(super) fn forward<O: Ops>(
        self,
        ops: &mut O,
        scope: &Scope,
        width: usize,
        ids: &O::Tensor,
    ) -> Result<O::Tensor> {
        match self {
            Self::FromZero { rows } => ops.position_embedding(scope, [rows, width], ids),
            Self::AfterPadding { rows, padding } => ops.padded_position_embedding(scope, [rows, width], ids, padding),
        }
    }
}

/// Biases of the attention scores that depend on how far apart two tokens are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RelativePositions {
    /// Scope of the table `[bucket_count, heads]`.
    pub(crate) scope: &'static str,
    /// Rows of the table.
    pub(crate) bucket_count: usize,
    /// The row for a key this many tokens after its query.
    pub(crate) bucket: fn(i64) -> i64,
}

impl RelativePositions {
    /// The bias `[1, heads, sequence, sequence]` for texts of up to `max_sequence` tokens.
    pub(super) fn forward<O: Ops>(
        &self,
        ops: &mut O,
        heads: usize,
        max_sequence: usize,
        ids: &O::Tensor,
    ) -> Result<O::Tensor> {
        let most = max_sequence as i64;
        let buckets: Vec<i64> = (1 - most..most).map(self.bucket).collect();
        let bias = RelativeBias { bucket_count: self.bucket_count, heads, buckets: &buckets };
        ops.relative_bias(&Scope::root().child(self.scope), bias, ids)
    }
}
