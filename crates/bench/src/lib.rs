//! Measures an endpoint from the outside and reports what was measured: the client, the memory
//! probe (how many copies fit), the staged load test (how much traffic they take), and the report
//! as HTML, JSON and CSV.
//!
//! It knows an endpoint by its HTTP routes only and has no part in serving models. `engine` has the figures of an engine
//! that somebody else runs.

mod cancel;
mod client;
mod engine;
mod error;
mod load;
mod probe;
mod report;
#[cfg(test)]
mod scripted;

pub use client::{EndpointClient, Invocation};
pub use engine::{BenchTimes, EngineFigures, LatencyFigures, RunTimes, measure_engine};
pub use error::{Error, Result};
pub use load::{MAX_SECONDS, MAX_USERS, load};
pub use probe::probe;
pub use report::{
    ArchiveFacts, ArtifactRow, CheckFacts, EngineFacts, EngineRunFacts, Environment, Library, ModelFacts, PlanRow,
    PlanSource, Report, Served, SourceFacts, grouped, write_report,
};
