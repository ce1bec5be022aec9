//! The file of an engine.

use planforge_core::{Digest, digest_bytes};
use rustix::fs::{FallocateFlags, fallocate};
use std::io::{self, Write};
use std::path::Path;

/// Bytes of an engine that are written at once. The kernel makes pieces of its page cache as large; larger ones it takes from
/// memory that was not used for long, which a virtual machine's host then has to find, and smaller ones cost more each.
/// Medians of eight runs on one with 2 processors that other work shared: 724 MB take 0.38 s into blocks reserved before, in
/// pieces of 8 KiB 0.47 s (0.50 s into others), and of 32 KiB 0.44 s, but anything from 0.2 to 1.2 s.
const PIECE_BYTE_COUNT: usize = 1 << 14;

/// Writes a file and digests its bytes meanwhile: either takes a second for a large engine.
pub(crate) fn write_and_digest(path: &Path, bytes: &[u8]) -> io::Result<Digest> {
    std::thread::scope(|scope| {
        let digest = scope.spawn(|| digest_bytes(bytes));
        let mut file = fs_err::File::create(path)?;
        // A file system that cannot reserve blocks finds them with every piece.
        let _ = fallocate(file.file(), FallocateFlags::empty(), 0, bytes.len() as u64);
        bytes.chunks(PIECE_BYTE_COUNT).try_for_each(|piece| file.write_all(piece))?;
        Ok(digest.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_holds_all_bytes_and_the_digest_is_theirs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.plan");
        let bytes: Vec<u8> = (0..3 * PIECE_BYTE_COUNT + 7).map(|index| index as u8).collect();
        assert_eq!(write_and_digest(&path, &bytes).unwrap(), digest_bytes(&bytes));
        assert_eq!(fs_err::read(path).unwrap(), bytes);
    }
}
