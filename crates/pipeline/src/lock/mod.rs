//! The lock of a pipeline file: the commit that it pins, whether it holds, and how it is written.
//!
//! - `mode`: what is done with it
//! - `place`: which file it is
//! - `state`: the lock as it was when the run began
//! - `check`: comparisons with it, and writing
//! - `tools`: names of the tools in a lock, and which of them decide a variant's bytes

mod check;
mod mode;
mod place;
mod state;
mod tools;

pub(crate) use check::{check_or_write_lock, check_plan, check_snapshot};
pub use mode::LockMode;
pub(crate) use place::LockPlace;
pub use state::LockState;
pub(crate) use state::{lock_of_source, locked_files};
pub(crate) use tools::{LIBTORCH, ONNX_RUNTIME, TRITON_BACKEND, builder_tool, carries_backend, decides_bytes};
