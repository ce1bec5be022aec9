//! The machine and the endpoint that were measured.

use serde::{Deserialize, Serialize};

/// The package behind the measured endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Served {
    /// Variant of the package, such as `onnx-fp32`.
    pub variant: String,
    /// Runtime and device, such as "ONNX Runtime on the CPU".
    pub by: String,
}

/// The machine and the libraries of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Environment {
    /// Version of planforge.
    #[serde(default)]
    pub planforge_version: String,
    /// Native libraries used.
    #[serde(default)]
    pub libraries: Vec<Library>,
    /// Logical processors.
    #[serde(default)]
    pub cpu_count: Option<u32>,
    /// Product name of the processor.
    #[serde(default)]
    pub cpu_model: Option<String>,
    /// Memory of the machine in bytes.
    #[serde(default)]
    pub memory_byte_count: Option<u64>,
}

/// A native library.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Library {
    /// Name, such as "ONNX Runtime".
    pub name: String,
    /// Version.
    pub version: String,
}
