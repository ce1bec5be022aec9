//! Messages between planforge and `planforge-engine-worker`, the process that builds one engine.
//!
//! The request is one line of JSON on the worker's standard input, and the response one line on its standard output: a
//! `Result` of [`WorkerResponse`] and [`WorkerFailure`]. The builder's log goes to a file.

mod request;
mod response;
mod version;

pub use request::{WorkerRequest, WorkerTool};
pub use response::{FailureReason, WorkerFailure, WorkerProduct, WorkerResponse, WorkerTensor};
pub use version::{VERSION, VERSION_FLAG, WORKER_PROGRAM, version_line};
