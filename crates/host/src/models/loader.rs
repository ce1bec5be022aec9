//! Loading: from an archive in the store to a model that answers.

use super::cache::{CacheEntry, Lease, LoadState};
use super::endpoint_models::{Executor, Models};
use super::model::{Model, Runner};
use super::prepare::Prepared;
use super::sizes::MemoryEstimate;
use crate::api_error::ApiError;
use crate::blocking::blocking;
use crate::container::ContainerModel;
use crate::statistics::UnloadReason;
use crate::target::ArchiveLocation;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// Status of a container for a model that it has no memory for.
const OUT_OF_MEMORY: u16 = 507;

impl Models {
    /// A lease on the model of `archive`. The first one starts the load, which goes on whether or not
    /// anybody waits for it.
    pub(crate) fn lease(self: &Arc<Self>, target_model: &str, archive: ArchiveLocation) -> Lease {
        let (lease, new_entry) = self.cache.lease(target_model);
        if let Some(entry) = new_entry {
            tokio::spawn(Arc::clone(self).load(entry, archive));
        }
        lease
    }

    /// Unloads a model that its container has lost; the next request for it loads it again.
    pub(crate) fn give_up(self: &Arc<Self>, lease: &Lease) {
        let entry = lease.entry();
        if self.cache.forget(&entry) {
            let models = Arc::clone(self);
            tokio::spawn(async move { models.unload(&entry, UnloadReason::Lost).await });
        }
    }

    /// Ends: waits for loads under way, lets no other begin, and frees every model once its requests
    /// are done.
    pub(crate) async fn close(&self) {
        self.is_closing.store(true, Ordering::Relaxed);
        let _turns = self.loads.acquire_many(self.load_limit).await;
        for entry in self.cache.clear() {
            self.unload(&entry, UnloadReason::End).await;
        }
    }

    async fn load(self: Arc<Self>, entry: Arc<CacheEntry>, archive: ArchiveLocation) {
        let (models, target_model) = (Arc::clone(&self), entry.target_model().to_owned());
        // In a task of its own, so that a panic becomes the error of the requests that wait.
        let load = tokio::spawn(async move { models.load_in_turn(&target_model, archive).await });
        let loaded = load.await.unwrap_or_else(|_| Err(ApiError::unexpected()));
        let failure = loaded.as_ref().err().map(|error| error.container_status().unwrap_or(500));
        self.statistics.count_load(failure);
        match loaded {
            Ok(model) => {
                entry.enter(LoadState::Ready(Arc::new(model)));
            }
            Err(api_error) => {
                tracing::warn!(target_model = entry.target_model(), ?api_error, "load failed");
                // In this order: a request that gets the failure and is tried again gets a new entry.
                self.cache.forget(&entry);
                entry.enter(LoadState::Failed(api_error));
            }
        }
    }

    async fn load_in_turn(&self, target_model: &str, archive: ArchiveLocation) -> Result<Model, ApiError> {
        let start = Instant::now();
        let mut fetched = self.fetch_with_room(target_model, &archive).await?;
        let _turn = self.loads.acquire().await.map_err(|_| ApiError::Closing)?;
        if self.is_closing.load(Ordering::Relaxed) {
            return Err(ApiError::Closing);
        }
        let load = self.begin_load();
        let prepared = loop {
            match self.unpack(target_model, fetched).await {
                Err(ApiError::DiskFull(_)) if self.unload_one(UnloadReason::DiskFull).await? => {
                    fetched = self.fetch_with_room(target_model, &archive).await?;
                }
                prepared => break prepared?,
            }
        };
        let size = prepared.size();
        let estimate = self.sizes.estimate(size);
        let reservation = self.evict_until_fits(target_model, estimate).await?;
        let before = self.used().await?;
        let opening = Instant::now();
        let runner = self.open(target_model, prepared).await?;
        let is_first = !self.has_opened.swap(true, Ordering::Relaxed);
        self.statistics.count_loading(opening.elapsed());
        let growth = self.used().await?.saturating_sub(before);
        drop(reservation);
        let used = self.keep_budget().await?;
        let was_alone = load.was_alone() && self.memory.is_seen();
        let byte_count = if was_alone { growth.min(used) } else { estimate.byte_count };
        let model = Model::new(runner, byte_count);
        if was_alone {
            let is_too_large = byte_count > self.options.budget_byte_count;
            // The first one brings what is taken once, of the runtime, the server or a GPU's context: no measure for others.
            if is_too_large || !is_first {
                self.sizes.set(size, MemoryEstimate { byte_count, is_too_large });
            }
            if is_too_large {
                model.close(target_model).await;
                blocking(move || drop(model)).await?;
                return Err(self.too_large(target_model, byte_count));
            }
        }
        tracing::info!(target_model, byte_count, elapsed = ?start.elapsed(), "loaded");
        Ok(model)
    }

    /// What runs the model.
    async fn open(&self, target_model: &str, prepared: Prepared) -> Result<Runner, ApiError> {
        match (prepared, &self.options.executor) {
            (Prepared::Embedded { unpacked, folder, .. }, Executor::Embedded { intra_op_threads, engines }) => {
                super::embedded::open(target_model, unpacked, folder, *intra_op_threads, engines.clone()).await
            }
            (Prepared::Container { slot, folder, .. }, Executor::Container(container)) => {
                let model = ContainerModel { container: Arc::clone(container), _folder: folder, slot };
                self.load_in_container(target_model, &model).await?;
                Ok(Runner::Container(model))
            }
            _ => Err(ApiError::Internal("A model was unpacked for another engine".to_owned())),
        }
    }

    /// Asks until the container has memory, or nothing more can be unloaded.
    async fn load_in_container(&self, target_model: &str, model: &ContainerModel) -> Result<(), ApiError> {
        loop {
            match model.container.load(target_model, &model.slot).await {
                Err(ApiError::Model { status: OUT_OF_MEMORY, .. })
                    if self.unload_one(UnloadReason::OutOfMemory).await? => {}
                loaded => return loaded,
            }
        }
    }

    fn begin_load(&self) -> LoadUnderWay<'_> {
        let others = self.loads_under_way.fetch_add(1, Ordering::Relaxed);
        let number = self.loads_begun.fetch_add(1, Ordering::Relaxed) + 1;
        LoadUnderWay { models: self, was_first: others == 0, number }
    }
}

/// One load, for as long as it takes.
struct LoadUnderWay<'a> {
    models: &'a Models,
    was_first: bool,
    number: u64,
}

impl LoadUnderWay<'_> {
    /// No other load was under way at any time.
    fn was_alone(&self) -> bool {
        self.was_first && self.models.loads_begun.load(Ordering::Relaxed) == self.number
    }
}

impl Drop for LoadUnderWay<'_> {
    fn drop(&mut self) {
        self.models.loads_under_way.fetch_sub(1, Ordering::Relaxed);
    }
}
