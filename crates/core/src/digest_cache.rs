//! Digests of large files, remembered by the file's identity, size and time of modification.

use crate::{Digest, Progress, Result, digest_file, write_atomically};
use serde::{Deserialize, Serialize};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Smaller files are digested each time.
const LARGE: u64 = 1 << 20;

/// A file that was modified less than this ago could be modified again without its time showing it.
const SETTLED: Duration = Duration::from_secs(2);

/// Digests of files, kept in a folder or not at all.
///
/// A file counts as unchanged while its device, inode, size and time of modification are; steps that hand files on
/// to others digest them again.
#[derive(Debug, Clone, Default)]
pub struct DigestCache {
    folder: Option<PathBuf>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    device: u64,
    inode: u64,
    byte_count: u64,
    modified_seconds: i64,
    modified_nanoseconds: i64,
    sha256: Digest,
}

impl DigestCache {
    /// Digests kept in `folder`, which need not exist.
    #[must_use]
    pub const fn in_folder(folder: PathBuf) -> Self {
        Self { folder: Some(folder) }
    }

    /// Digest of the file at `path`, read only if it is not known.
    ///
    /// # Errors
    /// When the file cannot be read, or the user asked to stop. What cannot be remembered is no error.
    pub fn digest(&self, path: &Path, progress: &dyn Progress) -> Result<Digest> {
        let metadata = fs_err::metadata(path)?;
        let Some(folder) = self.folder.as_ref().filter(|_| metadata.len() >= LARGE) else {
            return digest_file(path, progress);
        };
        let place = folder.join(format!("{:x}-{:x}.json", metadata.dev(), metadata.ino()));
        let entry = |sha256| Entry {
            device: metadata.dev(),
            inode: metadata.ino(),
            byte_count: metadata.len(),
            modified_seconds: metadata.mtime(),
            modified_nanoseconds: metadata.mtime_nsec(),
            sha256,
        };
        let known = fs_err::read(&place).ok().and_then(|bytes| serde_json::from_slice::<Entry>(&bytes).ok());
        if let Some(known) = known.filter(|known| *known == entry(known.sha256.clone())) {
            return Ok(known.sha256);
        }
        let digest = digest_file(path, progress)?;
        let age = metadata.modified().ok().and_then(|modified| SystemTime::now().duration_since(modified).ok());
        if age.is_some_and(|age| age > SETTLED)
            && let Ok(bytes) = serde_json::to_vec(&entry(digest.clone()))
        {
            // Without it the next run reads the file again.
            let _ = write_atomically(&place, &bytes);
        }
        Ok(digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{NoProgress, digest_bytes};

    fn age(path: &Path, seconds: u64) {
        let file = std::fs::File::options().write(true).open(path).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(seconds)).unwrap();
    }

    #[test]
    fn a_file_is_read_again_when_its_time_or_size_changes_and_not_before() {
        let folder = tempfile::tempdir().unwrap();
        let (path, known) = (folder.path().join("model"), DigestCache::in_folder(folder.path().join("digests")));
        let (first, second) = (vec![1; 2 << 20], vec![2; 2 << 20]);
        fs_err::write(&path, &first).unwrap();
        age(&path, 100);
        let digest = |known: &DigestCache| known.digest(&path, &NoProgress).unwrap();
        assert_eq!(digest(&known), digest_bytes(&first));
        let modified = fs_err::metadata(&path).unwrap().modified().unwrap();
        fs_err::write(&path, &second).unwrap();
        std::fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
        // Nothing that is looked at has changed, so the file was not read.
        assert_eq!(digest(&known), digest_bytes(&first));
        assert_eq!(digest(&DigestCache::default()), digest_bytes(&second));
        age(&path, 50);
        assert_eq!(digest(&known), digest_bytes(&second));
        fs_err::write(&path, vec![3; (2 << 20) + 1]).unwrap();
        assert_ne!(digest(&known), digest_bytes(&second));
    }

    #[test]
    fn what_was_just_written_is_not_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let (path, digests) = (folder.path().join("model"), folder.path().join("digests"));
        fs_err::write(&path, vec![1; 2 << 20]).unwrap();
        DigestCache::in_folder(digests.clone()).digest(&path, &NoProgress).unwrap();
        assert!(!digests.exists());
    }

    #[test]
    fn a_damaged_memory_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let (path, digests) = (folder.path().join("model"), folder.path().join("digests"));
        fs_err::write(&path, vec![1; 2 << 20]).unwrap();
        age(&path, 100);
        let known = DigestCache::in_folder(digests.clone());
        let digest = known.digest(&path, &NoProgress).unwrap();
        for entry in fs_err::read_dir(&digests).unwrap() {
            fs_err::write(entry.unwrap().path(), "{").unwrap();
        }
        assert_eq!(known.digest(&path, &NoProgress).unwrap(), digest);
    }
}
