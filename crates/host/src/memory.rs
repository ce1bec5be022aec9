//! How much memory this process holds: its resident set, from `/proc/self/smaps_rollup`, which is
//! exact where the cheaper `/proc/self/statm` may be off by some pages for each processor.
//!
//! # What is in it
//! ONNX Runtime keeps matrix weights in packed copies of its own, and maps the rest, such as embedding
//! tables, from the model's files. The resident set has the copies, and of the tables the pages that
//! requests have touched. Measured for all-MiniLM-L6-v2 (fp32, 91 MB of files): 43 MiB of copies, 51 MiB
//! with the pages that a request of 128 varied tokens touches, 87 MiB with those of 16 such rows. The
//! first model of a process takes 10 to 14 MiB more for pages of ONNX Runtime itself.
//!
//! # The allocator
//! With its default settings the GNU C library learns to keep large blocks, and often next to nothing
//! comes back when a model is unloaded: with all of six copies gone, up to 310 of 314 MiB were still
//! there. A fixed
//! threshold above which blocks are mapped one by one makes every copy give back what it took. It costs
//! time, since large intermediate results are then mapped anew for each inference; large pages take
//! some of that back. A process that serves should be started with
//!
//! ```text
//! MALLOC_ARENA_MAX=2
//! MALLOC_MMAP_THRESHOLD_=524288
//! MALLOC_TRIM_THRESHOLD_=16777216
//! GLIBC_TUNABLES=glibc.malloc.hugetlb=1
//! ```

use std::io;

/// Growth of this process since a starting point.
#[derive(Debug)]
pub(crate) struct Memory {
    start: u64,
}

impl Memory {
    /// Takes what the process holds now as the starting point.
    ///
    /// # Errors
    /// The kernel's account cannot be read.
    pub(crate) fn start() -> io::Result<Self> {
        Ok(Self { start: resident()? })
    }

    /// Bytes the process has grown by; 0 while it is smaller than at the start.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub(crate) fn used(&self) -> io::Result<u64> {
        Ok(resident()?.saturating_sub(self.start))
    }
}

/// Resident bytes of this process.
fn resident() -> io::Result<u64> {
    let rollup = fs_err::read_to_string("/proc/self/smaps_rollup")?;
    byte_count(&rollup, "Rss:").ok_or_else(|| io::Error::other("`/proc/self/smaps_rollup` has no line `Rss:`"))
}

/// The value of a line `Rss:   1234 kB`.
fn byte_count(rollup: &str, name: &str) -> Option<u64> {
    let line = rollup.lines().find_map(|line| line.strip_prefix(name))?;
    let count: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    count.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read() {
        let rollup = "7f00-7fff ---p 00000000 00:00 0   [rollup]\nRss:          2048 kB\nPss:    12 kB\n";
        assert_eq!(byte_count(rollup, "Rss:"), Some(2 << 20));
        assert_eq!(byte_count(rollup, "Pss:"), Some(12 << 10));
        assert_eq!(byte_count(rollup, "Anonymous:"), None);
    }
}
