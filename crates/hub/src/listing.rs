//! The files of a commit as the Hub lists them, each with the digest that its bytes must have.

use planforge_core::{Progress, digest_bytes, digest_file, open_file};
use serde::Deserialize;
use sha1::{Digest, Sha1};
use std::io::Read;
use std::path::Path;

/// A file of a repository.
#[derive(Debug, Clone)]
pub(crate) struct ListedFile {
    /// Path within the repository, as the Hub lists it.
    pub(crate) path: String,
    /// Size.
    pub(crate) byte_count: u64,
    /// Digest of its bytes, and its name in the cache.
    pub(crate) blob: Blob,
}

/// The digest by which the Hub and the cache name a file's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Blob {
    /// SHA-256 of a file that is stored outside git.
    Sha256(String),
    /// Object id of a file that is stored in git: SHA-1 of a header and the bytes. Some mirrors have that of the bytes alone.
    Git(String),
    /// A name that a mirror gave, which is not a digest.
    Unverified(String),
}

impl Blob {
    /// The digest that a name in the cache is, if it is one.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        if !name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return None;
        }
        match name.len() {
            64 => Some(Self::Sha256(name.to_owned())),
            40 => Some(Self::Git(name.to_owned())),
            _ => None,
        }
    }

    /// The name of the file `path` by an `ETag` that is not a digest. Another file may have the same one.
    pub(crate) fn unverified(tag: &str, path: &str) -> Self {
        let safe = |c: char| if c.is_ascii_alphanumeric() || "-_".contains(c) { c } else { '-' };
        let tag: String = tag.chars().map(safe).take(100).collect();
        Self::Unverified(format!("{}-{}", tag.trim_matches('-'), digest_bytes(path.as_bytes()).short()))
    }

    /// The hexadecimal digits, or another name.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Sha256(name) | Self::Git(name) | Self::Unverified(name) => name,
        }
    }

    /// What the digest is called.
    pub(crate) const fn algorithm(&self) -> &'static str {
        match self {
            Self::Sha256(_) => "SHA-256",
            Self::Git(_) => "git object id",
            Self::Unverified(_) => "ETag",
        }
    }

    /// The digest of this kind that the file at `path` has.
    ///
    /// # Errors
    /// When the file cannot be read, or the user asked to stop.
    pub(crate) fn of_file(&self, path: &Path, progress: &dyn Progress) -> planforge_core::Result<String> {
        match self {
            Self::Sha256(_) => Ok(digest_file(path, progress)?.to_string()),
            Self::Git(name) => git_object_id(path, name, progress),
            Self::Unverified(name) => Ok(name.clone()),
        }
    }
}

/// `git hash-object` of a file, or the SHA-1 of its bytes where that is the one expected.
fn git_object_id(path: &Path, expected: &str, progress: &dyn Progress) -> planforge_core::Result<String> {
    let mut file = open_file(path)?;
    let (mut object, mut plain) = (Sha1::new(), Sha1::new());
    object.update(format!("blob {}\0", file.metadata()?.len()));
    let mut buffer = vec![0; 1 << 16];
    loop {
        if progress.is_cancelled() {
            return Err(planforge_core::Error::Cancelled);
        }
        match file.read(&mut buffer)? {
            0 => break,
            count => {
                object.update(&buffer[..count]);
                plain.update(&buffer[..count]);
            }
        }
    }
    let [object, plain] = [object, plain]
        .map(|hasher| -> String { hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect() });
    Ok(if plain == expected { plain } else { object })
}

/// An entry of the Hub's answer about a tree.
#[derive(Debug, Deserialize)]
pub(crate) struct Entry {
    #[serde(rename = "type")]
    kind: String,
    path: String,
    #[serde(default)]
    size: u64,
    #[serde(default)]
    oid: String,
    lfs: Option<Pointer>,
}

/// Where a file is stored outside git.
#[derive(Debug, Deserialize)]
struct Pointer {
    oid: String,
    size: u64,
}

impl Entry {
    /// The file that this is, or nothing for a folder; the path of a file without a digest is the error.
    pub(crate) fn file(self) -> Option<Result<ListedFile, String>> {
        if self.kind != "file" {
            return None;
        }
        let (name, byte_count, length) = match &self.lfs {
            Some(pointer) => (pointer.oid.trim_start_matches("sha256:"), pointer.size, 64),
            None => (self.oid.as_str(), self.size, 40),
        };
        let blob = Blob::parse(name).filter(|blob| blob.name().len() == length);
        let path = self.path;
        Some(match blob {
            Some(blob) => Ok(ListedFile { path, byte_count, blob }),
            None => Err(path),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use planforge_core::NoProgress;

    #[test]
    fn the_object_id_is_that_of_git() {
        // `printf 'test content\n' | git hash-object --stdin`, as in "Pro Git", chapter 10.2.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs_err::write(&path, "test content\n").unwrap();
        let expected = "d670460b4b4aece5915caf5c68d12f560a9fe3e4";
        assert_eq!(Blob::parse(expected).unwrap().of_file(&path, &NoProgress).unwrap(), expected);
        // `printf 'test content\n' | sha1sum`.
        let plain = "4fe2b8dd12cd9cd6a413ea960cd8c09c25f19527";
        assert_eq!(Blob::parse(plain).unwrap().of_file(&path, &NoProgress).unwrap(), plain);
        assert_eq!(Blob::parse(&"0".repeat(40)).unwrap().of_file(&path, &NoProgress).unwrap(), expected);
    }

    #[test]
    fn names_that_are_no_digests_are_refused() {
        for name in ["", "0", "../../../../../../../../../../etc/passwd", &"g".repeat(40), &"A".repeat(64)] {
            assert_eq!(Blob::parse(name), None, "{name}");
        }
    }
}
