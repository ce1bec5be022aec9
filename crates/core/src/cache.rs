//! Content-addressed cache of step results: one folder per key, written beside and renamed.
//!
//! A hit is accepted when every recorded file is there with its recorded size and modification time.
//! Two processes that want the same key take turns through a lock file, so it is built once.

use crate::{ArtifactFile, Digest, Error, Progress, Result, Stored, digest_bytes, digest_file};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::TryLockError;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, UNIX_EPOCH};

const RECORD: &str = "record.json";

/// A cache folder.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
}

/// What kind of result, one sub-folder each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheKind {
    /// Exported models.
    Model,
    /// Engines.
    Engine,
    /// Archives.
    Archive,
    /// Results of running an exported model on the samples.
    Check,
}

impl CacheKind {
    const fn folder(self) -> &'static str {
        match self {
            Self::Model => "models",
            Self::Engine => "engines",
            Self::Archive => "archives",
            Self::Check => "checks",
        }
    }
}

/// Digest of everything a result depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheKey(String);

impl CacheKey {
    /// Key of `inputs`: any serialisable value that holds input digests, options and tool versions.
    ///
    /// # Panics
    /// Never for values made of strings, numbers, lists and structs.
    pub fn of(inputs: &impl Serialize) -> Self {
        let bytes = serde_json::to_vec(inputs).expect("key inputs are plain data");
        Self(digest_bytes(&bytes).as_str()[..32].to_owned())
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry<T> {
    record: T,
    files: Vec<ArtifactFile>,
    /// Modification times in nanoseconds since 1970, in the order of `files`.
    modified: Vec<u64>,
}

impl Cache {
    /// A cache in the folder `root`, which is made on first use.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// The result of `key`, found or made. `build` gets an empty folder to write into and returns the
    /// record; the files it leaves there are digested and become the artifact.
    ///
    /// # Errors
    /// Errors of `build`, I/O errors, and [`Error::Cancelled`] while waiting for another process.
    pub fn get_or_build<T, E>(
        &self,
        kind: CacheKind,
        key: &CacheKey,
        progress: &dyn Progress,
        build: impl FnOnce(&Path) -> std::result::Result<T, E>,
    ) -> std::result::Result<Stored<T>, E>
    where
        T: Serialize + DeserializeOwned,
        E: From<Error>,
    {
        self.get_or_build_from(kind, key, &[], progress, build)
    }

    /// As [`Cache::get_or_build`], when digests of `sources` are known: a file that `build` leaves as a
    /// hard link to one of them is not read to be digested again.
    ///
    /// # Errors
    /// As [`Cache::get_or_build`].
    pub fn get_or_build_from<T, E>(
        &self,
        kind: CacheKind,
        key: &CacheKey,
        sources: &[(PathBuf, Digest)],
        progress: &dyn Progress,
        build: impl FnOnce(&Path) -> std::result::Result<T, E>,
    ) -> std::result::Result<Stored<T>, E>
    where
        T: Serialize + DeserializeOwned,
        E: From<Error>,
    {
        let start = Instant::now();
        let folder = self.root.join(kind.folder());
        let target = folder.join(&key.0);
        if let Some(stored) = find(&target, start) {
            return Ok(stored);
        }
        fs_err::create_dir_all(&folder).map_err(Error::from)?;
        let _lock = lock(&folder.join(format!("{}.lock", key.0)), progress)?;
        if let Some(stored) = find(&target, start) {
            return Ok(stored);
        }
        let temporary = tempfile::Builder::new().prefix(".building-").tempdir_in(&folder).map_err(Error::from)?;
        let record = build(temporary.path())?;
        let entry = seal(temporary.path(), record, sources, progress)?;
        if target.exists() {
            fs_err::remove_dir_all(&target).map_err(Error::from)?;
        }
        fs_err::rename(temporary.keep(), &target).map_err(Error::from)?;
        Ok(Stored {
            directory: target,
            record: entry.record,
            files: entry.files,
            reused: false,
            elapsed: start.elapsed(),
        })
    }
}

/// A complete entry at `target`; a damaged one counts as absent and is rebuilt.
fn find<T: DeserializeOwned>(target: &Path, start: Instant) -> Option<Stored<T>> {
    let bytes = fs_err::read(target.join(RECORD)).ok()?;
    let entry: Entry<T> = serde_json::from_slice(&bytes).ok()?;
    let intact = entry.files.iter().zip(&entry.modified).all(|(file, modified)| {
        fs_err::metadata(target.join(&file.path))
            .is_ok_and(|found| found.len() == file.byte_count && modified_nanoseconds(&found) == *modified)
    });
    intact.then(|| Stored {
        directory: target.to_owned(),
        record: entry.record,
        files: entry.files,
        reused: true,
        elapsed: start.elapsed(),
    })
}

fn seal<T: Serialize>(
    folder: &Path,
    record: T,
    sources: &[(PathBuf, Digest)],
    progress: &dyn Progress,
) -> Result<Entry<T>> {
    let known = |(path, digest): &(PathBuf, Digest)| Some((identity(&fs_err::metadata(path).ok()?), digest.clone()));
    let known: HashMap<FileIdentity, Digest> = sources.iter().filter_map(known).collect();
    let mut found = Vec::new();
    list(folder, "", &mut found)?;
    found.sort_by(|a, b| a.0.cmp(&b.0));
    let (mut files, mut modified) = (Vec::new(), Vec::new());
    for (path, metadata) in found {
        let sha256 = match known.get(&identity(&metadata)) {
            Some(digest) => digest.clone(),
            None => digest_file(&folder.join(&path), progress)?,
        };
        modified.push(modified_nanoseconds(&metadata));
        files.push(ArtifactFile { path, byte_count: metadata.len(), sha256 });
    }
    let entry = Entry { record, files, modified };
    let path = folder.join(RECORD);
    let bytes =
        serde_json::to_vec_pretty(&entry).map_err(|source| Error::CacheRecord { path: path.clone(), source })?;
    fs_err::write(path, bytes)?;
    Ok(entry)
}

/// Device and number of a file: equal for hard links of one file.
type FileIdentity = (u64, u64);

fn identity(metadata: &std::fs::Metadata) -> FileIdentity {
    (metadata.dev(), metadata.ino())
}

/// Relative paths of all files below a folder.
fn list(folder: &Path, prefix: &str, files: &mut Vec<(String, std::fs::Metadata)>) -> Result<()> {
    for item in fs_err::read_dir(folder)? {
        let item = item?;
        let path = format!("{prefix}{}", item.file_name().to_string_lossy());
        let metadata = fs_err::metadata(item.path())?;
        if metadata.is_dir() {
            list(&item.path(), &format!("{path}/"), files)?;
        } else {
            files.push((path, metadata));
        }
    }
    Ok(())
}

fn modified_nanoseconds(metadata: &std::fs::Metadata) -> u64 {
    let since = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    since.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

/// An exclusive lock that is released when the handle is dropped or its process ends.
fn lock(path: &Path, progress: &dyn Progress) -> Result<std::fs::File> {
    let file = fs_err::OpenOptions::new().create(true).truncate(false).write(true).open(path)?.into_parts().0;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if progress.is_cancelled() => return Err(Error::Cancelled),
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(50)),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NoProgress;

    fn build(cache: &Cache, text: &str) -> Result<Stored<String>> {
        cache.get_or_build(CacheKind::Model, &CacheKey::of(&"key"), &NoProgress, |folder| {
            fs_err::write(folder.join("file"), text)?;
            Ok(text.to_owned())
        })
    }

    #[test]
    fn second_time_is_a_hit_and_damage_is_rebuilt() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path());
        assert!(!build(&cache, "first").unwrap().reused);
        let hit = build(&cache, "second").unwrap();
        assert!(hit.reused && hit.record == "first" && hit.files.len() == 1);
        fs_err::write(hit.path("file"), "cut").unwrap();
        let rebuilt = build(&cache, "third").unwrap();
        assert!(!rebuilt.reused && rebuilt.record == "third");
    }

