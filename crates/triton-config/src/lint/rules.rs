//! What the fields of a configuration say to each other and to the archive: what runs the model (`backend`), its inputs
//! and outputs (`tensors`), how requests reach it (`scheduling`), and its warm-up (`warmup`).

mod backend;
mod scheduling;
mod tensors;
mod warmup;

use super::layout::{Listing, ModelFolder};
use super::{Finding, Severity};
use crate::text_format::{Field, last};
use backend::Runner;

/// The platform of models that are made of others.
pub(super) const ENSEMBLE: &str = "ensemble";

/// A configuration under examination.
struct Config<'a> {
    fields: &'a [Field],
    model: &'a ModelFolder,
    listing: &'a Listing,
    /// The versions that are served.
    served: &'a [i64],
    place: String,
    max_batch_size: i64,
    runner: Runner,
    findings: Vec<Finding>,
}

/// Everything that is wrong with a configuration whose fields are Triton's.
pub(super) fn check(fields: &[Field], model: &ModelFolder, listing: &Listing, served: &[i64]) -> Vec<Finding> {
    let mut config = Config {
        fields,
        model,
        listing,
        served,
        place: model.path("config.pbtxt"),
        max_batch_size: last(fields, "max_batch_size").and_then(Field::number).unwrap_or(0),
        runner: Runner::of(fields, model, listing),
        findings: Vec::new(),
    };
    config.backend();
    config.scheduling();
    config.tensors();
    config.warmup();
    config.newer();
    config.findings
}

impl Config<'_> {
    fn is_ensemble(&self) -> bool {
        self.runner.platform == ENSEMBLE
    }

    /// What older servers refuse.
    fn newer(&mut self) {
        let requests =
            last(self.fields, "ensemble_scheduling").and_then(|ensemble| ensemble.last("max_inflight_requests"));
        let platform = last(self.fields, "platform").filter(|platform| platform.text() == "torch_aoti");
        for (field, release) in
            [(last(self.fields, "model_metrics"), "24.11"), (requests, "25.11"), (platform, "26.03")]
        {
            if let Some(field) = field {
                self.warn(field, format!("Triton takes it since release {release}, and refuses it before"));
            }
        }
    }

    fn at(&self, field: &Field) -> String {
        format!("{}:{}", self.place, field.line)
    }

    fn error(&mut self, field: &Field, message: impl Into<String>, answer: impl Into<String>) {
        let place = self.at(field);
        self.findings.push(Finding::error(place, message, answer));
    }

    /// An error upon which the server says nothing, as it is gone or waits.
    fn silent_error(&mut self, place: String, message: String) {
        self.findings.push(Finding { severity: Severity::Error, place, message, answer: None });
    }

    fn warn(&mut self, field: &Field, message: impl Into<String>) {
        let place = self.at(field);
        self.findings.push(Finding::warning(place, message));
    }
}
