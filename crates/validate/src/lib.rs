//! Runs exported models and engines on samples and compares their outputs with a reference.
//!
//! - [`check_model`]: an ONNX export, compared with itself without padding or with the fp32 export
//! - [`check_module`]: a TorchScript module, compared with the fp32 ONNX export
//! - [`EngineChecker`]: engines on a GPU of this machine, compared with ONNX Runtime
//! - [`values_beyond_fp16`]: the values of a model that binary16 would not hold
//! - [`compare`], [`cosine`], [`SampleOutputs`]: the comparison itself
//! - [`Samples`]: what models are run on
//!
//! Modules depend in this order: `error` · `bounded`, `process`, `torchscript` · `outputs`, `samples` · `compare`, `onnx` ·
//! `engine_run` · `model`, `module`, `engine`, `ranges`.

mod bounded;
mod compare;
mod engine;
mod engine_run;
mod error;
mod model;
mod module;
mod onnx;
mod outputs;
mod process;
mod ranges;
mod samples;
mod torchscript;

pub use compare::{Comparison, Tolerance, compare, cosine, max_absolute_difference, require_passed};
pub use engine::{CheckedEngine, EngineCheck, EngineChecker, EngineRunner, EngineVerdict};
pub use engine_run::{EngineRunRequest, EngineRunResponse, run_engine_here};
pub use error::{Error, Result};
pub use model::{ModelCheck, check_model};
pub use module::{ModuleCheck, check_module};
pub use onnx::{input_tensors, run_model, skip_reason};
pub use outputs::{SampleOutputs, append_samples, is_per_token, outputs_per_sample};
pub use ranges::{RangeCheck, values_beyond_fp16};
pub use samples::{Samples, lacks_tokenizer, takes_prepared_inputs};
pub use torchscript::{LIBTORCH_VERSION, require_libtorch};
