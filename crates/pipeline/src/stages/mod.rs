//! One file for each stage: a function from the context and earlier artifacts to the next artifact.

mod check;
mod compile;
mod engine_check;
mod export;
mod fetch;
mod host;
mod measure;
mod modules;
mod onnx_runtime;
mod outputs;
mod package;
mod precision;
mod publish;
mod serve;
mod served_check;

pub use check::{Checks, check};
pub use compile::{BuiltEngines, CompileRequest, compile, link_engines};
pub(crate) use compile::{builder_version, compile_options};
pub use engine_check::{EngineChecks, check_engines};
pub use export::{Exports, export};
pub use fetch::{FetchedSource, fetch};
pub(crate) use host::describe_endpoint;
pub use host::{start_endpoint, with_endpoint};
pub(crate) use measure::endpoint_client;
pub use measure::{load, probe};
pub(crate) use onnx_runtime::load_onnx_runtime;
pub(crate) use outputs::outcome;
pub use package::{PackagedVariants, package, write_provenance};
pub(crate) use precision::model_of;
pub use precision::{Export, export_precision};
pub use publish::{PublishedVariant, publish};
pub(crate) use serve::request_body;
pub use serve::{ServedVariant, ServingGpu, select_all_served, select_served};
pub use served_check::{ServedCheck, check_served};
