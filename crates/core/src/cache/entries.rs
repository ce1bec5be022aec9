//! What a cache holds, and whether it is whole.

use super::{BUILDING, Cache, CacheKind, Entry, RECORD};
use crate::{Progress, Result, digest_file};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// One entry of a cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CacheEntry {
    /// What it is.
    pub kind: CacheKind,
    /// Its key, the name of its folder; of one that a process left half-made, the name of that folder.
    pub key: String,
    /// What it is called: architecture and precision, target of an engine, file of an archive.
    pub name: String,
    /// Bytes of its files. Hard links to files outside the cache, such as a checkpoint's, count too.
    pub byte_count: u64,
    /// When it was last found or made.
    pub used: SystemTime,
    /// Whether it was made to the end.
    pub complete: bool,
}

/// Something in a cache that is not what it was when it was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Corruption {
    /// What kind of entry.
    pub kind: CacheKind,
    /// Its key.
    pub key: String,
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

impl Cache {
    /// All entries, by kind and least recently used first.
    ///
    /// # Errors
    /// I/O errors.
    pub fn entries(&self) -> Result<Vec<CacheEntry>> {
        let mut entries = Vec::new();
        for kind in CacheKind::ALL {
            let mut of_kind = Vec::new();
            for key in self.keys(kind)? {
                of_kind.extend(entry(kind, &self.folder_of(kind, &key), key)?);
            }
            of_kind.sort_by(|a, b| (a.used, &a.key).cmp(&(b.used, &b.key)));
            entries.extend(of_kind);
        }
        Ok(entries)
    }

    /// Digests every file of every entry again and names what differs. Entries left half-made are no corruption: nothing is
    /// read from them.
    ///
    /// # Errors
    /// I/O errors other than files that are gone, and [`crate::Error::Cancelled`].
    pub fn check(&self, progress: &dyn Progress) -> Result<Vec<Corruption>> {
        let mut found = Vec::new();
        for kind in CacheKind::ALL {
            for key in self.keys(kind)?.into_iter().filter(|key| !key.starts_with(BUILDING)) {
                let folder = self.folder_of(kind, &key);
                for (path, reason) in corruption(&folder, progress)? {
                    found.push(Corruption { kind, key: key.clone(), path, reason });
                }
            }
        }
        Ok(found)
    }

    /// Records of all complete entries of one kind, in the order of their keys. Entries that cannot be read, such as
    /// those of other versions of planforge, are left out.
    #[must_use]
    pub fn records<T: DeserializeOwned>(&self, kind: CacheKind) -> Vec<T> {
        let keys = self.keys(kind).unwrap_or_default();
        keys.iter().filter_map(|key| Some(read_entry(&self.folder_of(kind, key))?.record)).collect()
    }

    pub(super) fn folder_of(&self, kind: CacheKind, key: &str) -> PathBuf {
        self.root.join(kind.folder()).join(key)
    }

    /// Names of the folders of one kind, sorted.
    fn keys(&self, kind: CacheKind) -> Result<Vec<String>> {
        let folder = self.root.join(kind.folder());
        let mut keys = Vec::new();
        if folder.is_dir() {
            for item in fs_err::read_dir(folder)? {
                let item = item?;
                if item.file_type()?.is_dir() {
                    keys.push(item.file_name().to_string_lossy().into_owned());
                }
            }
        }
        keys.sort();
        Ok(keys)
    }
}

fn read_entry<T: DeserializeOwned>(folder: &Path) -> Option<Entry<T>> {
    serde_json::from_slice(&fs_err::read(folder.join(RECORD)).ok()?).ok()
}

/// The entry in `folder`; none when it is removed meanwhile.
fn entry(kind: CacheKind, folder: &Path, key: String) -> Result<Option<CacheEntry>> {
    let record = read_entry::<Value>(folder);
    let dated = if record.is_some() { folder.join(RECORD) } else { folder.to_owned() };
    let Ok(used) = fs_err::metadata(dated).and_then(|metadata| metadata.modified()) else { return Ok(None) };
    let name = record.as_ref().map_or_else(|| "half-made".to_owned(), |entry| name(kind, &entry.record));
    let complete = record.is_some() && !key.starts_with(BUILDING);
    Ok(Some(CacheEntry { kind, key, name, byte_count: byte_count(folder)?, used, complete }))
}

/// What a record is called, by the keys that records of its kind have.
fn name(kind: CacheKind, record: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let parts: &[&str] = match kind {
        CacheKind::Model => &["architecture", "format", "precision"],
        CacheKind::Engine => &["precision", "gpu"],
        CacheKind::Archive => &["file"],
        CacheKind::Check => return record[0]["subject"].as_str().unwrap_or("ranges").to_owned(),
    };
    parts.iter().map(|part| text(&record[*part])).collect::<Vec<_>>().join(" ")
}

fn byte_count(folder: &Path) -> Result<u64> {
    let mut sum = 0;
    for item in fs_err::read_dir(folder)? {
        let item = item?;
        let metadata = fs_err::symlink_metadata(item.path())?;
        sum += if metadata.is_dir() { byte_count(&item.path())? } else { metadata.len() };
    }
    Ok(sum)
}

/// Files of an entry that are not what they were, and why.
fn corruption(folder: &Path, progress: &dyn Progress) -> Result<Vec<(PathBuf, String)>> {
    let Some(entry) = read_entry::<Value>(folder) else {
        return Ok(vec![(folder.join(RECORD), "it cannot be read".to_owned())]);
    };
    let mut found = Vec::new();
    for file in entry.files {
        let path = folder.join(&file.path);
        let reason = match fs_err::metadata(&path) {
            Err(_) => Some("it is gone".to_owned()),
            Ok(now) if now.len() != file.byte_count => {
                Some(format!("it has {} bytes, recorded are {}", now.len(), file.byte_count))
            }
            Ok(_) => {
                let sha256 = digest_file(&path, progress)?;
                let differs = || format!("its SHA-256 is {}…, recorded is {}…", sha256.short(), file.sha256.short());
                (sha256 != file.sha256).then(differs)
            }
        };
        found.extend(reason.map(|reason| (path, reason)));
    }
    Ok(found)
}
