//! What the fields of a configuration say to each other and to the archive: what runs the model (`backend`), its inputs
//! and outputs (`tensors`) and those of whole batches (`batch_io`), how requests reach it (`scheduling`, `sequences`), its
//! warm-up (`warmup`), and files with elements (`files`).

mod backend;
mod batch_io;
mod check;
mod config;
mod files;
mod scheduling;
mod sequences;
mod tensors;
mod warmup;

pub(super) use check::check;
