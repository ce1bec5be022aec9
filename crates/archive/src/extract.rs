//! Extracts an archive of unknown origin into a folder.

use crate::reader::{self, ArchiveEntry, UnpackLimits, read_entries};
use crate::{Error, InvalidArchive, Result};
use std::collections::HashSet;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use tar::EntryType;

/// Extracts the files of `archive` into the folder `target` and returns their bytes. After an error the folder holds a
/// part of them.
///
/// # Errors
/// [`Error::Invalid`] with the reason, or an I/O error of the target.
pub fn extract(archive: impl Read, target: &Path, limits: &UnpackLimits) -> Result<u64> {
    let mut target = Target { folder: target, folders: HashSet::new(), most_folders: limits.entry_count };
    read_entries(archive, *limits, |mut entry| target.add(&mut entry))
}

/// The folder that an archive is extracted to.
struct Target<'a> {
    folder: &'a Path,
    /// Folders in it, those that are entries and those that only contain one.
    folders: HashSet<PathBuf>,
    most_folders: u64,
}

impl Target<'_> {
    fn add(&mut self, entry: &mut ArchiveEntry<'_>) -> Result<()> {
        let shown = |path: &Path| path.to_string_lossy().into_owned();
        match entry.entry_type {
            EntryType::Directory => self.add_folder(&entry.path),
            EntryType::Regular | EntryType::Continuous => {
                self.add_folder(entry.path.parent().unwrap_or(Path::new("")))?;
                let output = match fs_err::File::create_new(self.folder.join(&entry.path)) {
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                        return Err(InvalidArchive::Duplicate(shown(&entry.path)).into());
                    }
                    output => output?,
                };
                copy(&mut entry.content, output)
            }
            _ => Err(InvalidArchive::EntryType(shown(&entry.path)).into()),
        }
    }

    fn add_folder(&mut self, path: &Path) -> Result<()> {
        let before = self.folders.len();
        for folder in path.ancestors().filter(|folder| !folder.as_os_str().is_empty()) {
            if !self.folders.insert(folder.to_owned()) {
                break;
            }
        }
        if self.folders.len() as u64 > self.most_folders {
            return Err(InvalidArchive::TooManyEntries(self.most_folders).into());
        }
        if self.folders.len() > before {
            fs_err::create_dir_all(self.folder.join(path))?;
        }
        Ok(())
    }
}

/// Copies like `io::copy`, but keeps apart which side failed.
fn copy(content: &mut dyn Read, mut output: fs_err::File) -> Result<()> {
    let mut buffer = vec![0; 256 << 10];
    loop {
        let count = content.read(&mut buffer).map_err(reader::fault)?;
        if count == 0 {
            return Ok(());
        }
        output.write_all(&buffer[..count]).map_err(Error::Io)?;
    }
}
