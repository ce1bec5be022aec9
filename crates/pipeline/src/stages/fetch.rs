//! Hub or folder → snapshot.

use crate::context::PipelineContext;
use crate::lock::check_snapshot;
use crate::{Error, Result};
use planforge_core::{CacheUse, DigestCache, ModelCard, Outcome, Snapshot, write_atomically};
use planforge_hub::{FetchOptions, local_snapshot, model_card};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A snapshot, fetched or found.
#[derive(Debug)]
pub struct FetchedSource {
    /// The snapshot.
    pub snapshot: Snapshot,
    /// What its authors state about it.
    pub card: Option<ModelCard>,
    /// Time that fetching took.
    pub elapsed: Duration,
    /// Whether the Hub was asked.
    pub outcome: Outcome,
    /// Keeps others from pruning the cache while the run relies on it.
    pub cache_use: CacheUse,
}

/// Fetches the pipeline's source: the commit that the lock pins, or the one that the revision stands for.
///
/// # Errors
/// Errors of the Hub, and a snapshot that is not as the lock has it.
pub fn fetch(context: &PipelineContext) -> Result<FetchedSource> {
    let start = Instant::now();
    let cache_use = context.cache.use_shared(context.progress())?;
    let source = &context.spec.source;
    let digests = DigestCache::in_folder(context.options.cache.join("digests"));
    let mut snapshot = match (&source.path, &source.repo) {
        (Some(folder), _) => local_snapshot(folder, source.graph.as_deref(), &digests, context.progress())?,
        (None, Some(repo)) => {
            let options = fetch_options(context, repo, digests);
            context.runtime.block_on(planforge_hub::fetch(&options, Arc::clone(&context.progress)))?
        }
        (None, None) => return Err(Error::NoSource),
    };
    if !snapshot.commit.is_local() {
        // With a pinned commit, that was asked for instead.
        snapshot.revision.clone_from(&source.revision);
    }
    check_snapshot(context, &snapshot)?;
    let record = serde_json::to_vec_pretty(&snapshot).expect("a snapshot is plain data");
    write_atomically(&context.layout.snapshot(), &record)?;
    let is_cached = snapshot.commit.is_local() || context.options.hub.offline;
    Ok(FetchedSource {
        card: model_card(&snapshot),
        snapshot,
        elapsed: start.elapsed(),
        outcome: if is_cached { Outcome::Cached } else { Outcome::Built },
        cache_use,
    })
}

fn fetch_options(context: &PipelineContext, repo: &str, digests: DigestCache) -> FetchOptions {
    let (source, hub) = (&context.spec.source, &context.options.hub);
    FetchOptions {
        repo: repo.to_owned(),
        revision: context.lock.pinned_commit(source).unwrap_or(&source.revision).to_owned(),
        cache: hub.cache.clone(),
        endpoint: hub.endpoint.clone(),
        token: hub.token.clone(),
        offline: hub.offline,
        digests,
        graph: source.graph.clone(),
        pinned: context.lock.pinned_files(source),
        all_files: context.all_files,
        transfer: hub.transfer,
    }
}
