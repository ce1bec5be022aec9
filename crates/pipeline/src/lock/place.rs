//! Where the lock of a pipeline is: next to the pipeline file, where the caller named, or in the output folder.

use super::mode::LockMode;
use crate::{Error, Result};
use planforge_core::{OutputLayout, lock_file};
use std::path::{Path, PathBuf};

/// Where the lock of a pipeline is read and written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LockPlace {
    pub(crate) read: PathBuf,
    pub(crate) written: PathBuf,
}

impl LockPlace {
    /// The place of the lock of the pipeline file `file`; `named` is the file that the caller named.
    ///
    /// A lock next to the pipeline file is read before one in the output folder, which is written where the pipeline file's
    /// own folder cannot be.
    ///
    /// # Errors
    /// [`Error::LockWrite`] for a named file that `mode` would write and cannot.
    pub(crate) fn find(named: Option<&Path>, file: &Path, layout: &OutputLayout, mode: LockMode) -> Result<Self> {
        if let Some(named) = named {
            let checked = if mode.writes() { try_to_write(named) } else { Ok(()) };
            checked.map_err(|source| Error::LockWrite { path: named.to_owned(), source: source.into() })?;
            return Ok(Self { read: named.to_owned(), written: named.to_owned() });
        }
        let (next_to_file, in_output) = (lock_file(file), layout.lock(file));
        let has_in_output = !next_to_file.exists() && in_output.exists();
        let read = if has_in_output { in_output.clone() } else { next_to_file.clone() };
        let written = if mode.writes() && try_to_write(&next_to_file).is_err() { in_output } else { next_to_file };
        Ok(Self { read, written })
    }
}

/// Whether a file can be made next to `path`, in a folder that is made for it where it does not exist.
fn try_to_write(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs_err::create_dir_all(folder)?;
    tempfile::Builder::new().prefix(planforge_core::TEMPORARY_PREFIX).tempfile_in(folder).map(drop).map_err(|error| {
        std::io::Error::new(error.kind(), format!("failed to create a file in `{}`: {error}", folder.display()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_next_to_the_file_is_read_first_and_written_where_that_is_possible() {
        let root = tempfile::tempdir().unwrap();
        let (file, output) = (root.path().join("p/tiny.toml"), root.path().join("out"));
        fs_err::create_dir(root.path().join("p")).unwrap();
        let layout = OutputLayout::new(&output, &"tiny".to_owned().try_into().unwrap());
        let (own, other) = (root.path().join("p/tiny.lock"), output.join("tiny/tiny.lock"));
        let find = |mode| LockPlace::find(None, &file, &layout, mode).unwrap();
        let place = |read: &Path, written: &Path| LockPlace { read: read.to_owned(), written: written.to_owned() };
        assert_eq!(find(LockMode::Write), place(&own, &own));
        assert_eq!(fs_err::read_dir(root.path().join("p")).unwrap().count(), 0);
        fs_err::create_dir_all(other.parent().unwrap()).unwrap();
        fs_err::write(&other, "").unwrap();
        assert_eq!(find(LockMode::Frozen), place(&other, &own));
        fs_err::write(&own, "").unwrap();
        assert_eq!(find(LockMode::Write), place(&own, &own));
        let named = root.path().join("locks/x.lock");
        let found = LockPlace::find(Some(&named), &file, &layout, LockMode::Write).unwrap();
        assert_eq!(found, place(&named, &named));
        // A file is not a folder, whoever looks.
        let error = LockPlace::find(Some(&own.join("x")), &file, &layout, LockMode::Update).unwrap_err();
        assert!(matches!(error, Error::LockWrite { .. }), "{error}");
        assert!(LockPlace::find(Some(&own.join("x")), &file, &layout, LockMode::Default).is_ok());
    }
}
