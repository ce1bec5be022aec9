//! The report of a pipeline: one page for people, JSON for programs, CSV for spreadsheets.
//!
//! - `model`: what is reported
//! - `write`: the files
//! - `page`, `answer`, `sections`, `style.css`: the HTML page
//! - `chart`, `charts`, `scale`: SVG drawings
//! - `html`, `units`, `csv`: text in its three forms
//!
//! Equal reports give equal files: nothing here looks at a clock.

mod answer;
mod chart;
mod charts;
mod csv;
mod error;
mod html;
mod model;
mod page;
#[cfg(test)]
mod sample;
mod scale;
mod sections;
mod units;
mod write;

pub use error::{Error, Result};
pub use model::{
    ArchiveFacts, ArtifactRow, CheckFacts, EngineFacts, EngineRunFacts, Environment, Library, ModelFacts, PlanRow,
    PlanSource, Report, Served, SourceFacts,
};
pub use units::grouped;
pub use write::write_report;
