//! The ONNX file format: its complete messages, so that a file that is rewritten loses nothing, facts of models that other
//! tools wrote, and edits of graphs.

mod dims;
mod edit;
mod element_type;
mod error;
mod external;
mod facts;
mod fields;
#[rustfmt::skip]
#[expect(missing_docs, reason = "generated; the ONNX specification describes messages and fields")]
mod messages;
mod names;
mod needs;
mod parse;
mod producer;
mod text;
mod unknown_fields;
mod values;

pub use edit::{StrippedGraph, Transposed, emulate_bf16, keep_outputs, remove_unused, strip_weights};
pub use element_type::ElementType;
pub use error::{Error, Result};
pub use external::{ExternalPlace, external_files};
pub use facts::ModelFacts;
pub use messages::*;
pub use needs::GraphNeeds;
pub use parse::{parse_editable_model, parse_model};
pub use text::model_text;

#[cfg(test)]
mod tests;
