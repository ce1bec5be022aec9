//! Archives → N copies of each in the store.

use super::package::without_corrupt_entry;
use crate::Result;
use crate::context::PipelineContext;
use planforge_core::{Archive, CachedArtifact, Outcome, Published};
use planforge_package::{Provenance, Publication};
use planforge_store::ObjectStore;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Published copies of one variant.
#[derive(Debug, Clone)]
pub struct PublishedVariant {
    /// The copies.
    pub published: Published,
    /// Time that publishing took.
    pub elapsed: Duration,
    /// Whether all copies were there.
    pub outcome: Outcome,
}

/// Publishes the pipeline's number of copies of each archive, with the statement of where it came from.
///
/// # Errors
/// A store that refuses, and a corrupt archive in the cache.
pub fn publish(
    context: &PipelineContext,
    store: &dyn ObjectStore,
    archives: &[CachedArtifact<Archive>],
) -> Result<Vec<PublishedVariant>> {
    archives.iter().map(|archive| publish_archive(context, store, archive)).collect()
}

fn publish_archive(
    context: &PipelineContext,
    store: &dyn ObjectStore,
    archive: &CachedArtifact<Archive>,
) -> Result<PublishedVariant> {
    let start = Instant::now();
    let (name, copies) = (&context.spec.name, u32::from(context.spec.package.copies));
    let statement = Provenance::path(&context.layout.archive(&archive.record.variant));
    let statement = statement.is_file().then_some(statement.as_path());
    let publication = Publication { archive, name, prefix: name.as_str(), copies, statement };
    let publishing = planforge_package::publish(&publication, store, Arc::clone(&context.progress));
    let published = context.runtime.block_on(publishing).map_err(|error| without_corrupt_entry(context, error))?;
    let outcome = if published.kept == copies { Outcome::Cached } else { Outcome::Built };
    Ok(PublishedVariant { published, elapsed: start.elapsed(), outcome })
}
