//! Checksums as S3 writes them.

use base64::prelude::{BASE64_STANDARD, Engine};
use md5::Digest as _;
use planforge_core::digest_bytes;
use planforge_store::{Part, Result, Source};
use planforge_types::Digest;
use std::io::{self, Read, Seek, SeekFrom, Write};

/// Whether `checksum`, as S3 reports it, is that of this file. One of other parts counts as agreeing.
pub(crate) fn agrees(source: &Source, checksum: &str) -> bool {
    match checksum.split_once('-') {
        Some((value, count)) => count != source.parts.len().to_string() || value == composite(source),
        // Some servers leave the number of parts out.
        None => checksum == base64(&source.sha256) || checksum == composite(source),
    }
}

/// A digest in Base64.
pub(crate) fn base64(digest: &Digest) -> String {
    BASE64_STANDARD.encode(bytes_of(digest))
}

/// SHA-256 of the parts' digests in Base64, without the number of parts.
fn composite(source: &Source) -> String {
    let raw: Vec<u8> = source.parts.iter().flat_map(|part| bytes_of(&part.sha256)).collect();
    base64(&digest_bytes(&raw))
}

/// MD5 of bytes in Base64, as `Content-MD5` has it.
pub(crate) fn content_md5(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(md5::Md5::digest(bytes))
}

/// MD5 of a part in Base64.
pub(crate) fn part_md5(source: &Source, part: &Part) -> Result<String> {
    Ok(BASE64_STANDARD.encode(raw_md5(source, part)?))
}

/// MD5 of a part in hexadecimal, which is a part's `ETag` where it is not encrypted with a key of KMS.
pub(crate) fn md5(source: &Source, part: &Part) -> Result<String> {
    Ok(raw_md5(source, part)?.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn raw_md5(source: &Source, part: &Part) -> Result<Vec<u8>> {
    let mut file = fs_err::File::open(&source.path)?;
    file.seek(SeekFrom::Start(part.offset))?;
    let mut hasher = Md5Writer(md5::Md5::new());
    io::copy(&mut file.take(part.byte_count), &mut hasher)?;
    Ok(hasher.0.finalize().to_vec())
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

fn bytes_of(digest: &Digest) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap_or(0) as u8;
    digest.as_str().as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use planforge_core::NoProgress;

    fn source(content: &[u8], part_size: u64) -> Source {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs_err::write(file.path(), content).unwrap();
        let source = Source::read(file.path(), "text/plain", None, part_size, &NoProgress).unwrap();
        assert_eq!(md5(&source, &source.parts[0]).unwrap().len(), 32);
        source
    }

    #[test]
    fn checksums_are_those_that_s3_reports() {
        // Reported by SeaweedFS 4.48 for 1000 times "x"; and, of 5 MiB of "z" and those, for an upload in two parts.
        let whole = "RPg1RJSlugO6F5Ko0+nFNMR6kYGYD956P0SwbvKufH8=";
        let one = source(&[b'x'; 1000], 5 << 20);
        assert_eq!(base64(&one.sha256), whole);
        assert!(agrees(&one, whole) && agrees(&one, "other-2") && !agrees(&one, "other"));
        let two = source(&[vec![b'z'; 5 << 20], vec![b'x'; 1000]].concat(), 5 << 20);
        assert_eq!(base64(&two.parts[1].sha256), whole);
        assert!(agrees(&two, "/rl4aD+L8gWQPGF1CJnFvAhMFweod+dxrMxG54efSQE=-2"));
        assert!(!agrees(&two, "RPg1RJSlugO6F5Ko0+nFNMR6kYGYD956P0SwbvKufH8=-2"));
    }
}
