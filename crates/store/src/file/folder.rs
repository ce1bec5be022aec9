//! The blocking work of a store in a folder.

use crate::key::{below, check_prefix, join};
use crate::{ObjectSummary, Result, Source};
use planforge_core::{TEMPORARY_PREFIX, digest_file, link_or_copy};
use planforge_types::{Digest, NoProgress};
use std::collections::{HashMap, HashSet};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

/// The folder, and what is known about files in it.
#[derive(Debug)]
pub(super) struct Folder {
    root: PathBuf,
    /// Digests of files that were read. Copies are many names of few files, and each file is read once.
    digests: Mutex<HashMap<FileState, Digest>>,
    /// Copies with which a new file began because the one before had as many names as the file system allows one file
    /// (65,000 on ext4). Later copies are links to the new one.
    successors: Mutex<HashMap<FileId, PathBuf>>,
}

/// Device and inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct FileId {
    device: u64,
    inode: u64,
}

/// A file in a state in which it has the same content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct FileState {
    id: FileId,
    byte_count: u64,
    modified_seconds: i64,
    modified_nanoseconds: i64,
}

impl Folder {
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), digests: Mutex::default(), successors: Mutex::default() }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The path of an object or prefix.
    ///
    /// # Errors
    /// [`crate::Error::Prefix`] for a key that leads elsewhere.
    pub(super) fn path(&self, key: &str) -> Result<PathBuf> {
        check_prefix(key)?;
        Ok(below(&self.root, key))
    }

    /// The files below `prefix` in the order of their keys. Links to files and folders count as these.
    pub(super) fn list(&self, prefix: &str) -> Result<Vec<ObjectSummary>> {
        let mut walk = Walk { objects: Vec::new(), seen: HashSet::new() };
        walk.visit(&self.path(prefix)?, prefix)?;
        walk.objects.sort_by(|one, two| one.key.cmp(&two.key));
        Ok(walk.objects)
    }

    /// Whether the file `path` has the content of `source`.
    pub(super) fn has_content(&self, path: &Path, source: &Source) -> Result<bool> {
        let metadata = match fs_err::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            metadata => metadata?,
        };
        if !metadata.is_file() || metadata.len() != source.byte_count {
            return Ok(false);
        }
        let state = state_of(&metadata);
        if fs_err::metadata(&source.path).is_ok_and(|source| state_of(&source) == state) {
            return Ok(true);
        }
        if let Some(known) = locked(&self.digests).get(&state) {
            return Ok(*known == source.sha256);
        }
        let found = digest_file(path, &NoProgress)?;
        let has_content = found == source.sha256;
        locked(&self.digests).insert(state, found);
        Ok(has_content)
    }

    /// Links `to` to the file `from`, or copies it.
    pub(super) fn copy(&self, mut from: PathBuf, to: &Path) -> Result<()> {
        let mut id = id_of(&from)?;
        while let Some(successor) = locked(&self.successors).get(&id).cloned() {
            let Ok(next) = id_of(&successor) else { break };
            (from, id) = (successor, next);
        }
        link_or_copy(&from, to)?;
        if id_of(to)? != id {
            locked(&self.successors).insert(id, to.to_owned());
        }
        Ok(())
    }

    /// Deletes a file, and the folders that are empty then.
    pub(super) fn delete(&self, path: &Path) -> Result<()> {
        match fs_err::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            removed => removed?,
        }
        let folders = path.ancestors().skip(1).take_while(|folder| *folder != self.root);
        for folder in folders {
            // Fails for a folder that is not empty, and for a link to one.
            if std::fs::remove_dir(folder).is_err() {
                break;
            }
        }
        Ok(())
    }
}

/// A listing under way.
struct Walk {
    objects: Vec<ObjectSummary>,
    /// Folders that were visited: links may lead back to one.
    seen: HashSet<FileId>,
}

impl Walk {
    fn visit(&mut self, folder: &Path, key: &str) -> Result<()> {
        let items = match fs_err::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            items => items?,
        };
        if !self.seen.insert(id_of(folder)?) {
            return Ok(());
        }
        for item in items {
            let item = item?;
            let name = item.file_name().to_string_lossy().into_owned();
            let key = join(key, &name);
            match fs_err::metadata(item.path()) {
                Ok(metadata) if metadata.is_dir() => self.visit(&item.path(), &key)?,
                Ok(metadata) if metadata.is_file() && !name.starts_with(TEMPORARY_PREFIX) => {
                    self.objects.push(ObjectSummary { key, byte_count: metadata.len() });
                }
                // Neither, a link that leads nowhere, or deleted meanwhile.
                _ => {}
            }
        }
        Ok(())
    }
}

