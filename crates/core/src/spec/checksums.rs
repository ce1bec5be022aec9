//! The key `store.checksums`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whether uploads carry S3's checksums (`x-amz-checksum-sha256`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Checksums {
    /// Yes, unless the store refuses them; then `Content-MD5`.
    #[default]
    Auto,
    /// Yes; a store that refuses them is an error.
    Required,
    /// No; `Content-MD5`, which every store knows.
    Off,
}
