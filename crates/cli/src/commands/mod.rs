//! One file for each group of commands.

mod bench_engine;
mod cache;
mod context;
mod dispatch;
mod doctor;
mod endpoint;
mod gpus;
mod infer;
mod inspect;
mod internal;
mod lint;
mod metrics;
mod plan;
mod report;
mod run;
mod summary;
mod unpublish;
mod verify;

pub(crate) use dispatch::dispatch;
