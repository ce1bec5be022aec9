//! Links that lead nowhere.

use std::fmt;
use std::path::PathBuf;

/// A link that leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokenLink {
    /// Its path.
    pub link: PathBuf,
    /// The path in it.
    pub target: PathBuf,
    /// Why there is nothing.
    pub reason: BrokenLinkReason,
}

/// Why a link leads nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrokenLinkReason {
    /// The archive has no such file.
    Missing,
    /// The target begins at the root of the machine.
    Absolute,
    /// The target is above the archive's top.
    LeadsOut,
    /// It leads back to itself.
    Loop,
    /// A hard link to a folder.
    Folder,
}

impl fmt::Display for BrokenLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (link, target) = (self.link.display(), self.target.display());
        let reason = match self.reason {
            BrokenLinkReason::Missing => "which is not in the archive",
            BrokenLinkReason::Absolute => "which is an absolute path",
            BrokenLinkReason::LeadsOut => "which leads out of the archive",
            BrokenLinkReason::Loop => "which leads back to the link",
            BrokenLinkReason::Folder => "which is not a file",
        };
        write!(f, "link `{link}` to `{target}`, {reason}")
    }
}
