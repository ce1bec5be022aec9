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

/// The expected size of a load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MemoryEstimate {
    /// Bytes.
    pub(crate) byte_count: u64,
    /// Such an archive was loaded before and did not fit with all other models unloaded.
    pub(crate) is_too_large: bool,
}

/// Memory taken by earlier loads.
#[derive(Debug, Default)]
pub(crate) struct KnownSizes(Mutex<HashMap<ArchiveSize, MemoryEstimate>>);

impl KnownSizes {
    /// What the last load of such an archive took; the size of its files when there was none.
    pub(crate) fn estimate(&self, archive: ArchiveSize) -> MemoryEstimate {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&archive).copied();
        known.unwrap_or(MemoryEstimate { byte_count: archive.unpacked, is_too_large: false })
    }

    /// Remembers a load.
    pub(crate) fn set(&self, archive: ArchiveSize, estimate: MemoryEstimate) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(archive, estimate);
    }
}
