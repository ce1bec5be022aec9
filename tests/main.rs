//! Behaviour through the binary.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bad_input;
mod bf16;
mod cache;
mod disks;
mod engine_worker;
mod engines;
mod fake_gpu;
mod families;
mod fetch;
mod full_size;
mod gpu;
mod help;
mod huggingface_hub;
mod images;
mod inspect;
mod interrupts;
mod job;
mod kills;
mod lock;
mod mistakes;
mod parity;
mod pass_through;
mod plan;
mod pytorch;
mod ranges;
mod real_model;
mod reference;
mod repeatable;
mod stores;
mod stripped;
mod support;
mod terminal;
#[cfg(feature = "torch")]
mod torchscript;
mod triton;
mod trtexec;
