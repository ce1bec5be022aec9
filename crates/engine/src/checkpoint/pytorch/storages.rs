//! Where a file has the elements of its tensors.

use std::collections::BTreeMap;
use std::ops::Range;

/// The places of storages in a file.
pub(super) trait Storages {
    /// The bytes of storage `key` in the file; none for an unknown key.
    fn find(&self, key: &str) -> Option<Range<u64>>;
}

impl Storages for BTreeMap<&str, Range<u64>> {
    fn find(&self, key: &str) -> Option<Range<u64>> {
        self.get(key).cloned()
    }
}
