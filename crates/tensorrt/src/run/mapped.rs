//! A file in memory, as far as it is read.
#![expect(unsafe_code, reason = "what is mapped changes or goes where somebody changes or cuts the file")]

use crate::{Error, Result};
use memmap2::Mmap;
use std::ops::Deref;
use std::path::Path;

/// The bytes of a file that no process may write to meanwhile. Pages are read when they are first used, and the kernel takes them
/// back when it needs memory.
#[derive(Debug)]
pub struct MappedFile(Mmap);

impl MappedFile {
    /// Maps the file at `path`, whole.
    ///
    /// # Errors
    /// [`Error::Map`].
    pub fn open(path: &Path) -> Result<Self> {
        let fail = |source| Error::Map { path: path.to_owned(), source };
        let file = std::fs::File::open(path).map_err(fail)?;
        // SAFETY: the file is one of a cache or of an unpacked archive, whose files are replaced whole and never written to.
        unsafe { Mmap::map(&file) }.map(Self).map_err(fail)
    }
}

impl Deref for MappedFile {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_mapped_whole_and_what_is_none_is_named() {
        let path = std::env::temp_dir().join(format!("planforge-mapped-{}", std::process::id()));
        for text in ["weights", ""] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(&*MappedFile::open(&path).unwrap(), text.as_bytes());
        }
        std::fs::remove_file(&path).unwrap();
        assert!(MappedFile::open(&path).unwrap_err().to_string().contains("planforge-mapped-"));
    }
}
