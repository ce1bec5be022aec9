//! Measures an endpoint from the outside: the client, the memory probe (how many copies fit) and the staged load test
//! (how much traffic they take).
//!
//! It knows an endpoint as an [`Endpoint`] only and has no part in serving models. `engine` measures an engine that the
//! caller runs.

mod cancel;
mod client;
mod endpoint;
mod engine;
mod error;
mod limits;
mod load;
mod probe;
#[cfg(test)]
mod scripted;

pub use client::EndpointClient;
pub use endpoint::{Endpoint, Invocation};
pub use engine::{BenchTimes, EngineFigures, LatencyFigures, RunTimes, measure_engine};
pub use error::{Error, Result};
pub use limits::{MAX_SECONDS, MAX_USERS};
pub use load::load;
pub use probe::{ProbeRequests, probe};
