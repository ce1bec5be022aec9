//! Model families: a table of them, one file each, and the blocks they share.

mod config;
mod families;
mod image;
mod keys;
mod labels;
mod request;
mod text;
mod timm;

pub(crate) use families::Architecture;
pub use families::{FAMILIES, Family};
pub(crate) use labels::{label_names, task_labels};
pub(crate) use timm::TimmConfig;
