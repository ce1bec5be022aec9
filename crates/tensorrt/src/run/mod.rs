//! Running engines on a GPU of this machine.
//!
//! - `profiles`: which optimization profile takes a set of shapes
//! - `fit`: whether a library and a GPU can run an engine, by its header
//! - `device`: a GPU, with memory on it and page-locked memory of the host
//! - `native`: the library's engine and execution context
//! - `runtime`: the library's runtime, which loads engines
//! - `refit`: putting weights into an engine that was built without
//! - `mapped`: files in memory, for weights
//! - `messages`: the library's messages
//! - `engine`: an engine whose weights are on a GPU
//! - `options`: how it is run
//! - `execution`: what runs it, with buffers and a stream of its own
//!
//! Only `device`, `engine` and `execution` need a GPU.

mod device;
mod engine;
mod execution;
mod fit;
mod mapped;
mod messages;
mod native;
mod options;
mod profiles;
mod refit;
mod runtime;

pub use device::Gpu;
pub use engine::{EngineInterface, LoadedEngine};
pub use execution::{Execution, Input, Output, Timings};
pub use fit::check_fit;
pub use mapped::MappedFile;
pub use options::{ExecutionOptions, KernelSpecialization};
pub use profiles::choose_profile;
pub use refit::WeightValues;
pub use runtime::Runtime;
