//! Names that configurations and packages share.

/// File name of the configuration in a model's folder.
pub const CONFIG_FILE: &str = "config.pbtxt";
/// File name of an ONNX graph in a version folder.
pub const ONNX_FILE: &str = "model.onnx";
/// File name of an engine in a version folder.
pub const PLAN_FILE: &str = "model.plan";
/// File name of a TorchScript module in a version folder.
pub const MODULE_FILE: &str = "model.pt";
/// File name of the labels, next to the configuration.
pub const LABELS_FILE: &str = "labels.txt";
/// Largest configuration that is read, in bytes.
pub const MAX_CONFIG_BYTES: u64 = 1 << 20;

/// planforge's own backend, for ONNX graphs and TensorRT-RTX engines.
///
/// NVIDIA's `tensorrt` backend links classic TensorRT and refuses an RTX engine, so the configuration of one
/// must not name it, nor `platform: "tensorrt_plan"`, which implies it.
pub const PLANFORGE_BACKEND: &str = "planforge";
