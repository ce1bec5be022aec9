//! Eviction: what is unloaded before and after a load.

use super::cache::{CacheEntry, LoadState};
use super::endpoint_models::Models;
use super::sizes::MemoryEstimate;
use crate::api_error::ApiError;
use std::time::Instant;

impl Models {
    /// Unloads models until `estimate` fits, or none is left.
    ///
    /// # Errors
    /// 507 when it is known not to fit at all, before anything is unloaded.
    pub(crate) async fn evict_until_fits(&self, target_model: &str, estimate: MemoryEstimate) -> Result<(), ApiError> {
        if estimate.is_too_large {
            return Err(self.too_large(target_model, estimate.byte_count));
        }
        let most = self.options.budget_byte_count.saturating_sub(estimate.byte_count);
        while self.used().await? > most && self.unload_one().await? {}
        Ok(())
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
            if !self.unload_one().await? {
                tracing::warn!(used, "over budget with one model: memory of unloaded models has not come back");
                return Ok(used);
            }
        }
    }

    /// 507 for a model that needs `byte_count` bytes.
    pub(crate) fn too_large(&self, target_model: &str, byte_count: u64) -> ApiError {
        let budget = self.options.budget_byte_count;
        let text = format!("Out of memory: it needs {byte_count} bytes, the endpoint has {budget} for all models");
        ApiError::out_of_memory(target_model, &text)
    }

    /// Unloads the least recently used model; `false` when there is none.
    async fn unload_one(&self) -> Result<bool, ApiError> {
        let Some(entry) = self.cache.pop_lru() else { return Ok(false) };
        let start = Instant::now();
        let byte_count = unload(&entry).await;
        tracing::info!(target_model = entry.target_model(), byte_count, elapsed = ?start.elapsed(), "evicted");
        Ok(true)
    }
}

/// Waits for the requests of an entry that was taken out of the cache, and frees its model. Returns the
/// memory that it was counted with.
pub(crate) async fn unload(entry: &CacheEntry) -> u64 {
    entry.idle().await;
    let LoadState::Ready(model) = entry.enter(LoadState::Gone) else { return 0 };
    let byte_count = model.byte_count();
    // Freeing memory and removing files blocks. A panic there concerns no request.
    let _ = tokio::task::spawn_blocking(move || drop(model)).await;
    byte_count
}
