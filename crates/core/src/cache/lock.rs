//! Processes that share a cache: they take turns at a key, and nothing is pruned while anybody works.

use super::Cache;
use crate::file_lock::{FileLock, try_lock, try_lock_shared};
use crate::{Error, Progress, Result};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

const USERS: &str = ".users.lock";

/// Held for as long as a process relies on what it found in the cache.
#[derive(Debug)]
pub struct CacheUse(#[expect(dead_code, reason = "the lock lasts as long as the file is open")] File);

impl Cache {
    /// Registers this process as a user of the cache; many may use it at once. Waits while another process prunes it.
    ///
    /// # Errors
    /// I/O errors, and [`Error::Cancelled`] while waiting.
    pub fn use_shared(&self, progress: &dyn Progress) -> Result<CacheUse> {
        let path = self.users()?;
        let file = open(&path)?;
        wait(|| try_lock_shared(&file, &path), progress)?;
        Ok(CacheUse(file))
    }

    /// Waits until no process uses the cache, and keeps others from it. `waiting` is called once if that takes time.
    pub(super) fn use_alone(&self, progress: &dyn Progress, waiting: impl FnOnce()) -> Result<CacheUse> {
        let path = self.users()?;
        let file = open(&path)?;
        if try_lock(&file, &path)? == FileLock::Busy {
            waiting();
            wait(|| try_lock(&file, &path), progress)?;
        }
        Ok(CacheUse(file))
    }

    fn users(&self) -> Result<PathBuf> {
        fs_err::create_dir_all(&self.root)?;
        Ok(self.root.join(USERS))
    }
}

/// An exclusive lock that is released when the handle is dropped or its process ends.
pub(super) fn lock(path: &Path, progress: &dyn Progress) -> Result<File> {
    let file = open(path)?;
    wait(|| try_lock(&file, path), progress)?;
    Ok(file)
}

fn open(path: &Path) -> Result<File> {
    Ok(fs_err::OpenOptions::new().create(true).truncate(false).write(true).open(path)?.into_parts().0)
}

fn wait(try_lock: impl Fn() -> std::io::Result<FileLock>, progress: &dyn Progress) -> Result<()> {
    loop {
        match try_lock()? {
            FileLock::Held | FileLock::Unsupported => return Ok(()),
            FileLock::Busy if progress.is_cancelled() => return Err(Error::Cancelled),
            FileLock::Busy => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}
