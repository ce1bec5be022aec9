//! What a check finds.

use serde::Serialize;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It loads, and does not do what its configuration asks for.
    Warning,
    /// It does not load, or crashes the server.
    Error,
}

/// One thing that is wrong.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Where: a path in the archive, with the line for a configuration.
    pub place: String,
    /// What is wrong.
    pub message: String,
    /// The server's response or log line; none where it reports nothing.
    pub answer: Option<String>,
}

impl Finding {
    pub(super) fn error(place: impl Into<String>, message: impl Into<String>, answer: impl Into<String>) -> Self {
        let (place, message) = (place.into(), message.into());
        Self { severity: Severity::Error, place, message, answer: Some(answer.into()) }
    }

    pub(super) fn warning(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, place: place.into(), message: message.into(), answer: None }
    }
}
