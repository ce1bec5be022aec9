//! Models over texts: what BERT and its relatives share, with the options in which they differ.

mod embeddings;
mod encoder;
mod fit;
mod head;
mod model;
mod positions;
mod sentence;

pub(super) use embeddings::{Embeddings, TokenTypes};
pub(super) use encoder::{Encoder, LayerNames};
pub(super) use head::{ClassificationHead, Heads, MaskedLanguageModel, TextHead};
pub(super) use model::TextModel;
pub(super) use positions::{Positions, RelativePositions};
