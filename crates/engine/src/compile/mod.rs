//! Model to engine: the parent's side of a build.
//!
//! Each build runs in a child process, so that a crash in native code is an error message and the memory goes back after
//! every engine.
//!
//! - `job`: one engine to build
//! - `engine`: one engine, found or built
//! - `shared`: what it is built from, and what of that checkpoints share
//! - `all`: several at once
//! - `context`: what they share
//! - `scheduler`: how many at once, by memory and processes
//! - `peak_history`: the memory a build is expected to take
//! - `builder`: what builders differ in
//! - `worker`, `child`: the program that builds, and one process of it
//! - `log`: figures from the builder's log
//! - `profiles`: shapes of every input
//! - `tail`: progress of the builder, from its log
//! - `verify`, `precision`: the engine against the request

mod all;
mod builder;
mod child;
mod context;
mod engine;
mod job;
mod log;
mod peak_history;
mod precision;
mod profiles;
mod scheduler;
mod shared;
mod tail;
mod verify;
mod worker;

pub use all::compile_all;
pub use engine::find_engine;
pub use job::{CompileJob, CompileOptions};
pub use log::builder_figures;
pub use profiles::check_profiles;
pub use scheduler::BuildLimits;
pub use shared::place_weights;
pub use worker::EngineWorker;
