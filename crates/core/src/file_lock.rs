//! Locks of files between processes. Some file systems have none; then work goes on without them.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether this process was warned of a file system without locks.
static IS_WARNED: AtomicBool = AtomicBool::new(false);

/// What became of trying to lock a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileLock {
    /// This process has the lock until it closes the file.
    Held,
    /// Another process has it.
    Busy,
    /// The file system has no locks: nothing keeps other processes away.
    Unsupported,
}

/// Tries to lock the file at `path` for this process alone. The first file system without locks is warned of.
///
/// # Errors
/// Other I/O errors; they name the path.
pub fn try_lock(file: &File, path: &Path) -> io::Result<FileLock> {
    outcome(file.try_lock(), path)
}

/// Tries to lock the file at `path` together with other processes that call this function.
///
/// # Errors
/// As [`try_lock`].
pub fn try_lock_shared(file: &File, path: &Path) -> io::Result<FileLock> {
    outcome(file.try_lock_shared(), path)
}

fn outcome(tried: Result<(), TryLockError>, path: &Path) -> io::Result<FileLock> {
    match tried {
        Ok(()) => Ok(FileLock::Held),
        Err(TryLockError::WouldBlock) => Ok(FileLock::Busy),
        Err(TryLockError::Error(error)) if is_unsupported(&error) => {
            if !IS_WARNED.swap(true, Ordering::Relaxed) {
                let folder = path.parent().unwrap_or(Path::new("."));
                tracing::warn!(
                    folder = %folder.display(), %error,
                    "the file system has no file locks; do not run two planforge processes on it at the same time"
                );
            }
            Ok(FileLock::Unsupported)
        }
        Err(TryLockError::Error(error)) => {
            Err(io::Error::new(error.kind(), format!("failed to lock `{}`: {error}", path.display())))
        }
    }
}

/// Whether an error means that a file system cannot do what it was asked for.
pub(crate) fn is_unsupported(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let codes = [Errno::NOSYS, Errno::NOLCK, Errno::OPNOTSUPP, Errno::INVAL];
    error.raw_os_error().is_some_and(|code| codes.iter().any(|known| known.raw_os_error() == code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_without_locks_is_no_error_and_a_broken_disk_is_one() {
        let failed = |errno: rustix::io::Errno| {
            let error = io::Error::from_raw_os_error(errno.raw_os_error());
            outcome(Err(TryLockError::Error(error)), Path::new("cache/x.lock"))
        };
        use rustix::io::Errno;
        for errno in [Errno::NOSYS, Errno::NOLCK, Errno::OPNOTSUPP, Errno::INVAL] {
            assert_eq!(failed(errno).unwrap(), FileLock::Unsupported, "{errno}");
        }
        let error = failed(Errno::IO).unwrap_err().to_string();
        assert!(error.starts_with("failed to lock `cache/x.lock`: "), "{error}");
    }

    #[test]
    fn a_lock_is_held_once_or_shared() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let open = || File::open(file.path()).unwrap();
        let (one, two) = (open(), open());
        assert_eq!(try_lock_shared(&one, file.path()).unwrap(), FileLock::Held);
        assert_eq!(try_lock_shared(&two, file.path()).unwrap(), FileLock::Held);
        assert_eq!(try_lock(&open(), file.path()).unwrap(), FileLock::Busy);
        drop((one, two));
        assert_eq!(try_lock(&open(), file.path()).unwrap(), FileLock::Held);
    }
}
