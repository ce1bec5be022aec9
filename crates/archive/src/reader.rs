//! Reads a tar.gz file of unknown origin, entry by entry, within bounds of time and memory.

use crate::InvalidArchive;
use crate::sparse::SparseRecords;
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
    pub kind: EntryKind,
    /// What the file holds, the holes of a sparse one filled with zeros.
    pub content: &'a mut dyn Read,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A folder.
    Folder,
    /// A file of this number of bytes.
    File(u64),
    /// A symbolic link to this target.
    Link(PathBuf),
    /// Another path of the file that this target is, from the archive's top.
    HardLink(PathBuf),
    /// A device or a pipe.
    Other,
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
    let counts = Rc::clone(&input.counts);
    let mut tar = Archive::new(input);
    let mut totals = Totals::default();
    let mut entries = tar.entries().map_err(fault)?;
    // Content of the entry before that is still to be skipped.
    let mut unread = 0;
    loop {
        counts.header_bytes.set(Some(MOST_HEADER_BYTES.saturating_add(unread)));
        let Some(entry) = entries.next() else { break };
        let mut entry = entry.map_err(fault)?;
        counts.header_bytes.set(None);
        let before = counts.read.get();
        show(&mut entry, |byte_count| totals.add(byte_count, limits), &mut visit)?;
        unread = 0;
        if entry.header().entry_type() == EntryType::GNUSparse {
            // Its holes are not read for nothing: they may be larger than any disk.
            let stored = entry.header().entry_size().map_err(fault)?;
            unread = stored.saturating_sub(counts.read.get() - before);
        } else {
            // The rest of its content must not be taken for the next header.
            io::copy(&mut entry, &mut io::sink()).map_err(fault)?;
        }
    }
    counts.header_bytes.set(None);
    // What follows the end mark is padding; reading it checks gzip's own checksum.
    io::copy(&mut tar.into_inner(), &mut io::sink()).map_err(fault)?;
    Ok(totals.byte_count)
}

/// Bytes and entries so far.
#[derive(Default)]
struct Totals {
    byte_count: u64,
    entry_count: u64,
}

impl Totals {
    fn add(&mut self, byte_count: u64, limits: UnpackLimits) -> Result<(), InvalidArchive> {
        self.entry_count += 1;
        self.byte_count = self.byte_count.saturating_add(byte_count);
        if self.entry_count > limits.entry_count {
            return Err(InvalidArchive::TooManyEntries(limits.entry_count));
        }
        if self.byte_count > limits.byte_count {
            return Err(InvalidArchive::TooLarge(limits.byte_count));
        }
        Ok(())
    }
}

/// Shows one entry, after its size was counted.
fn show<R: Read, E: From<InvalidArchive>>(
    entry: &mut Entry<'_, R>,
    count: impl FnOnce(u64) -> Result<(), InvalidArchive>,
    visit: &mut impl FnMut(ArchiveEntry<'_>) -> Result<(), E>,
) -> Result<(), E> {
    if let Some(records) = SparseRecords::of(entry)? {
        let (stored, byte_count) = (entry.size(), records.byte_count);
        count(byte_count.max(stored))?;
        let path = match &records.name {
            Some(name) => path_of(name)?,
            None => path_of(&entry.path().map_err(fault)?)?,
        };
        let mut content = records.open(&mut *entry, stored)?;
        return visit(ArchiveEntry { path, kind: EntryKind::File(byte_count), content: &mut content });
    }
    count(entry.size())?;
    // Archives of `git archive` begin with the commit, which is not a file.
    if entry.header().entry_type() == EntryType::XGlobalHeader {
        return Ok(());
    }
    let path = path_of(&entry.path().map_err(fault)?)?;
    visit(ArchiveEntry { path, kind: kind_of(entry)?, content: entry })
}

fn kind_of(entry: &Entry<'_, impl Read>) -> Result<EntryKind, InvalidArchive> {
    let target = || {
        let target = entry.link_name().map_err(fault)?.unwrap_or_default().into_owned();
        if target.as_os_str().len() > MOST_PATH_BYTES { Err(too_long(&target)) } else { Ok(target) }
    };
    Ok(match entry.header().entry_type() {
        EntryType::Directory => EntryKind::Folder,
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => EntryKind::File(entry.size()),
        EntryType::Symlink => EntryKind::Link(target()?),
        EntryType::Link => EntryKind::HardLink(target()?),
        _ => EntryKind::Other,
    })
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
    error.into()
}

/// The path of an entry without `.`.
fn path_of(written: &Path) -> Result<PathBuf, InvalidArchive> {
    if written.as_os_str().len() > MOST_PATH_BYTES {
        return Err(too_long(written));
    }
    let (mut path, mut count) = (PathBuf::new(), 0);
    for component in written.components() {
        match component {
            Component::Normal(part) => path.push(part),
            Component::CurDir => continue,
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                return Err(InvalidArchive::UnsafePath(written.to_string_lossy().into_owned()));
            }
        }
        count += 1;
    }
    if count > MOST_PATH_PARTS { Err(too_long(written)) } else { Ok(path) }
}

fn too_long(path: &Path) -> InvalidArchive {
    InvalidArchive::LongPath(path.to_string_lossy().chars().take(60).collect())
}

/// What a tar file is read from: the bytes of it all, and those of each entry's header, have a bound.
struct Bounded<R> {
    input: R,
    limits: UnpackLimits,
    left: u64,
    counts: Rc<Counts>,
}

/// What has been read, and may be.
#[derive(Default)]
struct Counts {
    /// Bytes that may still be read for the header of an entry; none while its content is read.
    header_bytes: Cell<Option<u64>>,
    /// Bytes that were read.
    read: Cell<u64>,
}

impl<R> Bounded<R> {
    fn new(input: R, limits: UnpackLimits) -> Self {
        // Headers and padding come on top of the files; the bound keeps a small archive from unpacking without end in
        // places where no entry is counted.
        let headers = limits.entry_count.saturating_mul(2048).saturating_add(MOST_HEADER_BYTES);
        Self { input, limits, left: limits.byte_count.saturating_add(headers), counts: Rc::default() }
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.left = self
            .left
            .checked_sub(count as u64)
            .ok_or_else(|| io::Error::other(InvalidArchive::TooLarge(self.limits.byte_count)))?;
        self.counts.read.set(self.counts.read.get() + count as u64);
        if let Some(left) = self.counts.header_bytes.get() {
            let left = left.checked_sub(count as u64);
            self.counts.header_bytes.set(Some(left.ok_or_else(|| io::Error::other(InvalidArchive::LongHeader))?));
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests;
