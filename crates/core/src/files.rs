//! Writing files so that no reader ever sees half of one.

use crate::Result;
use crate::file_lock::is_unsupported;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// The prefix of the names of temporary files, which are renamed when they are whole.
pub const TEMPORARY_PREFIX: &str = ".planforge-";
/// How long a temporary file is unchanged before its process counts as killed. On shared disks it may be another machine's.
const ABANDONED: Duration = Duration::from_secs(3600);

/// Writes a file next to `path` through `fill` and renames it into place.
///
/// # Errors
/// I/O errors name the path; nothing is left behind.
pub fn replace_file(path: &Path, fill: impl FnOnce(&mut fs_err::File) -> io::Result<()>) -> Result<()> {
    let temporary = temporary_file(path, fill)?;
    temporary.persist(path).map_err(|error| write_error(path, &error.error))?;
    Ok(())
}

/// A temporary file in the folder of `path`, written through `fill`.
fn temporary_file(
    path: &Path,
    fill: impl FnOnce(&mut fs_err::File) -> io::Result<()>,
) -> Result<tempfile::NamedTempFile> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs_err::create_dir_all(folder)?;
    let temporary = tempfile::Builder::new().prefix(TEMPORARY_PREFIX).tempfile_in(folder).map_err(|error| {
        io::Error::new(error.kind(), format!("failed to create a file in `{}`: {error}", folder.display()))
    })?;
    let mut file = fs_err::OpenOptions::new().write(true).open(temporary.path())?;
    fill(&mut file).map_err(|error| write_error(path, &error))?;
    set_default_mode(temporary.path());
    Ok(temporary)
}

fn write_error(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("failed to write `{}`: {error}", path.display()))
}

/// Writes `bytes` to `path`, whole or not at all, unless there is a file of that name. Returns whether it was written.
///
/// # Errors
/// I/O errors name the path.
pub fn create_atomically(path: &Path, bytes: &[u8]) -> Result<bool> {
    match temporary_file(path, |file| file.write_all(bytes))?.persist_noclobber(path) {
        Ok(_) => Ok(true),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => reserve_and_rename(error.file, path),
    }
}

/// As [`create_atomically`] where the file system can neither rename without replacing nor make a hard link: an empty file
/// reserves the name, and the temporary file replaces it.
fn reserve_and_rename(temporary: tempfile::NamedTempFile, path: &Path) -> Result<bool> {
    match std::fs::File::create_new(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
        reserved => drop(reserved.map_err(|error| write_error(path, &error))?),
    }
    match temporary.persist(path) {
        Ok(_) => Ok(true),
        Err(error) => {
            fs_err::remove_file(path)?;
            Err(write_error(path, &error.error).into())
        }
    }
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
    let folder = target.parent().unwrap_or(Path::new("."));
    fs_err::create_dir_all(folder)?;
    let source = fs_err::canonicalize(source)?;
    if is_same_file(&source, target)? {
        return Ok(());
    }
    // The name is random: other machines, where processes have the same numbers, may write to the same folder.
    let mut beside = tempfile::Builder::new();
    beside.prefix(TEMPORARY_PREFIX);
    if let Ok(link) = beside.make_in(folder, |path| std::fs::hard_link(&source, path)) {
        return rename(&link, target);
    }
    copy(&source, target)
}

/// Puts a copy of the file `source` at `target`, a file of its own that shares its blocks where the file system can do that. An
/// existing target is replaced.
///
/// # Errors
/// I/O errors name the paths.
pub fn copy(source: &Path, target: &Path) -> Result<()> {
    let folder = target.parent().unwrap_or(Path::new("."));
    fs_err::create_dir_all(folder)?;
    let mut beside = tempfile::Builder::new();
    let copy = beside.prefix(TEMPORARY_PREFIX).make_in(folder, |path| fs_err::File::create_new(path).map(drop))?;
    copy_content(source, copy.path()).map_err(|error| {
        let (source, target) = (source.display(), target.display());
        io::Error::new(error.kind(), format!("failed to copy `{source}` to `{target}`: {error}"))
    })?;
    rename(&copy, target)
}

/// Copies a file's bytes, and its mode where the file system has modes.
fn copy_content(source: &Path, target: &Path) -> io::Result<()> {
    let mut from = std::fs::File::open(source)?;
    let mut to = std::fs::File::options().write(true).open(target)?;
    io::copy(&mut from, &mut to)?;
    let _ = to.set_permissions(from.metadata()?.permissions());
    match to.sync_all() {
        Err(error) if !is_unsupported(&error) => Err(error),
        _ => Ok(()),
    }
}

