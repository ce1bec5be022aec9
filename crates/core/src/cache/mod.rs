//! Content-addressed cache of step results: one folder per key, written under a temporary name and renamed.
//!
//! - `store`: finding and making entries
//! - `entries`: what is there, and whether it is whole
//! - `prune`: taking entries away
//! - `lock`: processes that share a cache

mod entries;
mod lock;
mod prune;
mod store;

pub use entries::{CacheEntry, Corruption};
pub use lock::CacheUse;
pub use prune::PruneRule;

use crate::{ArtifactFile, Builder, digest_bytes};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// The file of an entry that lists what is in it.
const RECORD: &str = "record.json";
/// Start of the names of entries that are being made.
const BUILDING: &str = ".building-";

/// A cache folder.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// A cache in the folder `root`, which is made on first use.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Where a builder keeps what it measured on a GPU. Timings are no result: they make the next build quick and alike.
    #[must_use]
    pub fn timings(&self, builder: Builder, gpu: &str, version: &str) -> PathBuf {
        self.root.join("timings").join(format!("{builder}-{gpu}-{version}.cache"))
    }
}

/// What kind of result, one sub-folder each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CacheKind {
    /// Exported models.
    Model,
    /// Engines.
    Engine,
    /// Archives.
    Archive,
    /// Results of running an exported model on the samples.
    Check,
}

impl CacheKind {
    const ALL: [Self; 4] = [Self::Model, Self::Engine, Self::Archive, Self::Check];

    const fn folder(self) -> &'static str {
        match self {
            Self::Model => "models",
            Self::Engine => "engines",
            Self::Archive => "archives",
            Self::Check => "checks",
        }
    }

    /// Lower-case name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Engine => "engine",
            Self::Archive => "archive",
            Self::Check => "check",
        }
    }
}

/// Digest of everything a result depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheKey(String);

impl CacheKey {
    /// Key of `inputs`: any serialisable value that holds input digests, options and tool versions.
    ///
    /// # Panics
    /// Never for values made of strings, numbers, lists and structs.
    pub fn of(inputs: &impl Serialize) -> Self {
        let bytes = serde_json::to_vec(inputs).expect("key inputs are plain data");
        Self(digest_bytes(&bytes).as_str()[..32].to_owned())
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry<T> {
    record: T,
    files: Vec<ArtifactFile>,
    /// Modification times in nanoseconds since 1970, in the order of `files`.
    modified: Vec<u64>,
}

fn modified_nanoseconds(metadata: &std::fs::Metadata) -> u64 {
    let since = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    since.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}
