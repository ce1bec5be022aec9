//! What all builds of one call share.

use super::peak_history::PeakHistory;
use super::scheduler::{BuildLimits, BuildScheduler};
use super::worker::EngineWorker;
use planforge_core::{Cache, CachedArtifact, Model};
use std::sync::{Arc, OnceLock};

/// Scheduler, worker and cache of the builds of one call.
#[derive(Debug)]
pub(super) struct BuildContext<'a> {
    pub(super) scheduler: Arc<BuildScheduler>,
    pub(super) worker: &'a EngineWorker,
    pub(super) cache: &'a Cache,
    peak_history: OnceLock<PeakHistory>,
}

impl<'a> BuildContext<'a> {
    /// A scheduler without builds, and a cache whose earlier builds are read when they are first needed.
    pub(super) fn new(worker: &'a EngineWorker, limits: BuildLimits, cache: &'a Cache) -> Self {
        Self { scheduler: Arc::new(BuildScheduler::new(limits)), worker, cache, peak_history: OnceLock::new() }
    }

    /// Memory that building `model` is expected to take.
    pub(super) fn expected_peak(&self, model: &CachedArtifact<Model>) -> u64 {
        self.peak_history.get_or_init(|| PeakHistory::of(self.cache)).expected(model)
    }
}
