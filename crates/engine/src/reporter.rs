//! Progress of one export.

use planforge_core::{CachedArtifact, Model, Outcome, Progress, Step};

/// Sends the progress of one export under its name.
#[derive(Clone, Copy)]
pub(crate) struct Reporter<'a> {
    /// Receives the events, and can cancel the export.
    pub(crate) progress: &'a dyn Progress,
    /// Name of the export in progress.
    pub(crate) subject: &'a str,
}

impl Reporter<'_> {
    pub(crate) fn started(self) {
        self.progress.started(Step::Export, self.subject, None, "bytes");
    }

    pub(crate) fn advanced(self, byte_count: u64) {
        self.progress.advanced(Step::Export, self.subject, byte_count);
    }

    pub(crate) fn finished(self, model: &CachedArtifact<Model>) {
        let outcome = if model.cache_hit { Outcome::Cached } else { Outcome::Built };
        self.progress.finished(Step::Export, self.subject, outcome, model.elapsed);
    }
}
