//! The pipeline file: all settings of one model, and its checks.
//!
//! - `tables`, `host`, `triton`, `checksums`, `values`: the structs and values, whose comments are the reference
//! - `schema`: every mistake of a file at once, with line and key
//! - `pipeline`: the whole file, and contradictions between keys
//! - `reference`: the reference of the file, generated from all of these
//! - `targets`: the engines that it asks for

mod checksums;
mod host;
mod pipeline;
mod profiles;
mod reference;
mod schema;
mod store;
mod tables;
mod targets;
mod triton;
mod values;

pub use checksums::Checksums;
pub use host::{HostContainer, HostSpec};
pub use pipeline::Pipeline;
pub use profiles::{max_batch, max_sequence, profiles_up_to};
pub use reference::pipeline_reference;
pub use schema::Mistake;
pub use tables::{CompileSpec, ExportSpec, LoadSpec, LoadStage, PackageSpec, ProbeSpec, SourceSpec, StoreSpec};
pub use targets::EngineTarget;
pub use triton::{AcceleratorSpec, InstanceKind, TritonSpec};
pub use values::{
    Copies, ImageSize, MaxBatch, MemorySize, ModelName, OptimizationLevel, Profile, ProfileRange, StorageClass, Task,
    Threshold, TokenType,
};
