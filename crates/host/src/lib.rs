//! A multi-model endpoint on this machine, with SageMaker's contract, so that capacity and load can be tried before anything is
//! paid for. Models are run by this process, with ONNX Runtime on the CPU or TensorRT-RTX on a GPU, or by a container such as
//! Triton ([`ContainerOptions`]).
//!
//! [`Host::bind`] listens on an address and [`Host::serve`] answers `InvokeEndpoint` requests:
//! the header `X-Amzn-SageMaker-Target-Model` names an archive in the store, which is unpacked
//! and loaded at first use and unloaded when others need its memory. Models answer the KServe v2
//! inference protocol as Triton does, with JSON or SageMaker's binary tensors. Errors have SageMaker's
//! kinds, and the texts of Triton 2.51.
//!
//! | route | answer |
//! |---|---|
//! | `POST /endpoints/{name}/invocations` | the model's |
//! | `GET /ping` | 200 |
//! | `GET /metrics` | counts, durations and memory for Prometheus |
//! | `GET /endpoints/{name}/state`, `GET /planforge/state` | [`planforge_core::EndpointState`] |
//!
//! [`Front`] puts several endpoints behind one address.

mod access;
mod api_error;
mod blocking;
mod body;
mod container;
mod error;
mod front;
mod host;
mod infer;
mod invocation;
mod last_log_line;
mod memory;
mod model_folder;
mod models;
mod options;
mod process;
mod processors;
mod resident;
mod routes;
mod server;
mod statistics;
mod target;

pub use container::{IsolatedRequest, run_isolated};
pub use error::{Error, Result};
pub use front::Front;
pub use host::{Host, try_address};
pub use options::{ContainerOptions, EngineOptions, HostOptions, RunningContainer, TritonOptions, check_address};
pub use process::{HostRequest, HostResponse, LocalEndpoint, ProcessError};

#[cfg(test)]
mod tests;
