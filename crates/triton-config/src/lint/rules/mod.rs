//! What the fields of a configuration say to each other and to the archive: what runs the model (`backend`), its inputs
//! and outputs (`tensors`), how requests reach it (`scheduling`), and its warm-up (`warmup`).

mod backend;
mod check;
mod config;
mod scheduling;
mod tensors;
mod warmup;

pub(super) use check::check;
