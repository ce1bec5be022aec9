//! The whole report.

use super::engine::{EngineFacts, PlanRow};
use super::environment::{Environment, Served};
use super::model::{ModelFacts, SourceFacts};
use super::package::{ArchiveFacts, ArtifactRow};
use planforge_core::{Capacity, CheckFacts, LoadResult, Task};
use serde::{Deserialize, Serialize};

/// Everything known about one pipeline.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// Name of the pipeline.
    pub pipeline: String,
    /// What the model is used for.
    pub task: Task,
    /// Where the checkpoint came from.
    #[serde(default)]
    pub source: Option<SourceFacts>,
    /// Exported models, one for each precision.
    #[serde(default)]
    pub models: Vec<ModelFacts>,
    /// Comparisons of exported models with a reference.
    #[serde(default)]
    pub checks: Vec<CheckFacts>,
    /// Engines, one for each precision and GPU type.
    #[serde(default)]
    pub engines: Vec<EngineFacts>,
    /// Copies predicted to fit, for each engine and GPU type.
    #[serde(default)]
    pub plan: Vec<PlanRow>,
    /// Packages.
    #[serde(default)]
    pub archives: Vec<ArchiveFacts>,
    /// Why requested combinations were skipped, one sentence each.
    #[serde(default)]
    pub skipped: Vec<String>,
    /// What the probe and the load test ran against.
    #[serde(default)]
    pub served: Option<Served>,
    /// Result of the memory probe.
    #[serde(default)]
    pub capacity: Option<Capacity>,
    /// Result of the load test.
    #[serde(default)]
    pub load: Option<LoadResult>,
    /// Files that the run wrote or found in the cache.
    #[serde(default)]
    pub artifacts: Vec<ArtifactRow>,
    /// The machine and the libraries of the run.
    #[serde(default)]
    pub environment: Environment,
    /// Further notes for the reader, one sentence each.
    #[serde(default)]
    pub notes: Vec<String>,
}

impl Report {
    /// An empty report.
    #[must_use]
    pub fn new(pipeline: &str, task: Task) -> Self {
        Self {
            pipeline: pipeline.to_owned(),
            task,
            source: None,
            models: Vec::new(),
            checks: Vec::new(),
            engines: Vec::new(),
            plan: Vec::new(),
            archives: Vec::new(),
            skipped: Vec::new(),
            served: None,
            capacity: None,
            load: None,
            artifacts: Vec::new(),
            environment: Environment::default(),
            notes: Vec::new(),
        }
    }
}
