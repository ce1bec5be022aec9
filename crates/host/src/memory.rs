//! How much memory this process holds.

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

    #[test]
    fn touched_memory_is_seen_and_given_back() {
        let memory = Memory::start().unwrap();
        let block = vec![1_u8; 64 << 20];
        let used = memory.used().unwrap();
        assert!(used >= 60 << 20, "{used}");
        drop(block);
        assert!(memory.used().unwrap() < used - (50 << 20));
    }
}
