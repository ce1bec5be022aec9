//! Runs a packaged model in this process.
//!
//! One file per back end (`onnx` today), over shared words: [`Tensor`] for values, and one check of a
//! request's inputs against the model's own description, so that every back end refuses the same
//! mistakes with the same errors before native code sees them.

mod check;
mod error;
mod library;
mod onnx;
mod tensor;

pub use error::{Error, Result};
pub use library::load_library;
pub use onnx::{OnnxSession, SessionOptions};
pub use tensor::{Tensor, TensorValues};
