//! The record of a check: how an exported model or an engine compares with a reference.

use serde::{Deserialize, Serialize};

/// How one output of a model compares with a reference on the same samples.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckFacts {
    /// What was checked, such as `onnx-fp16`.
    pub subject: String,
    /// What it was compared with, such as `onnx-fp32`.
    pub reference: String,
    /// Name of the output.
    pub output: String,
    /// Number of samples.
    pub samples: u32,
    /// Smallest cosine similarity of any sample.
    pub min_cosine: f64,
    /// Largest absolute difference of any element.
    pub max_absolute_error: f64,
    /// Whether both are within the tolerance.
    pub passed: bool,
}
