//! The lock of a pipeline: which inputs, options and tools its artifacts were made of, and their digests.
//!
//! A lock has no time, machine, user or path in it, so two of them can be compared line by line.
//!
//! - `file`: what is in a lock, reading and writing
//! - `compare`: how two locks differ, and what remains of the older one

mod compare;
mod file;

pub use compare::{Difference, Fact, ItemKind};
pub use file::{Lock, LockedEngine, LockedFile, LockedSource};