/// Makes `target` lead to the file or folder `source`: a symbolic link, or where the file system has none, hard links or copies
/// of the files.
///
/// # Errors
/// I/O errors name the paths.
pub fn symlink_or_copy(source: &Path, target: &Path) -> Result<()> {
    if std::os::unix::fs::symlink(source, target).is_ok() {
        return Ok(());
    }
    if !fs_err::metadata(source)?.is_dir() {
        return link_or_copy(source, target);
    }
    fs_err::create_dir_all(target)?;
    for item in fs_err::read_dir(source)? {
        let item = item?;
        symlink_or_copy(&item.path(), &target.join(item.file_name()))?;
    }
    Ok(())
}

/// Renames a temporary file, which is gone then, or removed by whoever made it.
fn rename(temporary: &tempfile::NamedTempFile<()>, target: &Path) -> Result<()> {
    Ok(fs_err::rename(temporary.path(), target)?)
}

/// Removes temporary files in a folder that processes which were killed left there: those that no process has written to, or
/// linked, in the hour before `now`.
///
/// # Errors
/// I/O errors name the paths.
pub fn remove_abandoned(folder: &Path, now: SystemTime) -> Result<()> {
    for item in fs_err::read_dir(folder)? {
        let item = item?;
        let is_temporary = item.file_name().to_str().is_some_and(|name| name.starts_with(TEMPORARY_PREFIX));
        if !is_temporary {
            continue;
        }
        let removed = item.metadata().and_then(|metadata| {
            let is_old = now.duration_since(changed(&metadata)).is_ok_and(|age| age > ABANDONED);
            if metadata.is_file() && is_old { fs_err::remove_file(item.path()) } else { Ok(()) }
        });
        match removed {
            // Meanwhile it was renamed, or another process has removed it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => removed?,
        }
    }
    Ok(())
}

/// When a file's content, or the number of its links, changed last.
#[cfg(unix)]
fn changed(metadata: &std::fs::Metadata) -> SystemTime {
    use std::os::unix::fs::MetadataExt;
    SystemTime::UNIX_EPOCH + Duration::from_secs(metadata.ctime().try_into().unwrap_or(0))
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

/// Temporary files are private (0600); results are for everybody (0644). Some file systems have no modes.
#[cfg(unix)]
fn set_default_mode(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let _ = fs_err::set_permissions(path, std::fs::Permissions::from_mode(0o644));
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
    fn a_file_that_exists_is_not_created_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sub/result");
        assert!(create_atomically(&path, b"one").unwrap());
        assert!(!create_atomically(&path, b"two").unwrap());
        assert_eq!(fs_err::read(&path).unwrap(), b"one");
        assert_eq!(fs_err::read_dir(folder.path().join("sub")).unwrap().count(), 1);
    }

    #[test]
    fn a_name_is_reserved_where_nothing_else_keeps_it_from_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("result");
        let temporary = |text: &str| temporary_file(&path, |file| file.write_all(text.as_bytes())).unwrap();
        assert!(reserve_and_rename(temporary("one"), &path).unwrap());
        assert!(!reserve_and_rename(temporary("two"), &path).unwrap());
        assert_eq!(fs_err::read(&path).unwrap(), b"one");
        assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 1);
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

    #[test]
    fn the_temporary_file_of_another_process_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("a");
        fs_err::write(&source, "weights").unwrap();
        // As in a container of another machine, this process may have any number.
        let others: Vec<_> =
            (0..100).map(|count| folder.path().join(format!(".planforge-{}-{count}-b", std::process::id()))).collect();
        others.iter().for_each(|other| fs_err::write(other, "half").unwrap());
        link_or_copy(&source, &folder.path().join("b")).unwrap();
        assert!(others.iter().all(|other| fs_err::read_to_string(other).unwrap() == "half"));
    }

    #[test]
    fn temporary_files_are_removed_when_nobody_has_written_to_them_for_long() {
        let folder = tempfile::tempdir().unwrap();
        fs_err::write(folder.path().join(".planforge-x"), "half").unwrap();
        fs_err::write(folder.path().join("other"), "whole").unwrap();
        fs_err::create_dir(folder.path().join(".planforge-folder")).unwrap();
        let count = || fs_err::read_dir(folder.path()).unwrap().count();
        remove_abandoned(folder.path(), SystemTime::now() + Duration::from_secs(600)).unwrap();
        assert_eq!(count(), 3);
        remove_abandoned(folder.path(), SystemTime::now() + Duration::from_secs(4000)).unwrap();
        assert_eq!(count(), 2);
    }
}
