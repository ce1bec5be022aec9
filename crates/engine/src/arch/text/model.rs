//! The whole model: embeddings, encoder, head.

use super::embeddings::Embeddings;
use super::encoder::Encoder;
use super::head::TextHead;
use super::positions::RelativePositions;
use crate::{Ops, Result};
use planforge_core::{DataType, Dim, TensorSpec};

/// An encoder over texts with its task's outputs.
#[derive(Debug)]
pub(crate) struct TextModel {
    /// From token numbers to vectors.
    pub(crate) embeddings: Embeddings,
    /// What every layer adds to its attention scores, by the distance of two tokens.
    pub(crate) relative_positions: Option<RelativePositions>,
    /// The layers.
    pub(crate) encoder: Encoder,
    /// The task's outputs.
    pub(crate) head: TextHead,
}

impl TextModel {
    /// Tokens of the longest text.
    pub(crate) const fn max_sequence(&self) -> u64 {
        self.embeddings.positions.max_sequence() as u64
    }

    /// Writes the model into `ops`.
    pub(crate) fn forward<O: Ops>(&self, ops: &mut O) -> Result<()> {
        let input_ids = token_input(ops, "input_ids");
        let attention_mask = token_input(ops, "attention_mask");
        let token_types = self.embeddings.token_types.is_input().then(|| token_input(ops, "token_type_ids"));
        let mask = ops.attention_mask(&attention_mask);
        // Before the relative positions: the checkpoint's own table shows whether the length in its configuration is true.
        let table = self.head.token_table(ops);
        let hidden =
            self.embeddings.forward(ops, self.encoder.hidden_size, &table, &input_ids, token_types.as_ref())?;
        let relative = self.relative_positions.as_ref().map(|positions| {
            positions.forward(ops, self.encoder.heads, self.embeddings.positions.max_sequence(), &input_ids)
        });
        let relative = relative.transpose()?;
        let biases: Vec<&O::Tensor> = relative.iter().chain([&mask]).collect();
        let hidden = self.encoder.forward(ops, hidden, &biases)?;
        self.head.forward(ops, &self.encoder, &hidden, &attention_mask)
    }
}

/// A graph input of one integer for each token.
fn token_input<O: Ops>(ops: &mut O, name: &str) -> O::Tensor {
    ops.input(&TensorSpec::new(name, DataType::Int64, vec![Dim::dynamic("batch"), Dim::dynamic("sequence")]))
}
