//! What the model that measures a server answers with: the agreement between its package and the backend that runs it.

use crate::{DataType, Dim, TensorSpec};

/// Name of the model, of its folder and of its archive.
pub const METRICS_MODEL: &str = "planforge-metrics";
/// File in its version folder, by which the backend knows it.
pub const METRICS_FILE: &str = "server.metrics";

/// Bytes of memory of each GPU, in NVML's order.
pub const GPU_MEMORY_TOTAL: &str = "gpu_memory_total";
/// Bytes of it that are in use, by any process.
pub const GPU_MEMORY_USED: &str = "gpu_memory_used";
/// Percent of the last sample period during which each GPU ran something.
pub const GPU_UTILIZATION: &str = "gpu_utilization";
/// Bytes of memory of the host, as its kernel sees it.
pub const HOST_MEMORY_TOTAL: &str = "host_memory_total";
/// Bytes of it that programs could still get without swapping.
pub const HOST_MEMORY_AVAILABLE: &str = "host_memory_available";
/// Bytes of memory that the server's own process holds.
pub const SERVER_MEMORY_RESIDENT: &str = "server_memory_resident";

/// Its outputs, all of 64-bit integers: one for each GPU, or one.
#[must_use]
pub fn metrics_outputs() -> Vec<TensorSpec> {
    let gpus = [GPU_MEMORY_TOTAL, GPU_MEMORY_USED, GPU_UTILIZATION].map(|name| (name, Dim::dynamic("gpus")));
    let host = [HOST_MEMORY_TOTAL, HOST_MEMORY_AVAILABLE, SERVER_MEMORY_RESIDENT].map(|name| (name, Dim::Fixed(1)));
    gpus.into_iter().chain(host).map(|(name, dim)| TensorSpec::new(name, DataType::Int64, vec![dim])).collect()
}
