//! Where the threads come from.

/// Threads that share work. One implementation is that of the program that calls, another is [`Here`].
pub trait Pool {
    /// How many there are, at least 1.
    fn threads(&self) -> usize;

    /// Calls `part` with each number below `parts` once, from any thread, and returns when all calls have.
    fn run(&self, parts: usize, part: &(dyn Fn(usize) + Sync));
}

/// The caller's thread alone.
#[derive(Debug, Clone, Copy, Default)]
pub struct Here;

impl Pool for Here {
    fn threads(&self) -> usize {
        1
    }

    fn run(&self, parts: usize, part: &(dyn Fn(usize) + Sync)) {
        (0..parts).for_each(part);
    }
}
