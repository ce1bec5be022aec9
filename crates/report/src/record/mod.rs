//! What a report holds: plain records, which `report.json` is the JSON of. Every part of a report may be missing, so that
//! a run that ended early, or a single command, can be reported too.

mod engine;
mod environment;
mod from_artifacts;
mod model;
mod package;
mod report;

pub use engine::{EngineFacts, EngineRunFacts, PlanRow, PlanSource};
pub use environment::{Environment, Library, Served};
pub use model::{ModelFacts, SourceFacts};
pub use package::{ArchiveFacts, ArtifactRow};
pub use report::Report;