    #[test]
    fn links_to_sources_keep_their_digest_and_copies_are_digested() {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("source");
        fs_err::write(&source, "weights").unwrap();
        // A digest that the content does not have shows which files were read.
        let claimed = digest_bytes(b"claimed");
        let stored = Cache::new(folder.path()).get_or_build_from(
            CacheKind::Model,
            &CacheKey::of(&"key"),
            &[(source.clone(), claimed.clone())],
            &NoProgress,
            |folder| {
                fs_err::hard_link(&source, folder.join("link"))?;
                fs_err::copy(&source, folder.join("copy"))?;
                Ok::<_, Error>(())
            },
        );
        let stored = stored.unwrap();
        assert_eq!(stored.file("link").unwrap().sha256, claimed);
        assert_eq!(stored.file("copy").unwrap().sha256, digest_bytes(b"weights"));
    }

    #[test]
    fn a_failed_build_leaves_no_entry() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path());
        let failed: Result<Stored<String>> =
            cache.get_or_build(CacheKind::Model, &CacheKey::of(&"key"), &NoProgress, |_| Err(Error::Cancelled));
        assert!(matches!(failed, Err(Error::Cancelled)));
        let left: Vec<_> =
            fs_err::read_dir(folder.path().join("models")).unwrap().map(|item| item.unwrap().file_name()).collect();
        assert!(left.iter().all(|name| name.to_string_lossy().ends_with(".lock")), "{left:?}");
        assert!(!build(&cache, "now").unwrap().reused);
    }

    #[test]
    fn two_threads_build_once() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path());
        let made: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| build(&cache, "once").unwrap().reused)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(made.iter().filter(|reused| !**reused).count(), 1);
    }
}
