//! A repository's own ONNX file, taken as it is: for architectures that are not described here, and for graphs that
//! other tools have quantized.
//!
//! - `graph`: the file and those of its weights
//! - `images`: sizes of images that the graph leaves open
//! - `labels`: names of its scores

mod graph;
mod images;
mod labels;

pub use graph::{GraphRequest, pass_through};
pub(crate) use labels::config_file;
