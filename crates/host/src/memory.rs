//! How much memory models take: that of a GPU where the endpoint runs engines, that of a server that it has started, else
//! the process's own.
//!
//! Of a GPU it is what is free there, less than at the start, so it includes other programs on that GPU.
//!
//! Of the process it is the resident set, from `/proc/self/smaps_rollup`, which is
//! exact where the cheaper `/proc/self/statm` may be off by some pages for each processor.
//!
//! # What is in it
//! ONNX Runtime keeps matrix weights in packed copies of its own, and maps the rest, such as embedding
//! tables, from the model's files; all pages of these are read as the model is loaded. Working memory comes from the
//! session's arena, as in a server, and the arena keeps what the largest request so far needed until the model is unloaded. So a
//! model has its full size after one request of the largest size. The first model of a process takes 10 to 14 MiB more
//! for pages of ONNX Runtime itself.
//!
//! # The allocator
//! With its default settings the GNU C library learns to keep large blocks, and often next to nothing
//! comes back when a model is unloaded: with all of six copies gone, up to 310 of 314 MiB were still
//! there. A fixed threshold above which blocks are mapped one by one makes every copy give back what it took. A process that
//! serves should be started with
//!
//! ```text
//! MALLOC_ARENA_MAX=2
//! MALLOC_MMAP_THRESHOLD_=524288
//! MALLOC_TRIM_THRESHOLD_=16777216
//! ```

use crate::container::IsolatedServer;
use crate::resident::return_freed_memory;
use planforge_runtime::Gpu;
use std::io;
use std::sync::Arc;

/// Growth since a starting point.
#[derive(Debug)]
pub(crate) enum Memory {
    /// Of this process.
    Process { start: u64 },
    /// Of the processes of a server.
    Server { server: Arc<IsolatedServer>, start: u64 },
    /// Of models in a container whose memory cannot be read: the sizes of their archives' files.
    Counted,
    /// Of what is taken on a GPU.
    Gpu { gpu: Gpu, free_at_start: u64 },
}

impl Memory {
    /// Takes what is held now as the starting point, on the GPU of this number or in this process.
    ///
    /// # Errors
    /// The account of the kernel or of the driver cannot be read.
    pub(crate) fn start(gpu: Option<usize>) -> io::Result<Self> {
        let Some(ordinal) = gpu else { return Ok(Self::Process { start: resident()? }) };
        let gpu = Gpu::open(ordinal).map_err(io::Error::other)?;
        let free_at_start = gpu.free_byte_count().map_err(io::Error::other)?;
        Ok(Self::Gpu { gpu, free_at_start })
    }

    /// Takes what a server holds now as the starting point.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub(crate) fn of_server(server: Arc<IsolatedServer>) -> io::Result<Self> {
        Ok(Self::Server { start: server.resident_byte_count()?, server })
    }

    /// Whether it can be read at all.
    pub(crate) const fn is_seen(&self) -> bool {
        !matches!(self, Self::Counted)
    }

    /// Bytes that are held beyond the start; 0 while they are fewer. Nothing where they cannot be read.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub(crate) fn used(&self) -> io::Result<Option<u64>> {
        Ok(Some(match self {
            Self::Counted => return Ok(None),
            Self::Server { server, start } => server.resident_byte_count()?.saturating_sub(*start),
            Self::Process { start } => {
                return_freed_memory();
                resident()?.saturating_sub(*start)
            }
            Self::Gpu { gpu, free_at_start } => {
                free_at_start.saturating_sub(gpu.free_byte_count().map_err(io::Error::other)?)
            }
        }))
    }
}

/// Resident bytes of this process.
fn resident() -> io::Result<u64> {
    let rollup = fs_err::read_to_string("/proc/self/smaps_rollup")?;
    byte_count(&rollup, "Rss:").ok_or_else(|| io::Error::other("`/proc/self/smaps_rollup` has no line `Rss:`"))
}

/// The value of a line `Rss:   1234 kB`.
pub(crate) fn byte_count(rollup: &str, name: &str) -> Option<u64> {
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
