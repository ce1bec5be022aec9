//! The one place that touches TensorRT and CUDA: building engines from ONNX, reading their headers, finding the GPUs of
//! this machine, running engines on them, and putting weights into those that were built without.
//!
//! The libraries are opened at run time. Building needs no GPU and no CUDA driver. Native code can
//! crash, so callers run [`build_engine`] in a process of its own.

mod build;
mod error;
mod gpu;
mod header;
mod library;
mod run;
mod trtexec;
mod types;

pub use build::{
    BuildRequest, BuiltEngine, EngineTensor, LeftOut, ProfileShapes, SerializedEngine, Severity, build_engine,
};
pub use error::{Error, Result};
pub use gpu::{LocalGpu, has_cuda_driver, local_gpus};
pub use header::{Header, read_header};
pub use library::{Libraries, OpenLibraries, library_version, parser_version, supported_version};
pub use planforge_types::{HardwareCompatibility, InputShapes, WeightTransform};
pub use run::{
    EngineInterface, Execution, ExecutionOptions, Gpu, Input, KernelSpecialization, LoadedEngine, MappedFile, Output,
    Runtime, Timings, WeightValues, check_fit, choose_profile,
};
pub use trtexec::{BuiltPlan, PlanRequest, PlanType, TrtexecVersion, build_plan, plan_arguments, trtexec_version};
pub use types::{NetworkTypes, Product};
