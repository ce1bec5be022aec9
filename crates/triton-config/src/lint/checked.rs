//! What has been checked of an archive.

use std::collections::BTreeSet;

/// What has been checked.
#[derive(Default)]
pub(super) struct Checked {
    /// Folders of models; the top is empty.
    pub(super) folders: BTreeSet<String>,
    /// Folders of their versions that are served.
    pub(super) served: Vec<String>,
    /// Ensembles that the one being checked is part of, the outermost first.
    pub(super) ensembles: Vec<String>,
}
