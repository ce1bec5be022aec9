//! The arithmetic of an exported model.

use crate::DataType;
use serde::{Deserialize, Serialize};
use std::fmt;

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
