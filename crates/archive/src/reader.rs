//! Reads a tar.gz file of unknown origin, entry by entry, within bounds of time and memory.

use crate::InvalidArchive;
use flate2::read::MultiGzDecoder;
use std::cell::Cell;
use std::io::{self, BufReader, Read};
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;
use tar::{Archive, Entry, EntryType};

/// How much an archive may hold.
#[derive(Debug, Clone, Copy)]
pub struct UnpackLimits {
    /// Bytes of all files together.
    pub byte_count: u64,
    /// Entries, and the folders that contain them.
    pub entry_count: u64,
}

impl Default for UnpackLimits {
    fn default() -> Self {
        Self { byte_count: 16 << 30, entry_count: 10_000 }
    }
}

/// Longest path, which is also the longest that Linux takes.
const MOST_PATH_BYTES: usize = 4096;
/// Most folders and names in a path.
const MOST_PATH_PARTS: usize = 64;
/// Most bytes that say what an entry is: its header, a long name, extended attributes.
const MOST_HEADER_BYTES: u64 = 1 << 20;

/// One entry of an archive.
pub struct ArchiveEntry<'a> {
    /// Path from the archive's top, of names alone; empty for the top itself.
    pub path: PathBuf,
    /// What it is.
    pub entry_type: EntryType,
    /// What the file holds.
    pub content: &'a mut dyn Read,
}

/// Shows each entry of `file` to `visit`, reads the rest up to gzip's checksum, and returns the bytes of all files.
///
/// # Errors
/// Of `visit`; what is corrupt, leads out of the archive, or is more than `limits` allow.
pub fn read_entries<E: From<InvalidArchive>>(
    file: impl Read,
    limits: UnpackLimits,
    mut visit: impl FnMut(ArchiveEntry<'_>) -> Result<(), E>,
) -> Result<u64, E> {
    let input = Bounded::new(MultiGzDecoder::new(BufReader::new(file)), limits);
    let header_bytes = Rc::clone(&input.header_bytes);
    let mut tar = Archive::new(input);
    let (mut byte_count, mut entry_count) = (0_u64, 0_u64);
    let mut entries = tar.entries().map_err(fault)?;
    loop {
        header_bytes.set(Some(MOST_HEADER_BYTES));
        let Some(entry) = entries.next() else { break };
        let mut entry = entry.map_err(fault)?;
        header_bytes.set(None);
        entry_count += 1;
        byte_count = byte_count.saturating_add(entry.size());
        if entry_count > limits.entry_count {
            return Err(InvalidArchive::TooManyEntries(limits.entry_count).into());
        }
        if byte_count > limits.byte_count {
            return Err(InvalidArchive::TooLarge(limits.byte_count).into());
        }
        let entry_type = entry.header().entry_type();
        // Archives of `git archive` begin with the commit, which is not a file.
        if entry_type != EntryType::XGlobalHeader {
            visit(ArchiveEntry { path: path_of(&entry)?, entry_type, content: &mut entry })?;
        }
        // What was not read of it is no header of the next.
        io::copy(&mut entry, &mut io::sink()).map_err(fault)?;
    }
    header_bytes.set(None);
    // What follows the end mark is padding; reading it checks gzip's own checksum.
    io::copy(&mut tar.into_inner(), &mut io::sink()).map_err(fault)?;
    Ok(byte_count)
}

/// All of a text, called `file` in messages.
///
/// # Errors
/// [`InvalidArchive::LongText`] with more than `most` bytes, and errors of reading.
pub fn read_text(content: impl Read, file: &str, most: u64) -> Result<Vec<u8>, InvalidArchive> {
    let mut text = Vec::new();
    content.take(most + 1).read_to_end(&mut text).map_err(fault)?;
    if text.len() as u64 > most {
        return Err(InvalidArchive::LongText { file: file.to_owned(), most });
    }
    Ok(text)
}

/// An error of reading, or the fault that [`Bounded`] found.
pub(crate) fn fault(error: io::Error) -> InvalidArchive {
    error.downcast().unwrap_or_else(InvalidArchive::Unreadable)
}

/// The path of an entry without `.`.
fn path_of(entry: &Entry<'_, impl Read>) -> Result<PathBuf, InvalidArchive> {
    let written = entry.path().map_err(fault)?;
    let shown = |path: &Path| path.to_string_lossy().into_owned();
    let too_long = || InvalidArchive::LongPath(shown(&written).chars().take(60).collect());
    if written.as_os_str().len() > MOST_PATH_BYTES {
        return Err(too_long());
    }
    let (mut path, mut count) = (PathBuf::new(), 0);
    for component in written.components() {
        match component {
            Component::Normal(part) => path.push(part),
            Component::CurDir => continue,
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                return Err(InvalidArchive::UnsafePath(shown(&written)));
            }
        }
        count += 1;
    }
    if count > MOST_PATH_PARTS { Err(too_long()) } else { Ok(path) }
}

/// What a tar file is read from: the bytes of it all, and those of each entry's header, have a bound.
struct Bounded<R> {
    input: R,
    limits: UnpackLimits,
    left: u64,
    /// Bytes that may still be read for the header of an entry; none while its content is read.
    header_bytes: Rc<Cell<Option<u64>>>,
}

impl<R> Bounded<R> {
    fn new(input: R, limits: UnpackLimits) -> Self {
        // Headers and padding come on top of the files; the bound keeps a small archive from unpacking without end in
        // places where no entry is counted.
        let headers = limits.entry_count.saturating_mul(2048).saturating_add(MOST_HEADER_BYTES);
        Self { input, limits, left: limits.byte_count.saturating_add(headers), header_bytes: Rc::default() }
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.left = self
            .left
            .checked_sub(count as u64)
            .ok_or_else(|| io::Error::other(InvalidArchive::TooLarge(self.limits.byte_count)))?;
        if let Some(left) = self.header_bytes.get() {
            let left = left.checked_sub(count as u64);
            self.header_bytes.set(Some(left.ok_or_else(|| io::Error::other(InvalidArchive::LongHeader))?));
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests;
