//! The `planforge` command.
//!
//! The only crate with arguments, environment variables, printing and exit codes. `args` parses,
//! `settings` resolves, `pipeline` knows the order of the steps, `commands` has one file for each.

mod args;
mod child;
mod commands;
mod failure;
mod libtorch;
mod memory;
mod pipeline;
mod printer;
mod progress;
mod settings;
mod table;

/// Engines are the same bytes whatever planforge itself allocates.
#[global_allocator]
static HEAP: planforge_heap::PlainHeap = planforge_heap::PlainHeap;

fn main() -> std::process::ExitCode {
    commands::dispatch()
}
