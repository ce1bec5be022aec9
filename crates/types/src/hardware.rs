//! Compute capabilities, and which of them a TensorRT plan runs on.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A CUDA compute capability, written `8.6`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ComputeCapability {
    /// Architecture generation.
    pub major: u8,
    /// Variant within it.
    pub minor: u8,
}

/// A text that is not a compute capability.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid compute capability `{text}`; expected a number such as \"8.6\"")]
pub struct InvalidComputeCapability {
    /// The text.
    pub text: String,
}

impl ComputeCapability {
    /// Compute capability `major.minor`.
    #[must_use]
    pub const fn new(major: u8, minor: u8) -> Self {
        Self { major, minor }
    }
}

impl fmt::Display for ComputeCapability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for ComputeCapability {
    type Err = InvalidComputeCapability;

    fn from_str(text: &str) -> Result<Self, InvalidComputeCapability> {
        text.split_once('.')
            .and_then(|(major, minor)| Some(Self { major: major.parse().ok()?, minor: minor.parse().ok()? }))
            .ok_or_else(|| InvalidComputeCapability { text: text.to_owned() })
    }
}

impl TryFrom<String> for ComputeCapability {
    type Error = InvalidComputeCapability;

    fn try_from(text: String) -> Result<Self, InvalidComputeCapability> {
        text.parse()
    }
}

impl From<ComputeCapability> for String {
    fn from(capability: ComputeCapability) -> Self {
        capability.to_string()
    }
}

/// GPUs that a TensorRT plan runs on besides the type it was built on. Kernels are then chosen among those that all of
/// them have, which may cost speed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HardwareCompatibility {
    /// None.
    #[default]
    None,
    /// Those of compute capability 8.0 and later.
    AmperePlus,
    /// Those of its compute capability. TensorRT 10.9 and later.
    SameComputeCapability,
}
