//! File descriptors: how many this process may open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that a load test keeps for everything but the connections of its users.
pub const OWN_DESCRIPTORS: u64 = 100;

/// Most that is asked for where the system sets no limit.
const MOST: u64 = 1 << 20;

/// Descriptors that this process may open.
#[must_use]
pub fn allowed_descriptors() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(MOST)
}

/// Raises the soft limit of this process, and of those that it starts, to the hard one.
pub fn raise_descriptor_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.unwrap_or(MOST);
    if current.is_some_and(|current| current < wanted) {
        // Where the system refuses, the old limit holds, and commands that need more refuse to start.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum });
    }
}
