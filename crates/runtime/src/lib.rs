//! Runs a packaged model in this process.
//!
//! One file per back end (`onnx`, `engine` and, with the Cargo feature `torch`, `torch`), over shared words: [`Tensor`] for values, and one check of a
//! request's inputs against the model's own description, so that every back end refuses the same
//! mistakes with the same errors before native code sees them.

mod check;
mod engine;
mod error;
mod library;
mod onnx;
mod session;
mod tensor;
#[cfg(feature = "torch")]
mod torch;

pub use engine::{EngineModel, EngineSession};
pub use error::{Error, Result};
pub use library::{has_cuda_provider, load_library};
pub use onnx::{Device, OnnxSession, RunStop, SessionOptions, Spinning};
pub use planforge_tensorrt::{
    ExecutionOptions, Gpu, InputShapes, KernelSpecialization, ProfileShapes, has_cuda_driver,
};
pub use session::Session;
pub use tensor::{Tensor, TensorValues, TensorView};
#[cfg(feature = "torch")]
pub use torch::TorchSession;
