//! SHA-256 digests of files and of build inputs.

use crate::{Error, Progress, Result, open_file};
use planforge_types::Digest;
use sha2::{Digest as _, Sha256};
use std::io::{self, Read, Write};
use std::path::Path;

/// Digest of bytes in memory.
#[must_use]
pub fn digest_bytes(bytes: &[u8]) -> Digest {
    let mut writer = DigestWriter::new(io::sink());
    writer.hasher.update(bytes);
    writer.finish().1
}

/// Digest of a file, read once in pieces of 1 MiB.
///
/// # Errors
/// When the file cannot be read, or the user asked to stop.
pub fn digest_file(path: &Path, progress: &dyn Progress) -> Result<Digest> {
    let mut file = open_file(path)?;
    let mut writer = DigestWriter::new(io::sink());
    let mut buffer = vec![0; 1 << 20];
    loop {
        if progress.is_cancelled() {
            return Err(Error::Cancelled);
        }
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok(writer.finish().1);
        }
        writer.hasher.update(&buffer[..count]);
    }
}

/// Passes bytes on to `inner` and digests them on the way.
pub struct DigestWriter<W> {
    inner: W,
    hasher: Sha256,
    byte_count: u64,
}

impl<W: Write> DigestWriter<W> {
    /// A writer over `inner`.
    pub fn new(inner: W) -> Self {
        Self { inner, hasher: Sha256::new(), byte_count: 0 }
    }

    /// The inner writer, the digest, and the number of bytes written.
    pub fn finish(self) -> (W, Digest, u64) {
        (self.inner, Digest::from_bytes(&self.hasher.finalize().into()), self.byte_count)
    }
}

impl<W: Write> Write for DigestWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        self.byte_count += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_of_abc_is_the_published_vector() {
        // FIPS 180-4, appendix: SHA-256("abc").
        assert_eq!(digest_bytes(b"abc").as_str(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
