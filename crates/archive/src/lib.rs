//! Deterministic tar.gz archives, and bounded reading of archives of unknown origin.
//!
//! [`write_archive`] gives the same bytes for the same files on every machine. [`read_entries`] and [`extract`] read an
//! archive that may come from anywhere within bounds of memory, size and number of entries; a [`Tree`] knows where its links
//! lead.

mod broken_link;
mod deflate;
mod error;
mod extract;
mod gzip;
mod reader;
mod sparse;
mod tree;
mod write;

pub use broken_link::{BrokenLink, BrokenLinkReason};
pub use error::{Error, InvalidArchive, Result};
pub use extract::extract;
pub use gzip::SETTINGS;
pub use reader::{ArchiveEntry, EntryKind, UnpackLimits, read_entries, read_text};
pub use tree::{Node, Placed, Tree, Unresolved};
pub use write::{Content, Entries, pack, write_archive};
