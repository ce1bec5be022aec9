//! What earlier loads took, so that the next load of the same archive can be planned.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// What tells archives apart without reading them again: their packed and unpacked size. Copies of one
/// archive share both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ArchiveSize {
    /// Bytes of the archive.
    pub(crate) packed: u64,
    /// Bytes of its files.
    pub(crate) unpacked: u64,
}

/// Memory taken by earlier loads.
#[derive(Debug, Default)]
pub(crate) struct KnownSizes(Mutex<HashMap<ArchiveSize, u64>>);

impl KnownSizes {
    /// What the last load of such an archive took.
    pub(crate) fn get(&self, archive: ArchiveSize) -> Option<u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&archive).copied()
    }

    /// Remembers a load.
    pub(crate) fn set(&self, archive: ArchiveSize, byte_count: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(archive, byte_count);
    }
}