/// The size of a file; none where there is none.
pub(super) fn byte_count(path: &Path) -> Result<Option<u64>> {
    match fs_err::metadata(path) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        metadata => {
            let metadata = metadata?;
            Ok(metadata.is_file().then_some(metadata.len()))
        }
    }
}

/// Removes temporary files that killed processes left in a folder.
pub(super) fn remove_abandoned(folder: &Path) -> Result<()> {
    if folder.is_dir() {
        planforge_core::remove_abandoned(folder, SystemTime::now())?;
    }
    Ok(())
}

fn id_of(path: &Path) -> Result<FileId> {
    let metadata = fs_err::metadata(path)?;
    Ok(FileId { device: metadata.dev(), inode: metadata.ino() })
}

fn state_of(metadata: &std::fs::Metadata) -> FileState {
    FileState {
        id: FileId { device: metadata.dev(), inode: metadata.ino() },
        byte_count: metadata.len(),
        modified_seconds: metadata.mtime(),
        modified_nanoseconds: metadata.mtime_nsec(),
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use planforge_core::digest_bytes;

    const CONTENT: &[u8] = b"an archive";

    fn source(folder: &Path) -> Source {
        let path = folder.join("source");
        fs_err::write(&path, CONTENT).unwrap();
        Source::read(&path, "text/plain", None, u64::MAX, &NoProgress).unwrap()
    }

    #[test]
    fn a_file_with_many_names_is_read_once() {
        let root = tempfile::tempdir().unwrap();
        let (source, folder) = (source(root.path()), Folder::new(root.path()));
        let names = [0, 1, 2].map(|number| root.path().join(number.to_string()));
        fs_err::write(&names[0], b"an 4rchive").unwrap();
        fs_err::hard_link(&names[0], &names[1]).unwrap();
        fs_err::hard_link(&names[0], &names[2]).unwrap();
        assert!(!folder.has_content(&names[0], &source).unwrap());
        // A digest that is known counts, and the file is not read.
        let state = state_of(&fs_err::metadata(&names[1]).unwrap());
        assert_eq!(locked(&folder.digests).insert(state, source.sha256.clone()), Some(digest_bytes(b"an 4rchive")));
        assert!(folder.has_content(&names[1], &source).unwrap() && folder.has_content(&names[2], &source).unwrap());
    }

    #[test]
    fn a_link_to_the_source_is_not_read() {
        let root = tempfile::tempdir().unwrap();
        let (source, folder) = (source(root.path()), Folder::new(root.path()));
        let copy = root.path().join("copy");
        link_or_copy(&source.path, &copy).unwrap();
        assert!(folder.has_content(&copy, &source).unwrap());
        assert!(locked(&folder.digests).is_empty());
    }

    #[test]
    fn copies_are_links_to_the_file_that_a_copy_began() {
        let root = tempfile::tempdir().unwrap();
        let (source, folder) = (source(root.path()), Folder::new(root.path()));
        let (full, begun, next) = (root.path().join("full"), root.path().join("begun"), root.path().join("next"));
        link_or_copy(&source.path, &full).unwrap();
        // As when the file has as many names as the file system allows.
        fs_err::copy(&full, &begun).unwrap();
        locked(&folder.successors).insert(id_of(&full).unwrap(), begun.clone());
        folder.copy(full, &next).unwrap();
        assert_eq!(id_of(&next).unwrap(), id_of(&begun).unwrap());
    }

    #[test]
    fn links_that_lead_back_end_a_listing() {
        let root = tempfile::tempdir().unwrap();
        fs_err::create_dir(root.path().join("a")).unwrap();
        fs_err::write(root.path().join("a/x"), CONTENT).unwrap();
        std::os::unix::fs::symlink(root.path(), root.path().join("a/back")).unwrap();
        let keys: Vec<_> = Folder::new(root.path()).list("").unwrap().into_iter().map(|object| object.key).collect();
        assert_eq!(keys, ["a/x"]);
    }
}
