//! Heap addresses that repeat.
//!
//! TensorRT-RTX keeps parts of a network in tables that are ordered by address, and writes them to the engine in that
//! order. The C library's heap gives other addresses in every process, because the kernel randomises its place,
//! and because threads that compile kernels free memory at times of their own. So for one build, this crate answers
//! `malloc` and its kin itself: a thread's n-th allocation has an address that depends on nothing but what that
//! thread, and the threads before it, allocated and freed.
//!
//! - Each thread has an arena at a fixed address, given out in the order in which threads are started.
//! - Memory that another thread frees is not given out again: when it is freed is a matter of timing.
//! - Sizes have regions of their own, and the lowest free place is taken first, so a passing allocation whose size
//!   varies, such as a line of the log with a duration, leaves no trace behind.
//!
//! All other threads use the C library's heap as ever, and so does all Rust code of a program whose global allocator is
//! [`SystemAllocator`]. The C library is glibc.

mod arena;
mod interpose;
mod sizes;
mod system;

pub use interpose::with_deterministic_allocator;
pub use system::SystemAllocator;
