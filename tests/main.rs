//! Behaviour through the binary.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::print_stdout, reason = "a test that is skipped says so")]

mod bad_input;
mod help;
mod interrupts;
mod job;
mod real_model;
mod support;
