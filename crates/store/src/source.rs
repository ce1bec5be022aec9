//! A file to upload: its digest, and those of its parts.

use crate::{Error, Result};
use planforge_core::DigestWriter;
use planforge_types::{Digest, Progress};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};

/// Bytes read at once, and how many such blocks wait to be digested.
const BLOCK: usize = 256 << 10;
const BLOCKS: usize = 8;

/// A file to upload. Its content had these digests when it was read.
#[derive(Debug, Clone)]
pub struct Source {
    /// The file.
    pub path: PathBuf,
    /// Its media type.
    pub content_type: &'static str,
    /// Its SHA-256.
    pub sha256: Digest,
    /// Its size.
    pub byte_count: u64,
    /// Its parts in order, at least one.
    pub parts: Vec<Part>,
}

/// A part of the file.
#[derive(Debug, Clone)]
pub struct Part {
    /// From 1.
    pub number: i32,
    /// Where it begins.
    pub offset: u64,
    /// Its size.
    pub byte_count: u64,
    /// Its SHA-256.
    pub sha256: Digest,
}

impl Source {
    /// Reads `path` in parts of `part_size` bytes; where it was recorded it must have the digest `recorded`. It is read
    /// once; another thread digests the whole.
    ///
    /// # Errors
    /// [`Error::Changed`] for another digest, I/O errors and cancellation.
    pub fn read(
        path: &Path,
        content_type: &'static str,
        recorded: Option<&Digest>,
        part_size: u64,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let mut file = fs_err::File::open(path)?;
        let (parts, sha256) = std::thread::scope(|scope| {
            let (blocks, of_thread) = mpsc::sync_channel::<Arc<Vec<u8>>>(BLOCKS);
            let whole = scope.spawn(move || {
                let mut whole = DigestWriter::new(io::sink());
                of_thread.iter().try_for_each(|block| whole.write_all(&block)).map(|()| whole.finish().1)
            });
            let parts = read_parts(&mut file, part_size, &blocks, progress);
            drop(blocks);
            let sha256 = whole.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            Ok::<_, Error>((parts?, sha256?))
        })?;
        if let Some(recorded) = recorded.filter(|recorded| **recorded != sha256) {
            return Err(Error::Changed { path: path.to_owned(), recorded: recorded.clone(), found: sha256 });
        }
        let byte_count = parts.iter().map(|part| part.byte_count).sum();
        Ok(Self { path: path.to_owned(), content_type, sha256, byte_count, parts })
    }
}

/// The parts of a file, at least one. The bytes are passed on too.
fn read_parts(
    file: &mut fs_err::File,
    part_size: u64,
    blocks: &mpsc::SyncSender<Arc<Vec<u8>>>,
    progress: &dyn Progress,
) -> Result<Vec<Part>> {
    let (mut parts, mut offset) = (Vec::new(), 0);
    loop {
        let (mut digest, mut byte_count) = (DigestWriter::new(io::sink()), 0);
        while byte_count < part_size {
            if progress.is_cancelled() {
                return Err(planforge_core::Error::Cancelled.into());
            }
            let mut block = Vec::with_capacity(BLOCK);
            let wanted = (part_size - byte_count).min(BLOCK as u64);
            if file.take(wanted).read_to_end(&mut block)? == 0 {
                break;
            }
            byte_count += block.len() as u64;
            let block = Arc::new(block);
            // The other end takes blocks until this one is dropped.
            let _ = blocks.send(Arc::clone(&block));
            digest.write_all(&block)?;
        }
        if byte_count == 0 && !parts.is_empty() {
            return Ok(parts);
        }
        let number = i32::try_from(parts.len() + 1).unwrap_or(i32::MAX);
        parts.push(Part { number, offset, byte_count, sha256: digest.finish().1 });
        offset += byte_count;
        if byte_count < part_size {
            return Ok(parts);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use planforge_core::digest_bytes;
    use planforge_types::NoProgress;

    #[test]
    fn parts_cover_the_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (length, part_size, expected) in [(0, 4, vec![0]), (3, 4, vec![3]), (4, 4, vec![4]), (9, 4, vec![4, 4, 1])]
        {
            let content = &b"abcdefghi"[..length];
            fs_err::write(file.path(), content).unwrap();
            let source =
                Source::read(file.path(), "text/plain", Some(&digest_bytes(content)), part_size, &NoProgress).unwrap();
            assert_eq!(source.parts.iter().map(|part| part.byte_count).collect::<Vec<_>>(), expected);
            assert_eq!(source.byte_count, length as u64);
            assert_eq!(source.parts.last().unwrap().number as usize, expected.len());
        }
    }

    #[test]
    fn a_file_with_another_digest_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs_err::write(file.path(), "b").unwrap();
        let error = Source::read(file.path(), "text/plain", Some(&digest_bytes(b"a")), 4, &NoProgress).unwrap_err();
        assert!(matches!(error, Error::Changed { .. }), "{error}");
    }
}
