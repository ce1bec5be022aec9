//! What serves a packaged model.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What runs the packaged model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Platform {
    /// ONNX Runtime.
    Onnx,
    /// libtorch, from a TorchScript module.
    #[schemars(extend("x-also" = ["torchscript", "torch", "libtorch"]))]
    Pytorch,
    /// A TensorRT engine.
    #[schemars(extend("x-also" = ["trt", "engine", "plan"]))]
    Tensorrt,
}

impl Platform {
    /// Format of the exported model that its packages are made from.
    #[must_use]
    pub const fn model_format(self) -> ModelFormat {
        match self {
            Self::Onnx | Self::Tensorrt => ModelFormat::Onnx,
            Self::Pytorch => ModelFormat::TorchScript,
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Onnx => "onnx",
            Self::Pytorch => "pytorch",
            Self::Tensorrt => "tensorrt",
        })
    }
}

/// Triton's backend for ONNX graphs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnnxBackend {
    /// NVIDIA's, which its images have.
    Onnxruntime,
    /// planforge's, for servers without NVIDIA's.
    Planforge,
}

/// How an exported model is written down.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ModelFormat {
    /// ONNX graph with its weights in safetensors files next to it.
    #[default]
    Onnx,
    /// TorchScript module with its weights inside.
    TorchScript,
}

impl fmt::Display for ModelFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Onnx => "onnx",
            Self::TorchScript => "torchscript",
        })
    }
}
