//! Finding and making entries.
//!
//! A hit is accepted when every recorded file is there with its recorded size and modification time.
//! Two processes that want the same key take turns through a lock file, so it is built once.

use super::lock::lock;
use super::{BUILDING, Cache, CacheKey, CacheKind, Entry, RECORD, modified_nanoseconds};
use crate::{ArtifactFile, CachedArtifact, Digest, Error, Progress, Result, digest_file};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

impl Cache {
    /// The result of `key`, if it is there and complete.
    #[must_use]
    pub fn get<T: DeserializeOwned>(&self, kind: CacheKind, key: &CacheKey) -> Option<CachedArtifact<T>> {
        find(&self.folder_of(kind, &key.0), Instant::now())
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
    ) -> std::result::Result<CachedArtifact<T>, E>
    where
        T: Serialize + DeserializeOwned,
        E: From<Error>,
    {
        self.get_or_build_known(kind, key, progress, |folder| Ok((build(folder)?, Vec::new())))
    }

    /// As [`Cache::get_or_build`], when `build` also knows digests of files: one of them, or a hard link to it, is not
    /// read to be digested again.
    ///
    /// # Errors
    /// As [`Cache::get_or_build`].
    pub fn get_or_build_known<T, E>(
        &self,
        kind: CacheKind,
        key: &CacheKey,
        progress: &dyn Progress,
        build: impl FnOnce(&Path) -> std::result::Result<(T, Vec<(PathBuf, Digest)>), E>,
    ) -> std::result::Result<CachedArtifact<T>, E>
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
        let temporary = tempfile::Builder::new().prefix(BUILDING).tempdir_in(&folder).map_err(Error::from)?;
        let (record, known) = build(temporary.path())?;
        let entry = seal(temporary.path(), record, &known, progress)?;
        // Where files cannot be locked, another process may have made the same meanwhile, and use it.
        if let Some(stored) = find(&target, start) {
            return Ok(stored);
        }
        if target.exists() {
            fs_err::remove_dir_all(&target).map_err(Error::from)?;
        }
        if let Err(error) = fs_err::rename(temporary.path(), &target) {
            return find(&target, start).ok_or_else(|| Error::from(error).into());
        }
        // Nothing is left to remove under the old name.
        let _ = temporary.keep();
        Ok(CachedArtifact {
            directory: target,
            record: entry.record,
            files: entry.files,
            cache_hit: false,
            elapsed: start.elapsed(),
        })
    }
}

/// A complete entry at `target`; a corrupt one counts as absent and is rebuilt.
fn find<T: DeserializeOwned>(target: &Path, start: Instant) -> Option<CachedArtifact<T>> {
    let bytes = fs_err::read(target.join(RECORD)).ok()?;
    let entry: Entry<T> = serde_json::from_slice(&bytes).ok()?;
    let intact = entry.files.iter().zip(&entry.modified).all(|(file, modified)| {
        fs_err::metadata(target.join(&file.path))
            .is_ok_and(|found| found.len() == file.byte_count && modified_nanoseconds(&found) == *modified)
    });
    if !intact {
        return None;
    }
    mark_used(target);
    Some(CachedArtifact {
        directory: target.to_owned(),
        record: entry.record,
        files: entry.files,
        cache_hit: true,
        elapsed: start.elapsed(),
    })
}

/// The record's own modification time is the time of an entry's last use. A cache that cannot be written serves as well.
fn mark_used(target: &Path) {
    let record = std::fs::File::options().append(true).open(target.join(RECORD));
    drop(record.and_then(|file| file.set_modified(std::time::SystemTime::now())));
}

fn seal<T: Serialize>(
    folder: &Path,
    record: T,
    known: &[(PathBuf, Digest)],
    progress: &dyn Progress,
) -> Result<Entry<T>> {
    let identified =
        |(path, digest): &(PathBuf, Digest)| Some((identity(&fs_err::metadata(path).ok()?), digest.clone()));
    let known: HashMap<FileIdentity, Digest> = known.iter().filter_map(identified).collect();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{NoProgress, digest_bytes};

    fn build(cache: &Cache, text: &str) -> Result<CachedArtifact<String>> {
        cache.get_or_build(CacheKind::Model, &CacheKey::of(&"key"), &NoProgress, |folder| {
            fs_err::write(folder.join("file"), text)?;
            Ok(text.to_owned())
        })
    }

    #[test]
    fn second_time_is_a_hit_and_damage_is_rebuilt() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path());
        assert!(!build(&cache, "first").unwrap().cache_hit);
        let hit = build(&cache, "second").unwrap();
        assert!(hit.cache_hit && hit.record == "first" && hit.files.len() == 1);
        fs_err::write(hit.path("file"), "cut").unwrap();
        let rebuilt = build(&cache, "third").unwrap();
        assert!(!rebuilt.cache_hit && rebuilt.record == "third");
    }

    #[test]
    fn files_whose_digest_is_known_and_links_to_them_are_not_read_and_copies_are() {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("source");
        fs_err::write(&source, "weights").unwrap();
        // A digest that the content does not have shows which files were read.
        let claimed = digest_bytes(b"claimed");
        let stored = Cache::new(folder.path()).get_or_build_known(
            CacheKind::Model,
            &CacheKey::of(&"key"),
            &NoProgress,
            |folder| {
                fs_err::hard_link(&source, folder.join("link"))?;
                fs_err::copy(&source, folder.join("copy"))?;
                fs_err::write(folder.join("made"), "made")?;
                let known = [source.clone(), folder.join("made")].map(|path| (path, claimed.clone()));
                Ok::<_, Error>(((), known.to_vec()))
            },
        );
        let stored = stored.unwrap();
        assert_eq!(stored.file("link").unwrap().sha256, claimed);
        assert_eq!(stored.file("made").unwrap().sha256, claimed);
        assert_eq!(stored.file("copy").unwrap().sha256, digest_bytes(b"weights"));
    }

    #[test]
    fn a_failed_build_leaves_no_entry() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path());
        let failed: Result<CachedArtifact<String>> =
            cache.get_or_build(CacheKind::Model, &CacheKey::of(&"key"), &NoProgress, |_| Err(Error::Cancelled));
        assert!(matches!(failed, Err(Error::Cancelled)));
        let left: Vec<_> =
            fs_err::read_dir(folder.path().join("models")).unwrap().map(|item| item.unwrap().file_name()).collect();
        assert!(left.iter().all(|name| name.to_string_lossy().ends_with(".lock")), "{left:?}");
        assert!(!build(&cache, "now").unwrap().cache_hit);
    }

    #[test]
    fn two_threads_build_once() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path());
        let made: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| build(&cache, "once").unwrap().cache_hit)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(made.iter().filter(|hit| !**hit).count(), 1);
    }
}
