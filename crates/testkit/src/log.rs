//! A progress listener that keeps notes.

use planforge_core::{Event, EventKind, Progress};
use std::sync::{Mutex, PoisonError};

/// Keeps the notes of a step and never cancels it.
#[derive(Debug, Default)]
pub struct Log(Mutex<Vec<String>>);

impl Log {
    /// The notes so far.
    #[must_use]
    pub fn texts(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Progress for Log {
    fn send(&self, event: Event) {
        if let EventKind::Note(text) = event.kind {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(text);
        }
    }

    fn is_cancelled(&self) -> bool {
        false
    }
}
