//! The pipeline file: everything a user says about one model, and its checks.
//!
//! Values check themselves while they are parsed, so that an error carries file, line and key.

mod pipeline;
mod store;
mod tables;
mod targets;
mod triton;
mod values;

pub use pipeline::Pipeline;
pub use tables::{
    CompileSpec, ExportSpec, HostSpec, LoadSpec, LoadStage, PackageSpec, ProbeSpec, SourceSpec, StoreSpec,
};
pub use targets::EngineTarget;
pub use triton::{AcceleratorSpec, InstanceKind, TritonSpec};
pub use values::{
    Copies, ImageSize, MaxBatch, MemorySize, ModelName, OptimizationLevel, Profile, ProfileRange, StorageClass, Task,
    Threshold,
};
