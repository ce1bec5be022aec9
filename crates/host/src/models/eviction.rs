//! Eviction: what is unloaded before and after a load.

use super::cache::{CacheEntry, LoadState};
use super::endpoint_models::Models;
use super::reservations::Reservation;
use super::sizes::MemoryEstimate;
use crate::api_error::ApiError;
use crate::statistics::UnloadReason;
use std::time::Instant;

impl Models {
    /// Unloads models until `estimate` fits next to what other loads under way will take, or none is left.
    ///
    /// # Errors
    /// 507 when it is known not to fit at all, before anything is unloaded.
    pub(crate) async fn evict_until_fits(
        &self,
        target_model: &str,
        estimate: MemoryEstimate,
    ) -> Result<Reservation, ApiError> {
        if estimate.is_too_large {
            return Err(self.too_large(target_model, estimate.byte_count));
        }
        let turn = self.reservations.turn().await;
        let needed = estimate.byte_count.saturating_add(turn.reserved());
        let most = self.options.budget_byte_count.saturating_sub(needed);
        while self.used().await? > most && self.unload_one(UnloadReason::Room).await? {}
        Ok(turn.reserve(estimate.byte_count))
    }

    /// Unloads other models while the budget is exceeded. Returns the memory in use then.
    ///
    /// # Errors
    /// The memory cannot be read.
    pub(crate) async fn keep_budget(&self) -> Result<u64, ApiError> {
        loop {
            let used = self.used().await?;
            if used <= self.options.budget_byte_count {
                return Ok(used);
            }
            if !self.unload_one(UnloadReason::OverBudget).await? {
                tracing::warn!(used, "over budget with one model: memory of unloaded models has not come back");
                return Ok(used);
            }
        }
    }

    /// Unloads other models while the budget is exceeded, but never the last.
    ///
    /// # Errors
    /// The memory cannot be read.
    pub(crate) async fn keep_budget_after_run(&self) -> Result<(), ApiError> {
        if self.used().await? <= self.options.budget_byte_count {
            return Ok(());
        }
        // A load under way makes room by itself, for what it will take too.
        let _turn = self.reservations.turn().await;
        while self.used().await? > self.options.budget_byte_count && self.cache.account().0.len() > 1 {
            self.unload_one(UnloadReason::OverBudget).await?;
        }
        Ok(())
    }

    /// 507 for a model that needs `byte_count` bytes.
    pub(crate) fn too_large(&self, target_model: &str, byte_count: u64) -> ApiError {
        let budget = self.options.budget_byte_count;
        let text = format!("Out of memory: it needs {byte_count} bytes, the endpoint has {budget} for all models");
        ApiError::out_of_memory(target_model, &text)
    }

    /// Unloads the least recently used model for this reason; `false` when there is none.
    pub(crate) async fn unload_one(&self, reason: UnloadReason) -> Result<bool, ApiError> {
        let Some(entry) = self.cache.pop_lru() else { return Ok(false) };
        self.unload(&entry, reason).await;
        Ok(true)
    }

    /// Waits for the requests of an entry that was taken out of the cache, and frees its model.
    pub(crate) async fn unload(&self, entry: &CacheEntry, reason: UnloadReason) {
        let start = Instant::now();
        entry.idle().await;
        let LoadState::Ready(model) = entry.enter(LoadState::Gone) else { return };
        let (target_model, byte_count) = (entry.target_model(), model.byte_count());
        model.close(target_model).await;
        // Freeing memory and removing files blocks. A panic there concerns no request.
        let _ = tokio::task::spawn_blocking(move || drop(model)).await;
        let elapsed = start.elapsed();
        self.statistics.count_unload(reason, elapsed);
        tracing::info!(target_model, byte_count, ?reason, ?elapsed, "unloaded");
    }
}
