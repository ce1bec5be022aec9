//! The order of the steps: the one place that knows it.

mod check;
mod compile;
mod endpoint;
mod engine_check;
mod engine_run;
mod infer;
mod inspect;
mod lock;
mod measure;
mod modules;
mod overrides;
mod packages;
mod plan;
mod ranges;
mod rows;
mod samples;
mod steps;
mod stores;
mod summary;
mod verify;
mod warm_up;

pub(crate) use check::cosine;
pub(crate) use compile::compile_together;
pub(crate) use endpoint::{HostAnswer, HostRequest};
pub(crate) use engine_run::{EngineRunRequest, answer_engine_run};
pub(crate) use infer::Inference;
pub(crate) use inspect::{ArchiveInspection, EngineInspection, Inspection};
pub(crate) use measure::Target;
pub(crate) use overrides::{LockUse, Overrides};
pub(crate) use plan::Plan;
pub(crate) use samples::Samples;
pub(crate) use steps::{Made, Run};
pub(crate) use stores::{open_store, unpublish_pipeline};
pub(crate) use summary::{capacity_line, load_table, summary};
pub(crate) use verify::{Verification, verify};
