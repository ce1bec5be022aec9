//! Weights that a session maps from files, brought into memory as the model is loaded.
//!
//! ONNX Runtime maps what it does not pack itself, such as a table of word vectors, and the kernel reads a page of it when a
//! request first needs it. A model would seem smaller than it is for as long as its requests have few different words.

#![expect(unsafe_code, reason = "advice on a mapping is about addresses; the allocator is the C library's")]

use rustix::mm::{Advice, madvise};
use std::io;
use std::path::Path;

/// Reads all pages that this process maps of files in `folder`. Linux before 5.14 leaves them where they are.
///
/// # Errors
/// The list of mappings cannot be read.
pub(crate) fn make_resident(folder: &Path) -> io::Result<()> {
    let folder = fs_err::canonicalize(folder)?;
    for (start, end) in mappings(&fs_err::read_to_string("/proc/self/maps")?, &folder) {
        // SAFETY: this advice reads pages and changes none. A mapping that is gone by now is an error, which does no harm.
        let done = unsafe { madvise(std::ptr::without_provenance_mut(start), end - start, Advice::LinuxPopulateRead) };
        if let Err(error) = done {
            tracing::debug!(%error, "pages of weights stay on the disk until they are needed");
        }
    }
    Ok(())
}

/// Gives memory that was freed back to the kernel, so that what is held is what is in use. The allocator keeps up to
/// [the threshold](crate::memory) of small blocks otherwise.
pub(crate) fn return_freed_memory() {
    // SAFETY: takes no pointers, and may be called at any time from any thread.
    unsafe { libc::malloc_trim(0) };
}

/// First address and the one after the last of each mapping of a file in `folder`, of lines
/// `7f00-7fff r--p 00000000 fe:00 123   /folder/file`.
fn mappings<'a>(maps: &'a str, folder: &'a Path) -> impl Iterator<Item = (usize, usize)> + 'a {
    maps.lines().filter_map(move |line| {
        let (range, rest) = line.split_once(' ')?;
        let path = Path::new(rest.get(rest.find('/')?..)?);
        let (start, end) = range.split_once('-')?;
        let address = |digits| usize::from_str_radix(digits, 16).ok();
        path.starts_with(folder).then_some((address(start)?, address(end)?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_of_a_folder_are_found() {
        let maps = "1000-3000 r--p 00000000 fe:00 7   /w/0/model/1/model onnx.data\n\
                    3000-4000 r-xp 00000000 fe:00 8   /w/01/other\n4000-5000 rw-p 00000000 00:00 0   [heap]\n";
        assert_eq!(mappings(maps, Path::new("/w/0")).collect::<Vec<_>>(), [(0x1000, 0x3000)]);
    }
}
