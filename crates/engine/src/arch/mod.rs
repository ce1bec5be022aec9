//! One file for each architecture, and the choice between them by `model_type`.

mod bert;
mod distilbert;
mod encoder;
mod pooling;
mod registry;
mod roberta;
mod text;

pub(crate) use registry::Architecture;
pub use registry::supported_model_types;
pub(crate) use text::labels;
