//! Tensors, element types, precisions and serving platforms, by their usual names.

use crate::ModelFormat;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Element type of a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DataType {
    /// IEEE 754 binary32.
    Fp32,
    /// IEEE 754 binary16.
    Fp16,
    /// bfloat16: the first half of a binary32.
    Bf16,
    /// 64-bit signed integer.
    Int64,
    /// 32-bit signed integer.
    Int32,
    /// Boolean, one byte.
    Bool,
}

impl DataType {
    /// Every type.
    pub const ALL: [Self; 6] = [Self::Fp32, Self::Fp16, Self::Bf16, Self::Int64, Self::Int32, Self::Bool];

    /// Bytes of one element.
    #[must_use]
    pub const fn byte_count(self) -> usize {
        match self {
            Self::Fp32 | Self::Int32 => 4,
            Self::Fp16 | Self::Bf16 => 2,
            Self::Int64 => 8,
            Self::Bool => 1,
        }
    }

    /// Bytes of `element_count` elements.
    #[must_use]
    pub const fn bytes_of(self, element_count: usize) -> usize {
        self.byte_count() * element_count
    }

    /// The KServe v2 name (`FP32`), which Triton's `config.pbtxt` uses with the prefix `TYPE_`.
    #[must_use]
    pub const fn kserve_name(self) -> &'static str {
        match self {
            Self::Fp32 => "FP32",
            Self::Fp16 => "FP16",
            Self::Bf16 => "BF16",
            Self::Int64 => "INT64",
            Self::Int32 => "INT32",
            Self::Bool => "BOOL",
        }
    }

    /// The type of a KServe v2 name; `None` for names planforge does not handle.
    #[must_use]
    pub fn from_kserve_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|data_type| data_type.kserve_name() == name)
    }
}

/// Arithmetic of an exported model: the type of its matrix products and weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Everything in binary32.
    Fp32,
    /// Weights and matrix products in binary16, softmax and normalisation statistics in binary32.
    Fp16,
    /// The same in bfloat16, which has binary32's range and 8 bits of digits where binary16 has 11.
    Bf16,
}

impl Precision {
    /// Every precision.
    pub const ALL: [Self; 3] = [Self::Fp32, Self::Fp16, Self::Bf16];

    /// Element type of the weights.
    #[must_use]
    pub const fn data_type(self) -> DataType {
        match self {
            Self::Fp32 => DataType::Fp32,
            Self::Fp16 => DataType::Fp16,
            Self::Bf16 => DataType::Bf16,
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fp32 => "fp32",
            Self::Fp16 => "fp16",
            Self::Bf16 => "bf16",
        })
    }
}

/// What runs the packaged model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Platform {
    /// ONNX Runtime.
    Onnx,
    /// libtorch, from a TorchScript module.
    Pytorch,
    /// A TensorRT engine.
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnnxBackend {
    /// NVIDIA's, which its images have.
    Onnxruntime,
    /// planforge's, for servers without NVIDIA's.
    Planforge,
}

/// One dimension of a tensor.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dim {
    /// Known when the model is exported.
    Fixed(u64),
    /// Chosen by each request; the name is shared by all tensors that must agree.
    Dynamic(String),
}

impl Dim {
    /// A dynamic dimension of this name.
    #[must_use]
    pub fn dynamic(name: &str) -> Self {
        Self::Dynamic(name.to_owned())
    }
}

/// Name, element type and shape of a model's input or output; the batch dimension comes first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TensorSpec {
    /// Tensor name in the graph.
    pub name: String,
    /// Element type.
    pub data_type: DataType,
    /// Dimensions, batch first.
    pub dims: Vec<Dim>,
}

impl TensorSpec {
    /// A tensor of this name, type and shape.
    #[must_use]
    pub fn new(name: &str, data_type: DataType, dims: Vec<Dim>) -> Self {
        Self { name: name.to_owned(), data_type, dims }
    }
}
