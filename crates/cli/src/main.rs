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
mod version;

fn main() -> std::process::ExitCode {
    commands::dispatch()
}
