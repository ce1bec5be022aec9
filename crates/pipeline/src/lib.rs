//! From a pipeline file to a report: the only place that knows the order of the stages.
//!
//! [`run_pipelines`] runs them, up to a step that the caller names:
//!
//! | stage | function | from → to |
//! |---|---|---|
//! | select | [`select_variants`] | pipeline file, lock, GPU types → [`Selection`] |
//! | fetch | [`fetch`] | Hub or folder → [`FetchedSource`] |
//! | resolve plan | [`resolve_plan`] | selection, snapshot → [`BuildPlan`] (`max_batch` has the rule that picks `max_batch_size`) |
//! | export | [`export`] | snapshot → [`Exports`] |
//! | check | [`check`] | exports → [`Checks`] |
//! | compile | [`compile`], [`link_engines`], [`check_engines`] | models of several pipelines → [`BuiltEngines`], [`EngineChecks`] |
//! | package | [`package`] | exports, engines → [`PackagedVariants`] |
//! | lock | `Lock::from(&record)`, `check_or_write_lock`, [`write_provenance`] | record → lock file, provenance |
//! | publish | [`publish`] | archives → [`PublishedVariant`] |
//! | host | [`select_served`], [`start_endpoint`] | copies → endpoint |
//! | probe, load | [`probe`], [`load`] | endpoint → capacity, load result |
//! | report | `Report::from(&record)` | record → report files |
//!
//! Each stage is a function that is given the immutable [`PipelineContext`] and earlier artifacts, and returns its own. What is
//! decided on the way is in those values: nothing changes the context. [`RunRecord`] collects them.
//!
//! [`plan_memory`], [`infer`], [`inspect`], [`verify`] and [`unpublish_pipeline`] use the same stages for other commands.
//! Nothing here parses arguments, reads the environment or prints: events go to the context's `progress`.

mod context;
mod error;
mod error_kind;
mod estimate;
mod guess;
mod infer;
mod inspect;
mod lock;
mod machine;
mod max_batch;
mod memory_plan;
mod options;
mod overrides;
mod plan;
mod record;
mod report;
mod request_shape;
mod response;
mod run;
mod stages;
mod store;
mod torchscript;
mod unserved;
mod verify;
mod warm_up;

pub use context::PipelineContext;
pub use error::{Error, Result};
pub use guess::{Guess, GuessValue};
pub use infer::{Inference, InferenceRequest, infer, infer_served, inference_request};
pub use inspect::{ArchiveInspection, CostRow, EngineInspection, Inspection, inspect};
pub use lock::{LockMode, LockState};
pub use memory_plan::{MemoryPlan, plan_memory};
pub use options::{HubOptions, NativeLibraries, PipelineOptions, Workers};
pub use overrides::Overrides;
pub use plan::{BuildPlan, Selection, resolve_plan, select_variants};
pub use record::{Measured, RunRecord};
pub use request_shape::RequestShape;
pub use run::{run_pipeline, run_pipelines};
pub use stages::{
    BuiltEngines, Checks, CompileRequest, EngineChecks, Export, Exports, FetchedSource, PackagedVariants,
    PublishedVariant, ServedCheck, ServedVariant, ServingGpu, check, check_engines, check_served, compile, export,
    export_precision, fetch, link_engines, load, package, probe, publish, select_all_served, select_served,
    start_endpoint, with_endpoint, write_provenance,
};
pub use store::{Unpublished, open_store, unpublish_pipeline};
pub use unserved::Unserved;
pub use verify::{Verification, verify};
