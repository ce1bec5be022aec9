//! A listener that keeps what it is told.

use planforge_core::{Event, EventKind, Progress};
use std::sync::Mutex;

/// Keeps the notes of a step, and never asks it to stop.
#[derive(Debug, Default)]
pub struct Notes(Mutex<Vec<String>>);

impl Notes {
    /// What was noted so far.
    ///
    /// # Panics
    /// If a test failed while it noted something.
    #[must_use]
    pub fn texts(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl Progress for Notes {
    fn send(&self, event: Event) {
        if let EventKind::Note(text) = event.kind {
            self.0.lock().unwrap().push(text);
        }
    }

    fn is_cancelled(&self) -> bool {
        false
    }
}
