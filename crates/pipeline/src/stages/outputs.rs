//! Results in the output folder: links to the files of the cache.

use crate::Result;
use planforge_core::{CachedArtifact, Outcome, copy, link_or_copy};
use std::path::Path;

/// Links the files of an artifact into a folder.
pub(crate) fn link_outputs<T>(artifact: &CachedArtifact<T>, folder: &Path) -> Result<()> {
    for file in &artifact.files {
        link_or_copy(&artifact.path(&file.path), &folder.join(&file.path))?;
    }
    Ok(())
}

/// Copies the files of an artifact into a folder.
pub(crate) fn copy_outputs<T>(artifact: &CachedArtifact<T>, folder: &Path) -> Result<()> {
    for file in &artifact.files {
        copy(&artifact.path(&file.path), &folder.join(&file.path))?;
    }
    Ok(())
}

/// Whether an artifact was found or made.
pub(crate) const fn outcome<T>(artifact: &CachedArtifact<T>) -> Outcome {
    if artifact.cache_hit { Outcome::Cached } else { Outcome::Built }
}
