//! The `planforge` command.
//!
//! The only crate with arguments, environment variables, printing and exit codes. `args` parses,
//! `settings` resolves, `commands` has one file for each command; the order of the stages is in crate `pipeline`.

mod args;
mod commands;
mod failure;
mod memory;
mod printer;
mod progress;
mod settings;
mod table;

/// Engines are the same bytes whatever planforge itself allocates.
#[global_allocator]
static HEAP: planforge_heap::SystemAllocator = planforge_heap::SystemAllocator;

fn main() -> std::process::ExitCode {
    commands::dispatch()
}
