//! A listener that keeps what it is told.

use planforge_core::{Event, EventKind, Progress};
use std::sync::{Mutex, PoisonError};

/// Keeps the notes of a step, and never asks it to stop.
#[derive(Debug, Default)]
pub struct Notes(Mutex<Vec<String>>);

impl Notes {
    /// What was noted so far.
    #[must_use]
    pub fn texts(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Progress for Notes {
    fn send(&self, event: Event) {
        if let EventKind::Note(text) = event.kind {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(text);
        }
    }

    fn is_cancelled(&self) -> bool {
        false
    }
}
