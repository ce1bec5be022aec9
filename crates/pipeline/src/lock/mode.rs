//! What is done with a lock.

/// What a run does with the lock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LockMode {
    /// Fetches the commit that it pins.
    #[default]
    Default,
    /// Fetches the commit that it pins, and writes what was made.
    Write,
    /// Fetches the commit that the revision stands for now, and writes what was made.
    Update,
    /// Fails where it does not hold, and never writes it.
    Frozen,
    /// Makes everything that it names, and nothing else.
    Rebuild,
}

impl LockMode {
    /// Whether the lock must exist.
    pub(crate) const fn needs_lock(self) -> bool {
        matches!(self, Self::Frozen | Self::Rebuild)
    }

    /// Whether the lock is written.
    pub(crate) const fn writes(self) -> bool {
        matches!(self, Self::Write | Self::Update)
    }
}
