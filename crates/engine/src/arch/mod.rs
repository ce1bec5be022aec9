//! One file for each architecture, and the choice between them by `model_type` or timm's name.

mod bert;
mod convnext;
mod distilbert;
mod encoder;
mod image;
mod labels;
mod mpnet;
mod pooling;
mod registry;
mod resnet;
mod roberta;
mod text;
mod timm;
mod vit;

pub(crate) use labels::task_labels;
pub(crate) use registry::Architecture;
pub use registry::supported_model_types;
pub(crate) use timm::TimmConfig;
