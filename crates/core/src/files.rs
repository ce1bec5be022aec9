//! Writing files so that nobody ever sees half of one.

use crate::Result;
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Writes a file beside `path` through `fill` and renames it into place.
///
/// # Errors
/// I/O errors name the path; nothing is left behind.
pub fn replace_file(path: &Path, fill: impl FnOnce(&mut fs_err::File) -> io::Result<()>) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs_err::create_dir_all(folder)?;
    let temporary = tempfile::Builder::new().prefix(".planforge-").tempfile_in(folder).map_err(|error| {
        io::Error::new(error.kind(), format!("failed to create a file in `{}`: {error}", folder.display()))
    })?;
    let mut file = fs_err::OpenOptions::new().write(true).open(temporary.path())?;
    fill(&mut file)
        .map_err(|error| io::Error::new(error.kind(), format!("failed to write `{}`: {error}", path.display())))?;
    set_default_mode(temporary.path())?;
    temporary.persist(path).map_err(|error| {
        io::Error::new(error.error.kind(), format!("failed to write `{}`: {}", path.display(), error.error))
    })?;
    Ok(())
}

/// Writes `bytes` to `path`, whole or not at all.
///
/// # Errors
/// I/O errors name the path.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    replace_file(path, |file| file.write_all(bytes))
}

/// Bytes that [`SmallWrites`] passes on at once.
const PIECE_BYTE_COUNT: usize = 1 << 13;

/// Passes bytes on in small pieces, for large files.
///
/// Of larger ones the kernel makes larger pieces of its page cache, for which it takes memory that was not used for long;
/// where that belongs to a virtual machine, the host then looks for it, page by page. Measured on one with 2 processors:
/// 700 MB in pieces of 8 KiB take a third of the time that they take in pieces of 2 MiB.
#[derive(Debug)]
pub struct SmallWrites<W>(pub W);

impl<W: Write> Write for SmallWrites<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(&bytes[..bytes.len().min(PIECE_BYTE_COUNT)])
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Puts the file `source` at `target` without copying bytes where the file system allows: a hard
/// link, or a copy across file systems. An existing target is replaced.
///
/// # Errors
/// I/O errors name the paths.
pub fn link_or_copy(source: &Path, target: &Path) -> Result<()> {
    if let Some(folder) = target.parent() {
        fs_err::create_dir_all(folder)?;
    }
    let source = fs_err::canonicalize(source)?;
    if is_same_file(&source, target)? {
        return Ok(());
    }
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let beside = target.with_file_name(format!(
        ".planforge-{}-{}-{}",
        std::process::id(),
        COUNT.fetch_add(1, Relaxed),
        target.file_name().unwrap_or_default().to_string_lossy()
    ));
    remove_if_there(&beside)?;
    if fs_err::hard_link(&source, &beside).is_err() {
        fs_err::copy(&source, &beside).inspect_err(|_| drop(fs_err::remove_file(&beside)))?;
    }
    fs_err::rename(&beside, target).inspect_err(|_| drop(fs_err::remove_file(&beside)))?;
    Ok(())
}

/// Renaming one hard link over another of the same file does nothing and leaves both (POSIX rename).
#[cfg(unix)]
fn is_same_file(source: &Path, target: &Path) -> Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let source = fs_err::metadata(source)?;
    match fs_err::symlink_metadata(target) {
        Ok(target) => Ok(source.dev() == target.dev() && source.ino() == target.ino()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn remove_if_there(path: &Path) -> Result<()> {
    match fs_err::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// Temporary files are private (0600); results are for everybody (0644).
#[cfg(unix)]
fn set_default_mode(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs_err::set_permissions(path, std::fs::Permissions::from_mode(0o644))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_writes_are_small_and_lose_nothing() {
        struct Pieces(Vec<Vec<u8>>);
        impl Write for Pieces {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.push(bytes.to_vec());
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let bytes: Vec<u8> = (0..20_000_u32).map(|number| (number % 251) as u8).collect();
        let mut writer = SmallWrites(Pieces(Vec::new()));
        writer.write_all(&bytes).unwrap();
        assert_eq!(writer.0.0.iter().map(Vec::len).collect::<Vec<_>>(), [8192, 8192, 3616]);
        assert_eq!(writer.0.0.concat(), bytes);
    }

    #[test]
    fn a_failed_write_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("result");
        let error = replace_file(&path, |_| Err(io::Error::other("disk full"))).unwrap_err();
        assert!(error.to_string().contains("disk full") && error.to_string().contains("result"));
        assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn linking_twice_leaves_one_file() {
        let folder = tempfile::tempdir().unwrap();
        let (source, target) = (folder.path().join("a"), folder.path().join("b"));
        fs_err::write(&source, "weights").unwrap();
        link_or_copy(&source, &target).unwrap();
        link_or_copy(&source, &target).unwrap();
        assert_eq!(fs_err::read_to_string(&target).unwrap(), "weights");
        assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 2);
    }
}
