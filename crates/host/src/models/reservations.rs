//! Memory that loads under way are expected to take.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{Mutex, MutexGuard};

/// All reservations. One load at a time makes room for itself.
#[derive(Debug, Default)]
pub(crate) struct Reservations {
    byte_count: Arc<AtomicU64>,
    turn: Mutex<()>,
}

/// The turn of one load to make room.
pub(crate) struct Turn<'a> {
    byte_count: &'a Arc<AtomicU64>,
    _guard: MutexGuard<'a, ()>,
}

/// Memory of one load, until it is dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    all: Arc<AtomicU64>,
    byte_count: u64,
}

impl Reservations {
    /// Waits for a turn.
    pub(crate) async fn turn(&self) -> Turn<'_> {
        Turn { byte_count: &self.byte_count, _guard: self.turn.lock().await }
    }
}

impl Turn<'_> {
    /// What other loads have reserved.
    pub(crate) fn reserved(&self) -> u64 {
        self.byte_count.load(Ordering::Relaxed)
    }

    /// Ends the turn.
    pub(crate) fn reserve(self, byte_count: u64) -> Reservation {
        self.byte_count.fetch_add(byte_count, Ordering::Relaxed);
        Reservation { all: Arc::clone(self.byte_count), byte_count }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.all.fetch_sub(self.byte_count, Ordering::Relaxed);
    }
}
