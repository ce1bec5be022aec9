//! One repository in the standard Hugging Face cache, as Python's `huggingface_hub` lays it out: bytes under their
//! digests in `blobs`, a folder of links for each commit in `snapshots`, the commits of branches and tags in `refs`, and
//! locks in `.locks` of the cache.

use crate::listing::ListedFile;
use crate::path::stays_inside;
use crate::{Error, Result};
use planforge_core::{FileLock, Progress, try_lock};
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempPath;

/// How often a lock that another process holds is tried.
const LOCK_INTERVAL: Duration = Duration::from_millis(100);

/// The right to write the bytes of a file, until it is dropped.
pub(crate) struct BlobLock {
    _file: File,
    /// Whether no other process has it. Where files cannot be locked, several may.
    pub(crate) is_exclusive: bool,
}

/// One repository in the cache.
pub(crate) struct RepoCache {
    folder: PathBuf,
    locks: PathBuf,
}

impl RepoCache {
    /// The part of `cache` that belongs to `repo`; it need not exist.
    pub(crate) fn new(cache: &Path, repo: &str) -> Self {
        let name = format!("models--{}", repo.replace('/', "--"));
        Self { folder: cache.join(&name), locks: cache.join(".locks").join(&name) }
    }

    /// The folder of a commit's files.
    pub(crate) fn snapshot(&self, commit: &str) -> PathBuf {
        self.folder.join("snapshots").join(commit)
    }

    /// Path of the blob that holds the bytes of a file.
    pub(crate) fn blob(&self, file: &ListedFile) -> PathBuf {
        self.blobs().join(file.blob.name())
    }

    /// Path of the blob while its download is incomplete.
    pub(crate) fn incomplete(&self, file: &ListedFile) -> PathBuf {
        self.blobs().join(format!("{}.incomplete", file.blob.name()))
    }

    /// A path of this process alone for the blob while its download is incomplete, removed when the handle is dropped.
    pub(crate) fn own_incomplete(&self, file: &ListedFile) -> Result<TempPath> {
        let prefix = format!("{}.", file.blob.name());
        let own = tempfile::Builder::new().prefix(&prefix).suffix(".incomplete").tempfile_in(self.blobs())?;
        Ok(own.into_temp_path())
    }

    /// The folder of all bytes.
    pub(crate) fn blobs(&self) -> PathBuf {
        self.folder.join("blobs")
    }

    /// The commit that a branch or tag stood for when it was last asked about.
    pub(crate) fn commit_of(&self, revision: &str) -> Option<String> {
        let text = stays_inside(revision).then(|| fs_err::read_to_string(self.folder.join("refs").join(revision)));
        text?.ok().map(|commit| commit.trim().to_owned()).filter(|commit| is_commit(commit))
    }

    /// Notes the commit that a branch or tag stands for.
    pub(crate) fn set_commit_of(&self, revision: &str, commit: &str) -> Result<()> {
        if is_commit(revision) || self.commit_of(revision).as_deref() == Some(commit) {
            return Ok(());
        }
        let temporary = self.temporary(|path| File::create_new(path)?.write_all(commit.as_bytes()))?;
        rename_into(temporary, &self.folder.join("refs").join(revision))
    }

    /// Whether the snapshot has all of a file.
    pub(crate) fn has(&self, commit: &str, file: &ListedFile, progress: &dyn Progress) -> Result<bool> {
        let path = self.snapshot(commit).join(&file.path);
        let Ok(blob) = path.canonicalize() else { return Ok(false) };
        if blob.metadata()?.len() != file.byte_count {
            return Ok(false);
        }
        // Where links cannot be made, `huggingface_hub` puts files there themselves.
        let is_named = blob.file_name().is_some_and(|name| name == file.blob.name());
        Ok(is_named || file.blob.of_file(&blob, progress)? == file.blob.name())
    }

    /// Whether all bytes of a file are there.
    pub(crate) fn has_blob(&self, file: &ListedFile) -> bool {
        self.blob(file).metadata().is_ok_and(|metadata| metadata.len() == file.byte_count)
    }

