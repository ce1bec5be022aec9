//! Writes the report of a pipeline: one HTML page for people, JSON for programs, CSV for spreadsheets.
//!
//! - `record`: the data of a report
//! - `write`: the four files
//! - `page`: templates of the HTML page
//! - `chart`: SVG charts
//! - `csv`, `units`: text of tables and numbers
//!
//! Equal reports give equal files: no clock, path or host name enters them.

mod chart;
mod csv;
mod error;
mod page;
mod record;
#[cfg(test)]
mod sample;
mod units;
mod write;

pub use error::{Error, Result};
pub use record::{
    ArchiveFacts, ArtifactRow, EngineFacts, EngineRunFacts, Environment, Library, ModelFacts, PlanRow, PlanSource,
    Report, Served, SourceFacts,
};
pub use units::grouped;
pub use write::write_report;
