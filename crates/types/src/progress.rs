//! Progress events of long work, and its cancellation.

use std::time::Duration;

/// A step of the pipeline, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// Hub to snapshot.
    Fetch,
    /// Snapshot to model.
    Export,
    /// Model run on a sample.
    Check,
    /// Model to engine.
    Compile,
    /// Model or engine to archive.
    Package,
    /// Artifacts compared with the lock, or written into it.
    Lock,
    /// Archive to N copies.
    Publish,
    /// Copies behind an endpoint.
    Host,
    /// How many copies fit.
    Probe,
    /// How much traffic they take.
    Load,
    /// All of it on one page.
    Report,
}

impl Step {
    /// Lower-case name, as the command that runs this step.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fetch => "fetch",
            Self::Export => "export",
            Self::Check => "check",
            Self::Compile => "compile",
            Self::Package => "package",
            Self::Lock => "lock",
            Self::Publish => "publish",
            Self::Host => "host",
            Self::Probe => "probe",
            Self::Load => "load",
            Self::Report => "report",
        }
    }
}

/// Whether a step's result was built or found in the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Built in this run.
    Built,
    /// Found in the cache.
    Cached,
}

/// What happened.
#[derive(Debug, Clone)]
pub enum EventKind {
    /// Work began; `total` is its size in `unit`s where that is known.
    Started {
        /// Size of the work.
        total: Option<u64>,
        /// "bytes", "copies", "seconds" …
        unit: &'static str,
    },
    /// Progress since the start.
    Advanced {
        /// Units done since the start.
        done: u64,
    },
    /// Work ended well.
    Finished {
        /// Built or found.
        outcome: Outcome,
        /// Time since the start.
        elapsed: Duration,
    },
    /// A message for people.
    Note(String),
}

/// An event of one subject of one step, such as compile of `tensorrt-fp16-l4`.
#[derive(Debug, Clone)]
pub struct Event {
    /// The step.
    pub step: Step,
    /// The artifact or model in work.
    pub subject: String,
    /// What happened.
    pub kind: EventKind,
}

/// Receives events and carries cancellation. Implementations must not block.
pub trait Progress: Send + Sync {
    /// Takes one event.
    fn send(&self, event: Event);

    /// Whether the user cancelled; long loops check it and return `Cancelled`.
    fn is_cancelled(&self) -> bool;
}

impl dyn Progress + '_ {
    /// Sends `Started`.
    pub fn started(&self, step: Step, subject: &str, total: Option<u64>, unit: &'static str) {
        self.send(Event { step, subject: subject.to_owned(), kind: EventKind::Started { total, unit } });
    }

    /// Sends `Advanced`.
    pub fn advanced(&self, step: Step, subject: &str, done: u64) {
        self.send(Event { step, subject: subject.to_owned(), kind: EventKind::Advanced { done } });
    }

    /// Sends `Finished`.
    pub fn finished(&self, step: Step, subject: &str, outcome: Outcome, elapsed: Duration) {
        self.send(Event { step, subject: subject.to_owned(), kind: EventKind::Finished { outcome, elapsed } });
    }

    /// Sends `Note`.
    pub fn note(&self, step: Step, subject: &str, text: impl Into<String>) {
        self.send(Event { step, subject: subject.to_owned(), kind: EventKind::Note(text.into()) });
    }
}

/// Ignores every event and never cancels.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoProgress;

impl Progress for NoProgress {
    fn send(&self, _event: Event) {}

    fn is_cancelled(&self) -> bool {
        false
    }
}
