//! Edits of models; each keeps everything that it does not have to change.

mod emulate_bf16;
mod prune;
mod strip;

pub use emulate_bf16::emulate_bf16;
pub use prune::{keep_outputs, remove_unused};
pub use strip::{StrippedGraph, Transposed, strip_weights};