    /// Makes a file's bytes, which are there, part of a snapshot: by a symbolic link, where the file system has none by a
    /// hard link, and where it has none of these either by moving them, as `huggingface_hub` does.
    pub(crate) fn link(&self, commit: &str, file: &ListedFile) -> Result<()> {
        let depth = file.path.split('/').count() + 1;
        let target = format!("{}blobs/{}", "../".repeat(depth), file.blob.name());
        let path = self.snapshot(commit).join(&file.path);
        if path.read_link().is_ok_and(|old| old == Path::new(&target)) {
            return Ok(());
        }
        if let Ok(temporary) = self.temporary(|path| symlink(&target, path)) {
            return rename_into(temporary, &path);
        }
        let blob = self.blob(file);
        if File::open(&blob).is_ok_and(|blob| is_at(&blob, &path)) {
            return Ok(());
        }
        if let Ok(temporary) = self.temporary(|path| std::fs::hard_link(&blob, path)) {
            return rename_into(temporary, &path);
        }
        fs_err::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
        Ok(fs_err::rename(blob, path)?)
    }

    /// Waits until no other process fetches the same bytes, and keeps others from it until the handle is dropped or
    /// this process ends. `waiting` is called once if that takes time.
    pub(crate) async fn lock(&self, file: &ListedFile, waiting: impl FnOnce()) -> Result<BlobLock> {
        fs_err::create_dir_all(&self.locks)?;
        let path = self.locks.join(format!("{}.lock", file.blob.name()));
        let mut waiting = Some(waiting);
        loop {
            let lock = fs_err::OpenOptions::new().create(true).truncate(false).write(true).open(&path)?.into_parts().0;
            match try_lock(&lock, &path)? {
                FileLock::Held if is_at(&lock, &path) => return Ok(BlobLock { _file: lock, is_exclusive: true }),
                // Another process has removed the file that was waited for.
                FileLock::Held => {}
                FileLock::Busy => {
                    waiting.take().into_iter().for_each(|waiting| waiting());
                    tokio::time::sleep(LOCK_INTERVAL).await;
                }
                FileLock::Unsupported => return Ok(BlobLock { _file: lock, is_exclusive: false }),
            }
        }
    }

    /// Makes what is renamed later, under a name that no other thread, process or container has. `refs` and
    /// `snapshots` would show it to others.
    fn temporary(&self, make: impl FnMut(&Path) -> std::io::Result<()>) -> Result<TempPath> {
        fs_err::create_dir_all(&self.folder)?;
        let made = tempfile::Builder::new().prefix(".planforge-").make_in(&self.folder, make).map_err(|error| {
            std::io::Error::new(error.kind(), format!("failed to write to `{}`: {error}", self.folder.display()))
        })?;
        Ok(made.into_temp_path())
    }
}

/// Whether a revision is a full commit.
pub(crate) fn is_commit(revision: &str) -> bool {
    revision.len() == 40 && revision.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Creates `folder` and fails unless its disk has `needed` bytes free.
pub(crate) fn check_space(folder: &Path, needed: u64) -> Result<()> {
    fs_err::create_dir_all(folder)?;
    let space = rustix::fs::statvfs(folder).map_err(std::io::Error::from)?;
    let free = space.f_bavail.saturating_mul(space.f_frsize);
    if needed > free {
        return Err(Error::Space { folder: folder.to_owned(), needed, free });
    }
    Ok(())
}

fn is_at(file: &File, path: &Path) -> bool {
    let found = path.metadata().and_then(|there| Ok((there, file.metadata()?)));
    found.is_ok_and(|(there, here)| there.dev() == here.dev() && there.ino() == here.ino())
}

fn rename_into(temporary: TempPath, path: &Path) -> Result<()> {
    fs_err::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
    temporary.persist(path).map_err(|error| {
        std::io::Error::new(error.error.kind(), format!("failed to write `{}`: {}", path.display(), error.error))
    })?;
    Ok(())
}
