//! Processes that share a cache: they take turns at a key, and nothing is pruned while anybody works.

use super::Cache;
use crate::{Error, Progress, Result};
use std::fs::{File, TryLockError};
use std::path::Path;
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
        let file = self.users()?;
        wait(|| file.try_lock_shared(), progress)?;
        Ok(CacheUse(file))
    }

    /// Waits until no process uses the cache, and keeps others from it. `waiting` is called once if that takes time.
    pub(super) fn use_alone(&self, progress: &dyn Progress, waiting: impl FnOnce()) -> Result<CacheUse> {
        let file = self.users()?;
        if !matches!(file.try_lock(), Ok(())) {
            waiting();
            wait(|| file.try_lock(), progress)?;
        }
        Ok(CacheUse(file))
    }

    fn users(&self) -> Result<File> {
        fs_err::create_dir_all(&self.root)?;
        open(&self.root.join(USERS))
    }
}

/// An exclusive lock that is released when the handle is dropped or its process ends.
pub(super) fn lock(path: &Path, progress: &dyn Progress) -> Result<File> {
    let file = open(path)?;
    wait(|| file.try_lock(), progress)?;
    Ok(file)
}

fn open(path: &Path) -> Result<File> {
    Ok(fs_err::OpenOptions::new().create(true).truncate(false).write(true).open(path)?.into_parts().0)
}

fn wait(try_lock: impl Fn() -> std::result::Result<(), TryLockError>, progress: &dyn Progress) -> Result<()> {
    loop {
        match try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if progress.is_cancelled() => return Err(Error::Cancelled),
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(50)),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
    }
}
