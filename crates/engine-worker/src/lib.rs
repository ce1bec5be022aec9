//! The program `planforge-engine-worker`: builds one engine in a process of its own, with TensorRT-RTX inside the
//! deterministic allocator or with `trtexec`.
//!
//! The only crate that uses the deterministic allocator, which replaces `malloc` of the whole process: a program linked
//! with this crate is a worker and nothing else.

mod error;
mod plan_file;
mod rtx;
mod run;
mod trtexec;

pub use run::run;
