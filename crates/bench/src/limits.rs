//! The largest load test.

/// Most concurrent users of one load test.
pub const MAX_USERS: u32 = 10_000;

/// Longest load test in seconds.
pub const MAX_SECONDS: u64 = 86_400;
