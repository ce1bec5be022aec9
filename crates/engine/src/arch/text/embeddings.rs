//! From token numbers to vectors.

use super::positions::Positions;
use crate::ops::LinearWidths;
use crate::{Ops, Result, Scope};

/// The sum of a token's vector, its segment's and its position's, normalised.
#[derive(Debug)]
pub(crate) struct Embeddings {
    /// Rows of the table of tokens.
    pub(crate) vocab_size: usize,
    /// Width of the tables.
    pub(crate) embedding_size: usize,
    /// Segments.
    pub(crate) token_types: TokenTypes,
    /// Positions.
    pub(crate) positions: Positions,
    /// Added to the variance in the normalisation.
    pub(crate) epsilon: f32,
    /// Scope of the product from the width of the tables to the encoder's, where the two differ.
    pub(crate) projection: Option<&'static str>,
}

/// What is added for a token's segment.
#[derive(Debug, Clone, Copy)]
pub(crate) enum TokenTypes {
    /// Nothing.
    None,
    /// The first row of the table with this many rows: every token is in the first segment.
    FirstRow(usize),
    /// Rows of the table with this many rows, by the model's input `token_type_ids`.
    Input(usize),
}

impl TokenTypes {
    /// Whether segments are an input of the model.
    pub(super) const fn is_input(self) -> bool {
        matches!(self, Self::Input(_))
    }
}

impl Embeddings {
    /// Vectors of `ids` `[batch, sequence, hidden_size]`, from the table of tokens in scope `table`; `token_types` is there
    /// where [`TokenTypes::is_input`].
    pub(super) fn forward<O: Ops>(
        &self,
        ops: &mut O,
        hidden_size: usize,
        table: &Scope,
        ids: &O::Tensor,
        token_types: Option<&O::Tensor>,
    ) -> Result<O::Tensor> {
        let scope = Scope::root().child("embeddings");
        let width = self.embedding_size;
        let mut sum = ops.embedding(table, [self.vocab_size, width], ids)?;
        if let Some(segments) = self.segments(ops, &scope.child("token_type_embeddings"), token_types)? {
            sum = ops.add(&sum, &segments);
        }
        let positions = self.positions.forward(ops, &scope.child("position_embeddings"), width, ids)?;
        sum = ops.add(&sum, &positions);
        let normed = ops.layer_norm(&scope.child("LayerNorm"), width, self.epsilon, &sum)?;
        match self.projection {
            None => Ok(normed),
            Some(scope) => {
                let widths = LinearWidths { input: width, output: hidden_size };
                ops.linear(&Scope::root().child(scope), widths, &normed)
            }
        }
    }

    fn segments<O: Ops>(
        &self,
        ops: &mut O,
        scope: &Scope,
        token_types: Option<&O::Tensor>,
    ) -> Result<Option<O::Tensor>> {
        Ok(match (self.token_types, token_types) {
            (TokenTypes::Input(rows), Some(ids)) => Some(ops.embedding(scope, [rows, self.embedding_size], ids)?),
            (TokenTypes::FirstRow(rows), _) => Some(ops.first_row(scope, [rows, self.embedding_size])?),
            _ => None,
        })
    }
}
