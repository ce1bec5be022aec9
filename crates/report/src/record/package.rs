//! Packages, and the files of a run.

use planforge_core::{Digest, Outcome, Step, Variant};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A package.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArchiveFacts {
    /// Variant of the package.
    pub variant: Variant,
    /// Its size in bytes.
    pub byte_count: u64,
    /// Size of its contents in bytes.
    pub unpacked_byte_count: u64,
    /// Triton's `max_batch_size`.
    pub max_batch_size: u64,
    /// Copies published; none when it was not published.
    pub copies: Option<u32>,
    /// Its digest.
    pub sha256: Digest,
}

/// A file that a step wrote or found in the cache.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArtifactRow {
    /// The step.
    pub step: Step,
    /// Subject of the step, such as `tensorrt-fp16-l4`.
    pub subject: String,
    /// The file.
    pub path: String,
    /// Size in bytes.
    pub byte_count: u64,
    /// Digest.
    pub sha256: Digest,
    /// Time the step took.
    #[serde(rename = "elapsed_seconds", alias = "elapsed", with = "planforge_types::seconds")]
    pub elapsed: Duration,
    /// Built in this run, or found in the cache.
    pub outcome: Outcome,
}
