//! The words the rest of planforge speaks: the pipeline file, tensors and precisions, the GPU
//! catalogue, digests, the artifact cache, progress events, and the wire types of the endpoint.
//!
//! Nothing here talks to the network, prints, or reads the environment.

mod access_token;
mod artifact;
mod bounded;
mod cache;
mod capacity;
mod card;
mod check;
mod child;
mod commit;
mod descriptors;
mod digest;
mod digest_cache;
mod engine;
mod error;
mod file_lock;
mod files;
mod gpu;
mod kserve;
mod layout;
mod lock;
mod nearest;
mod onnx_route;
mod platform;
mod probed;
mod sagemaker;
mod secrets;
mod server_metrics;
mod spec;
mod triton;
mod weights;

pub use access_token::{ACCESS_TOKEN_VARIABLE, AccessToken, InvalidAccessToken};
pub use artifact::{
    Archive, ArtifactFile, CachedArtifact, LatencySummary, LoadPoint, LoadResult, Model, Published, Snapshot, Variant,
};
pub use bounded::{
    MAX_DOCUMENT_BYTE_COUNT, MAX_FILE_COUNT, MAX_GRAPH_BYTE_COUNT, MAX_PIPELINE_BYTE_COUNT, open_bounded, open_file,
    read_file, read_text,
};
pub use cache::{Cache, CacheEntry, CacheKey, CacheKind, CacheUse, Corruption, PruneRule};
pub use capacity::{BATCHES, CONTEXT_BYTE_COUNT, CopyMemory, recommended_max_batch};
pub use card::ModelCard;
pub use check::CheckFacts;
pub use child::{
    ChildProgram, end_child, end_without_answer, exit_when_stdin_ends, peak_resident_byte_count, read_request,
    resident_byte_count, send_request, start_child, wait_for_end_of_stdin,
};
pub use commit::Commit;
pub use descriptors::{OWN_DESCRIPTORS, allowed_descriptors, raise_descriptor_limit};
pub use digest::{DigestWriter, digest_bytes, digest_file};
pub use digest_cache::DigestCache;
pub use engine::{BuilderFigures, Engine, EngineHeader};
pub use error::{Error, Result};
pub use file_lock::{FileLock, try_lock, try_lock_shared};
pub use files::{
    SmallWrites, TEMPORARY_PREFIX, copy, create_atomically, link_or_copy, remove_abandoned, replace_file,
    symlink_or_copy, write_atomically,
};
pub use gpu::{Builder, BuilderOptions, BuilderSupport, Gpu, GpuCatalogue, Instance};
pub use kserve::{InferRequest, InferResponse, InferTensor, RequestBody, RequestedOutput, TensorData};
pub use layout::{OutputLayout, copy_name, lock_file};
pub use lock::{Difference, Fact, ItemKind, Lock, LockedEngine, LockedFile, LockedSource};
pub use onnx_route::onnx_route;
pub use planforge_types::{
    ComputeCapability, DataType, Digest, Dim, ErrorKind, Event, EventKind, HardwareCompatibility, InputShapes,
    NoProgress, Outcome, Precision, Progress, Step, TensorSpec, WeightTransform, contained, fixed_batch, io_hint,
    keep_contained_panics_quiet,
};
pub use platform::{ModelFormat, OnnxBackend, Platform};
pub use probed::{Capacity, CapacityLimit, ConcurrentGrowth, Growths, PredictedCapacity, ProbeStep};
pub use sagemaker::{
    EndpointError, EndpointState, LoadedModel, MAX_BODY_BYTE_COUNT, MetricStatistics, TARGET_MODEL_HEADER,
    endpoint_name, invocations_path, state_path,
};
pub use secrets::mask_secrets;
pub use server_metrics::{
    GPU_MEMORY_TOTAL, GPU_MEMORY_USED, GPU_UTILIZATION, HOST_MEMORY_AVAILABLE, HOST_MEMORY_TOTAL, METRICS_FILE,
    METRICS_MODEL, SERVER_MEMORY_RESIDENT, metrics_outputs,
};
pub use spec::{
    AcceleratorSpec, Checksums, CompileSpec, Copies, EngineTarget, ExportSpec, HostContainer, HostSpec, ImageSize,
    InstanceKind, LoadSpec, LoadStage, MaxBatch, MemorySize, Mistake, ModelName, OptimizationLevel, PackageSpec,
    Pipeline, ProbeSpec, Profile, ProfileRange, SourceSpec, StorageClass, StoreSpec, Task, Threshold, TokenType,
    TritonSpec, max_batch, max_sequence, pipeline_reference, profiles_up_to,
};
pub use triton::TritonRelease;
pub use weights::{EngineWeight, EngineWeights, PlacedWeights, WeightPlace};
