//! What can go wrong when archives are written and read.

use crate::broken_link::BrokenLink;
use planforge_types::{Digest, ErrorKind, io_hint};
use std::path::PathBuf;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An error of the shared parts: I/O or cancellation.
    #[error(transparent)]
    Core(#[from] planforge_core::Error),
    /// A file could not be read or written; the text names the path.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// A file differs from its record.
    #[error("`{}` has changed since it was made: its digest is {found}, recorded is {recorded}", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
        /// Digest in the record.
        recorded: Digest,
        /// Digest now.
        found: Digest,
    },
    /// An archive that is corrupt, unsafe or too large.
    #[error(transparent)]
    Invalid(#[from] InvalidArchive),
}

impl Error {
    /// What the error means to the caller.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Core(error) => error.kind(),
            Self::Io(error) => ErrorKind::of_io(error),
            Self::Changed { .. } => ErrorKind::Internal,
            Self::Invalid(_) => ErrorKind::BadInput,
        }
    }

    /// The next step, where there is one.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Core(error) => error.hint(),
            Self::Io(error) => io_hint(error),
            _ => None,
        }
    }
}

/// Why an archive is not read.
#[derive(Debug, thiserror::Error)]
pub enum InvalidArchive {
    /// It is cut off, corrupt, or not a gzip-compressed tar file at all.
    #[error("it is corrupt or not a tar.gz file: {0}")]
    Unreadable(std::io::Error),
    /// An entry that would be written outside the target folder.
    #[error("entry `{0}` leads out of the archive")]
    UnsafePath(String),
    /// A path that no system takes, or with more folders than any model has; its start is shown.
    #[error("an entry's path is longer than 4096 bytes or than 64 names: `{0}…`")]
    LongPath(String),
    /// A header that is larger than any that a tool writes.
    #[error("the header of an entry, with its name and attributes, is larger than 1 MiB")]
    LongHeader,
    /// A text that is larger than any that a tool writes.
    #[error("`{file}` is larger than {most} bytes")]
    LongText {
        /// Path in the archive.
        file: String,
        /// Most bytes that are read.
        most: u64,
    },
    /// More paths and texts than are kept in memory.
    #[error("its paths and configurations take more than {0} bytes of memory")]
    TooMuchText(usize),
    /// A device or another entry that is neither file, folder nor link.
    #[error("entry `{0}` is neither a file nor a folder nor a link")]
    EntryType(String),
    /// A sparse file that does not say where its data is.
    #[error("a sparse file is corrupt: its data and its size contradict each other")]
    SparseFile,
    /// An entry below a file, or below a link that is not made before all entries are unpacked.
    #[error("entry `{0}` is below a file, or below a link that is not a folder of the archive")]
    NoFolder(String),
    /// A file or link in the place of a folder that is not empty.
    #[error("entry `{0}` takes the place of a folder that has files")]
    InPlaceOfFolder(String),
    /// A hard link to what did not come before it.
    #[error("hard {0}")]
    HardLink(BrokenLink),
    /// A symbolic link that leads nowhere.
    #[error("symbolic {0}")]
    SymbolicLink(BrokenLink),
    /// More entries and folders than allowed.
    #[error("it has more than {0} entries or folders")]
    TooManyEntries(u64),
    /// More bytes than allowed.
    #[error("it unpacks to more than {0} bytes")]
    TooLarge(u64),
}

impl From<std::io::Error> for InvalidArchive {
    /// An error of reading content, or the fault that was found meanwhile.
    fn from(error: std::io::Error) -> Self {
        error.downcast().unwrap_or_else(Self::Unreadable)
    }
}

/// Result with this crate's error.
pub type Result<T> = std::result::Result<T, Error>;
