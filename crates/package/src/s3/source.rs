//! The archive as S3 sees it: its digest, and those of its parts.

use crate::{Error, Result};
use base64::prelude::{BASE64_STANDARD, Engine};
use md5::Digest as _;
use planforge_core::{Digest, DigestWriter, Progress, digest_bytes};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};

/// Bytes read at once, and how many such blocks wait to be digested.
const BLOCK: usize = 256 << 10;
const BLOCKS: usize = 8;

/// A file to upload. Its content was what `sha256` says when it was read.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) sha256: Digest,
    pub(super) byte_count: u64,
    pub(super) parts: Vec<Part>,
}

/// A part of the file.
#[derive(Debug, Clone)]
pub(super) struct Part {
    /// From 1.
    pub(super) number: i32,
    pub(super) offset: u64,
    pub(super) byte_count: u64,
    /// SHA-256 in Base64, as S3 writes it.
    pub(super) checksum: String,
}

impl Source {
    /// Reads `path`, which must have the digest `recorded`, in parts of `part_size` bytes. It is read once; a thread of
    /// its own digests the whole.
    pub(super) fn read(path: &Path, recorded: &Digest, part_size: u64, progress: &dyn Progress) -> Result<Self> {
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
        if sha256 != *recorded {
            let (path, recorded) = (path.to_owned(), recorded.clone());
            return Err(Error::Changed { path, recorded, found: sha256 });
        }
        let byte_count = parts.iter().map(|part| part.byte_count).sum();
        Ok(Self { path: path.to_owned(), sha256, byte_count, parts })
    }

    /// Whether `checksum`, as S3 tells it, is that of this file. One of parts that are not these tells nothing.
    pub(super) fn agrees(&self, checksum: &str) -> bool {
        match checksum.split_once('-') {
            Some((value, count)) => count != self.parts.len().to_string() || value == self.composite(),
            // Some servers leave the number of parts out.
            None => checksum == self.checksum() || checksum == self.composite(),
        }
    }

    /// SHA-256 of the file in Base64.
    pub(super) fn checksum(&self) -> String {
        base64(&self.sha256)
    }

    /// SHA-256 of the parts' digests in Base64, without the number of parts.
    fn composite(&self) -> String {
        let raw: Vec<u8> =
            self.parts.iter().flat_map(|part| BASE64_STANDARD.decode(&part.checksum).unwrap_or_default()).collect();
        base64(&digest_bytes(&raw))
    }

    /// MD5 of a part in hexadecimal, which is a part's `ETag` where it is not encrypted with a key of KMS.
    pub(super) fn md5(&self, part: &Part) -> Result<String> {
        let mut file = fs_err::File::open(&self.path)?;
        file.seek(SeekFrom::Start(part.offset))?;
        let mut hasher = Md5Writer(md5::Md5::new());
        io::copy(&mut file.take(part.byte_count), &mut hasher)?;
        Ok(hasher.0.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

struct Md5Writer(md5::Md5);

impl Write for Md5Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The parts of a file, at least one. What was read is passed on too.
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
            // It takes blocks until it is told that there are no more.
            let _ = blocks.send(Arc::clone(&block));
            digest.write_all(&block)?;
        }
        if byte_count == 0 && !parts.is_empty() {
            return Ok(parts);
        }
        let number = i32::try_from(parts.len() + 1).unwrap_or(i32::MAX);
        parts.push(Part { number, offset, byte_count, checksum: base64(&digest.finish().1) });
        offset += byte_count;
        if byte_count < part_size {
            return Ok(parts);
        }
    }
}

fn bytes_of(digest: &Digest) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap_or(0) as u8;
    digest.as_str().as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

/// A digest as S3 writes it.
fn base64(digest: &Digest) -> String {
    BASE64_STANDARD.encode(bytes_of(digest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use planforge_core::NoProgress;

    fn source(content: &[u8], part_size: u64) -> Source {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs_err::write(file.path(), content).unwrap();
        let source = Source::read(file.path(), &digest_bytes(content), part_size, &NoProgress).unwrap();
        assert_eq!(source.md5(&source.parts[0]).unwrap().len(), 32);
        source
    }

    #[test]
    fn parts_cover_the_file() {
        for (length, part_size, expected) in [(0, 4, vec![0]), (3, 4, vec![3]), (4, 4, vec![4]), (9, 4, vec![4, 4, 1])]
        {
            let source = source(&b"abcdefghi"[..length], part_size);
            assert_eq!(source.parts.iter().map(|part| part.byte_count).collect::<Vec<_>>(), expected);
            assert_eq!(source.byte_count, length as u64);
            assert_eq!(source.parts.last().unwrap().number as usize, expected.len());
        }
    }

    #[test]
    fn checksums_are_those_that_s3_tells() {
        // Told by SeaweedFS 4.48 for 1000 times "x"; and, of 5 MiB of "z" and those, for an upload in two parts.
        let whole = "RPg1RJSlugO6F5Ko0+nFNMR6kYGYD956P0SwbvKufH8=";
        let one = source(&[b'x'; 1000], 5 << 20);
        assert_eq!(one.checksum(), whole);
        assert!(one.agrees(whole) && one.agrees("other-2") && !one.agrees("other"));
        let two = source(&[vec![b'z'; 5 << 20], vec![b'x'; 1000]].concat(), 5 << 20);
        assert_eq!(two.parts[1].checksum, whole);
        assert!(two.agrees("/rl4aD+L8gWQPGF1CJnFvAhMFweod+dxrMxG54efSQE=-2"));
        assert!(!two.agrees("RPg1RJSlugO6F5Ko0+nFNMR6kYGYD956P0SwbvKufH8=-2"));
    }

    #[test]
    fn another_file_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs_err::write(file.path(), "b").unwrap();
        let error = Source::read(file.path(), &digest_bytes(b"a"), 4, &NoProgress).unwrap_err();
        assert!(matches!(error, Error::Changed { .. }), "{error}");
    }
}
