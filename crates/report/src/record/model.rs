//! Checkpoint, exported models and their comparisons.

use planforge_core::{ModelCard, ModelFormat, Precision};
use serde::{Deserialize, Serialize};

/// Where a checkpoint came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceFacts {
    /// `owner/name`, or a folder.
    pub repo: String,
    /// The requested revision.
    pub revision: String,
    /// The commit that the revision resolves to.
    pub commit: String,
    /// Size of the fetched files in bytes.
    pub byte_count: u64,
    /// License, base models and tags from the model card.
    #[serde(default)]
    pub card: Option<ModelCard>,
}

/// An exported model.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelFacts {
    /// `model_type` of the checkpoint.
    pub architecture: String,
    /// Precision of the arithmetic.
    pub precision: Precision,
    /// File format.
    #[serde(default)]
    pub format: ModelFormat,
    /// ONNX operator set, for ONNX.
    pub opset: Option<i64>,
    /// Number of parameters.
    pub parameter_count: u64,
    /// Bytes of the parameters in this precision.
    pub weight_byte_count: u64,
    /// In fp16 and bf16, values that are kept in fp32.
    #[serde(default, rename = "wide_values")]
    pub keep_fp32: Vec<String>,
}
