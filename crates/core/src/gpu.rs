//! GPU types, and what each builder can do for them.

mod catalogue;
mod names;
mod support;

pub use catalogue::GpuCatalogue;
pub use support::BuilderSupport;
pub(crate) use support::is_within;

use planforge_types::{ComputeCapability, HardwareCompatibility};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// One GPU type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Gpu {
    /// Short name used in pipelines, such as `a10g`.
    pub name: String,
    /// Product name.
    pub product: String,
    /// CUDA compute capability.
    pub compute_capability: ComputeCapability,
    /// What NVIDIA calls GPUs of this compute capability.
    pub architecture: String,
    /// Memory of one GPU in GiB, as the board is sold.
    pub memory_gib: u32,
    /// Memory of one GPU in MiB as the driver reports it, which is less; none where that is not known.
    pub memory_mib: Option<u32>,
    /// AWS instance types that have it.
    pub instances: Vec<Instance>,
    /// What each builder does for it.
    pub builders: Vec<BuilderSupport>,
}

impl Gpu {
    /// Bytes of one GPU's memory: those that the driver reports, else those of the board.
    #[must_use]
    pub fn memory_byte_count(&self) -> u64 {
        self.memory_mib.map_or_else(|| u64::from(self.memory_gib) << 30, |mib| u64::from(mib) << 20)
    }
}

/// An AWS instance type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Instance {
    /// Its name, such as `g5.12xlarge`.
    pub name: String,
    /// How many GPUs it has.
    pub gpu_count: u32,
    /// Whether SageMaker's documentation names it for multi-model endpoints on GPUs.
    pub multi_model: bool,
}

/// What makes an engine from an ONNX graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Builder {
    /// TensorRT for RTX, in process, without a GPU.
    Rtx,
    /// NVIDIA's tool of this name, for TensorRT plans, on a machine with the GPU.
    Trtexec,
}

impl Builder {
    /// Every builder.
    pub const ALL: [Self; 2] = [Self::Rtx, Self::Trtexec];

    /// What it builds with.
    #[must_use]
    pub const fn library(self) -> &'static str {
        match self {
            Self::Rtx => "TensorRT-RTX",
            Self::Trtexec => "TensorRT",
        }
    }
}

impl fmt::Display for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rtx => "rtx",
            Self::Trtexec => "trtexec",
        })
    }
}

/// Options of a builder besides target and profiles.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BuilderOptions {
    /// How long it searches, 0 to 5; its own default when `None`.
    pub optimization_level: Option<u8>,
    /// Most scratch memory on the GPU that a layer may use, in bytes; its own limit when `None`.
    pub workspace_byte_count: Option<u64>,
    /// Whether weights are left out of the engine, to be put in when it is loaded.
    pub strip_weights: bool,
    /// Whether later versions of TensorRT load the plan too.
    #[serde(default)]
    pub version_compatible: bool,
    /// Which other GPUs the plan runs on.
    #[serde(default)]
    pub hardware_compatibility: HardwareCompatibility,
}
