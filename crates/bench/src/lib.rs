//! Measures an endpoint from the outside: the client, the memory probe (how many copies fit) and the staged load test
//! (how much traffic they take).
//!
//! It knows an endpoint by its HTTP routes only and has no part in serving models. `engine` has the figures of an engine
//! that somebody else runs.

mod cancel;
mod client;
mod engine;
mod error;
mod load;
mod probe;
#[cfg(test)]
mod scripted;

pub use client::{EndpointClient, Invocation};
pub use engine::{BenchTimes, EngineFigures, LatencyFigures, RunTimes, measure_engine};
pub use error::{Error, Result};
pub use load::{MAX_SECONDS, MAX_USERS, load};
pub use probe::probe;
