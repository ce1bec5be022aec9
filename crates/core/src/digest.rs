//! SHA-256 digests of files and of build inputs.

use crate::{Error, Progress, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::io::{self, Read, Write};
use std::path::Path;

/// A SHA-256 digest in lower-case hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

impl TryFrom<String> for Digest {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        if text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            Ok(Self(text))
        } else {
            Err(format!("`{text}` is no SHA-256 digest: it needs 64 hexadecimal digits, in lower case"))
        }
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.0
    }
}

impl Digest {
    /// All 64 hexadecimal digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first twelve digits, for people.
    #[must_use]
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

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
    let mut file = fs_err::File::open(path)?;
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
        let hex = self.hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        (self.inner, Digest(hex), self.byte_count)
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
