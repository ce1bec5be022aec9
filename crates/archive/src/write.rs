//! Deterministic tar files: sorted entries, fixed owner, mode and time, inputs verified on the way.

use crate::gzip::gzip;
use crate::{Error, Result};
use planforge_core::{Digest, DigestWriter, Progress, SmallWrites, Step, digest_bytes};
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use tar::{Builder, EntryType, Header};

/// Most threads that compress one archive; more would wait for the disk.
const MOST_THREADS: usize = 16;

/// A file to pack: the origin of its bytes, and their digest.
#[derive(Debug)]
pub enum Content {
    /// Bytes in memory.
    Bytes(Vec<u8>),
    /// A file of an artifact.
    File {
        /// The file.
        path: PathBuf,
        /// Its recorded size.
        byte_count: u64,
        /// Its recorded digest.
        sha256: Digest,
    },
}

impl Content {
    /// Bytes of the file.
    #[must_use]
    pub const fn byte_count(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { byte_count, .. } => *byte_count,
        }
    }

    /// SHA-256 of the file.
    #[must_use]
    pub fn sha256(&self) -> Digest {
        match self {
            Self::Bytes(bytes) => digest_bytes(bytes),
            Self::File { sha256, .. } => sha256.clone(),
        }
    }
}

/// Files by their path in the archive; a `BTreeMap` keeps them sorted.
pub type Entries = BTreeMap<String, Content>;

/// Writes `entries` and the folders they need as tar.gz to `path`. Returns digest and size.
///
/// # Errors
/// I/O errors, [`Error::Changed`] when a file is not what it was recorded as, and cancellation.
pub fn write_archive(path: &Path, entries: &Entries, subject: &str, progress: &dyn Progress) -> Result<(Digest, u64)> {
    pack(SmallWrites(fs_err::File::create_new(path)?), entries, subject, progress)
}

/// Writes `entries` and the folders they need as tar.gz to `output`. Returns digest and size.
///
/// # Errors
/// As for [`write_archive`].
pub fn pack(
    output: impl Write + Send,
    entries: &Entries,
    subject: &str,
    progress: &dyn Progress,
) -> Result<(Digest, u64)> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS);
    let output = DigestWriter::new(output);
    let writer = gzip(output, threads, |tar| write_tar(tar, entries, subject, progress))?;
    let (_, digest, byte_count) = writer.finish();
    Ok((digest, byte_count))
}

fn write_tar(tar: &mut dyn Write, entries: &Entries, subject: &str, progress: &dyn Progress) -> Result<()> {
    let mut builder = Builder::new(tar);
    let mut done = 0;
    let mut last_folder = "";
    for (path, content) in entries {
        for folder in new_folders(path, last_folder) {
            builder.append_data(&mut header(EntryType::Directory, 0), folder, io::empty())?;
        }
        last_folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut header = header(EntryType::Regular, content.byte_count());
        match content {
            Content::Bytes(bytes) => builder.append_data(&mut header, path, bytes.as_slice())?,
            Content::File { path: source, byte_count, sha256 } => {
                let mut report = |read| {
                    progress.advanced(Step::Package, subject, done + read);
                    !progress.is_cancelled()
                };
                let file = fs_err::File::open(source)?;
                let mut reader =
                    CheckedReader { file, digest: DigestWriter::new(io::sink()), read: 0, report: &mut report };
                let copied = builder.append_data(&mut header, path, (&mut reader).take(*byte_count));
                if progress.is_cancelled() {
                    return Err(planforge_core::Error::Cancelled.into());
                }
                copied?;
                reader.verify(source, sha256)?;
            }
        }
        done += content.byte_count();
        progress.advanced(Step::Package, subject, done);
    }
    builder.finish()?;
    Ok(())
}

/// Folders of `path` that are not folders of the entry before it, outermost first, with a final `/`.
fn new_folders<'a>(path: &'a str, last_folder: &str) -> Vec<&'a str> {
    path.match_indices('/')
        .map(|(end, _)| &path[..=end])
        .filter(|folder| !format!("{last_folder}/").starts_with(folder))
        .collect()
}

/// A header without anything of the machine, the user or the clock in it.
fn header(entry_type: EntryType, byte_count: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(entry_type);
    header.set_size(byte_count);
    header.set_mode(if entry_type == EntryType::Directory { 0o755 } else { 0o644 });
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

/// Digests a file while it is packed, so that it is read once.
struct CheckedReader<'a> {
    file: fs_err::File,
    digest: DigestWriter<io::Sink>,
    read: u64,
    /// Takes the bytes read so far and returns whether to go on.
    report: &'a mut dyn FnMut(u64) -> bool,
}

impl Read for CheckedReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        const STEP: u64 = 1 << 20;
        let count = self.file.read(buffer)?;
        self.digest.write_all(&buffer[..count])?;
        let before = self.read / STEP;
        self.read += count as u64;
        if self.read / STEP > before && !(self.report)(self.read) {
            return Err(io::Error::other("interrupted"));
        }
        Ok(count)
    }
}

impl CheckedReader<'_> {
    /// The bytes read are the recorded ones; a file that has grown or shrunk has another digest too,
    /// once the rest is read.
    fn verify(mut self, path: &Path, recorded: &Digest) -> Result<()> {
        io::copy(&mut self.file, &mut self.digest)?;
        let (_, found, _) = self.digest.finish();
        if found == *recorded {
            return Ok(());
        }
        Err(Error::Changed { path: path.to_owned(), recorded: recorded.clone(), found })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_come_before_what_is_in_them_and_once() {
        assert_eq!(new_folders("m/1/a", ""), ["m/", "m/1/"]);
        assert!(new_folders("m/1/b", "m/1").is_empty());
        assert!(new_folders("m/config", "m/1").is_empty());
        assert_eq!(new_folders("m/10/b", "m/1"), ["m/10/"]);
        assert!(new_folders("top", "").is_empty());
    }
}
