//! Element types of tensors.

use serde::{Deserialize, Serialize};

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
