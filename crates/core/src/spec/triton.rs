//! `[triton]`: how the server runs a model, beyond what the model itself determines.

use super::schema::Listed;
use super::values::MemorySize;
use crate::Precision;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;
use std::path::PathBuf;

/// How Triton runs the packages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("x-elsewhere" = {"max_batch_size": "the largest `batch` of all [[profiles]] is `max_batch_size`; set it there"}))]
#[schemars(extend("x-example" = {"instances": 2, "max_queue_delay_microseconds": 500, "warm_up_batch_sizes": [1]}))]
pub struct TritonSpec {
    /// Number of model instances on each device: how many requests, or batches of them, run at the same time.
    #[schemars(
        extend("x-example" = 2, "x-default" = "2 for an ONNX graph in planforge's backend, whose instances share one session; else the server's own, 1",
            "x-also" = ["count", "instance_count"])
    )]
    pub instances: Option<NonZeroU32>,
    /// Device that instances run on.
    #[schemars(extend("x-example" = "gpu", "x-default" = "a GPU where the server has one and the backend can use it", "x-also" = ["kind", "device"]))]
    pub instance_kind: Option<InstanceKind>,
    /// Whether the server combines requests into batches, where the profiles allow more than one.
    #[schemars(extend("x-example" = true))]
    pub dynamic_batching: bool,
    /// Batch sizes that the server prefers to build; empty for the largest alone.
    #[schemars(extend("x-example" = [8, 16], "x-allowed" = "sizes from 1 to the largest batch of all profiles", "x-also" = ["preferred_batch_size"]))]
    pub preferred_batch_sizes: Vec<u64>,
    /// How long a request may wait for others, in microseconds.
    #[schemars(extend("x-example" = 500, "x-default" = "requests do not wait", "x-also" = ["max_queue_delay"]))]
    pub max_queue_delay_microseconds: Option<u64>,
    /// Batch sizes of the first sample that run while the model is loaded, so that no request pays for first-time
    /// initialization. They take part of the time that the endpoint allows for loading.
    #[schemars(extend("x-example" = [1, 16], "x-allowed" = "sizes that a profile allows"))]
    pub warm_up_batch_sizes: Vec<u64>,
    /// Whether repeated requests are answered from the server's cache, where the server was started with one.
    #[schemars(extend("x-example" = false))]
    pub response_cache: bool,
    /// Whether executions of engines are recorded and replayed as CUDA graphs.
    #[schemars(extend("x-example" = false))]
    pub cuda_graphs: bool,
    /// Whether ONNX Runtime passes the graph to TensorRT where the server has a GPU. ONNX Runtime's own backend only.
    #[schemars(extend("x-default" = "no TensorRT below ONNX Runtime"))]
    pub tensorrt_accelerator: Option<AcceleratorSpec>,
    /// File with additional fields of `config.pbtxt`, relative to the pipeline file.
    #[schemars(extend("x-example" = "extra.pbtxt", "x-allowed" = "a path to a file", "x-default" = "none"))]
    pub config: Option<PathBuf>,
}

impl Default for TritonSpec {
    fn default() -> Self {
        Self {
            instances: None,
            instance_kind: None,
            dynamic_batching: true,
            preferred_batch_sizes: Vec::new(),
            max_queue_delay_microseconds: None,
            warm_up_batch_sizes: Vec::new(),
            response_cache: false,
            cuda_graphs: false,
            tensorrt_accelerator: None,
            config: None,
        }
    }
}

/// What an instance of a model runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum InstanceKind {
    /// The processor.
    Cpu,
    /// Each GPU of the server.
    Gpu,
}

/// TensorRT below ONNX Runtime, which builds its engines when the model is loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-example" = {"precision": "fp16", "workspace": "1 GiB"}))]
pub struct AcceleratorSpec {
    /// Precision of the engines: `fp32` or `fp16`.
    #[schemars(with = "Option<Listed<Precision>>", extend("x-example" = "fp16", "x-default" = "the graph's own"))]
    pub precision: Option<Precision>,
    /// Limit of the builder's scratch memory.
    #[schemars(extend("x-example" = "1 GiB", "x-default" = "the builder's own"))]
    pub workspace: Option<MemorySize>,
    /// Folder of the server that keeps engines from one load to the next.
    #[schemars(extend("x-example" = "/var/cache/engines", "x-allowed" = "a path to a folder", "x-default" = "none; engines are rebuilt at every load"))]
    pub engine_cache: Option<String>,
}
