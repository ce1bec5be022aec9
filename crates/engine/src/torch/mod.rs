//! Architectures on libtorch: run as they are, and traced into TorchScript.

mod archive;
mod export;
mod failure;
mod interpreter;
mod ops;
mod trace;
mod weights;

pub use export::{LIBTORCH_VERSION, export_torchscript};
