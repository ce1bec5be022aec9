//! A file in memory, as far as it is read.
#![expect(unsafe_code, reason = "the kernel maps files at addresses")]

use crate::{Error, Result};
use std::ops::Deref;
use std::os::fd::AsRawFd;
use std::path::Path;

/// The bytes of a file that is not written to meanwhile. Pages are read when they are first used, and the kernel takes them
/// back when it needs memory.
#[derive(Debug)]
pub struct MappedFile {
    address: *const u8,
    byte_count: usize,
}

// SAFETY: nobody writes to the memory, which belongs to this object alone.
unsafe impl Send for MappedFile {}
// SAFETY: as above.
unsafe impl Sync for MappedFile {}

impl MappedFile {
    /// Maps the file at `path`, whole.
    ///
    /// # Errors
    /// [`Error::Map`].
    pub fn open(path: &Path) -> Result<Self> {
        let fail = |source| Error::Map { path: path.to_owned(), source };
        let file = std::fs::File::open(path).map_err(fail)?;
        let byte_count = usize::try_from(file.metadata().map_err(fail)?.len()).unwrap_or(usize::MAX);
        if byte_count == 0 {
            return Ok(Self { address: std::ptr::dangling(), byte_count });
        }
        // SAFETY: the kernel chooses the address; the mapping outlives the descriptor.
        let address = unsafe {
            libc::mmap(std::ptr::null_mut(), byte_count, libc::PROT_READ, libc::MAP_PRIVATE, file.as_raw_fd(), 0)
        };
        if address == libc::MAP_FAILED {
            return Err(fail(std::io::Error::last_os_error()));
        }
        Ok(Self { address: address.cast(), byte_count })
    }
}

impl Deref for MappedFile {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: so many bytes are mapped there, or none are asked for; a file that is cut while it is mapped ends the
        // process with a signal, which files of a cache or of an unpacked archive are not.
        unsafe { std::slice::from_raw_parts(self.address, self.byte_count) }
    }
}

impl Drop for MappedFile {
    fn drop(&mut self) {
        if self.byte_count > 0 {
            // SAFETY: it was mapped by the function's counterpart, and nobody has a part of it any more. A failure leaves
            // nothing to do.
            let _ = unsafe { libc::munmap(self.address.cast_mut().cast(), self.byte_count) };
        }
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
