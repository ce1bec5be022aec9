//! A configuration under examination, and what is found in it.

use super::super::finding::{Finding, Severity};
use super::super::layout::ModelFolder;
use super::super::listing::Listing;
use super::super::runner::{ENSEMBLE, Runner};
use crate::text_format::{Field, last};

/// A configuration under examination.
pub(super) struct Config<'a> {
    pub(super) fields: &'a [Field],
    pub(super) model: &'a ModelFolder,
    pub(super) listing: &'a Listing,
    /// The versions that are served.
    pub(super) served: &'a [i64],
    pub(super) place: String,
    pub(super) max_batch_size: i64,
    pub(super) runner: Runner,
    pub(super) findings: Vec<Finding>,
}

impl<'a> Config<'a> {
    pub(super) fn new(fields: &'a [Field], model: &'a ModelFolder, listing: &'a Listing, served: &'a [i64]) -> Self {
        Self {
            fields,
            model,
            listing,
            served,
            place: model.path("config.pbtxt"),
            max_batch_size: last(fields, "max_batch_size").and_then(Field::number).unwrap_or(0),
            runner: Runner::new(fields, model, listing),
            findings: Vec::new(),
        }
    }

    pub(super) fn is_ensemble(&self) -> bool {
        self.runner.platform == ENSEMBLE
    }

    /// What older servers refuse.
    pub(super) fn newer(&mut self) {
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

    pub(super) fn at(&self, field: &Field) -> String {
        format!("{}:{}", self.place, field.line)
    }

    pub(super) fn error(&mut self, field: &Field, message: impl Into<String>, answer: impl Into<String>) {
        let place = self.at(field);
        self.findings.push(Finding::error(place, message, answer));
    }

    /// An error without a response of the server, as it has crashed or waits.
    pub(super) fn silent_error(&mut self, place: String, message: String) {
        self.findings.push(Finding { severity: Severity::Error, place, message, answer: None });
    }

    /// A finding at a field.
    pub(super) fn push(&mut self, field: &Field, severity: Severity, message: String, answer: Option<String>) {
        let place = self.at(field);
        self.findings.push(Finding { severity, place, message, answer });
    }

    pub(super) fn warn(&mut self, field: &Field, message: impl Into<String>) {
        let place = self.at(field);
        self.findings.push(Finding::warning(place, message));
    }
}
