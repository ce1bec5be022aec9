//! Making room: what has to be unloaded before and after a load.

use super::loader::{Models, blocking};
use super::shelf::{Phase, Slot};
use super::sizes::ArchiveSize;
use crate::refusal::Refusal;
use std::sync::Arc;
use std::time::Instant;

/// The expected size of a load.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Need {
    /// Bytes.
    pub(crate) byte_count: u64,
    /// Whether such an archive was loaded before; otherwise it is the size of its files.
    pub(crate) is_measured: bool,
}

impl Models {
    /// What loading an archive of this size will take.
    pub(crate) fn need(&self, archive: ArchiveSize) -> Need {
        self.sizes.get(archive).map_or(Need { byte_count: archive.unpacked, is_measured: false }, |byte_count| Need {
            byte_count,
            is_measured: true,
        })
    }

    /// Unloads models until `need` fits, or none is left.
    ///
    /// # Errors
    /// 507 when it does not fit into an empty budget, before anything is unloaded.
    pub(crate) async fn make_room(&self, target_model: &str, need: Need) -> Result<(), Refusal> {
        if need.byte_count > self.options.budget_byte_count {
            return Err(self.too_large(target_model, need));
        }
        let most = self.options.budget_byte_count - need.byte_count;
        while self.used().await? > most && self.unload_one().await? {}
        Ok(())
    }

    /// Unloads other models while the budget is exceeded. `true` when it holds in the end.
    ///
    /// # Errors
    /// The memory cannot be read.
    pub(crate) async fn keep_budget(&self) -> Result<bool, Refusal> {
        loop {
            if self.used().await? <= self.options.budget_byte_count {
                return Ok(true);
            }
            if !self.unload_one().await? {
                return Ok(false);
            }
        }
    }

    /// 507 with what is known about the size.
    pub(crate) fn too_large(&self, target_model: &str, need: Need) -> Refusal {
        let (needed, budget) = (need.byte_count, self.options.budget_byte_count);
        let source = if need.is_measured { "it takes" } else { "its files have" };
        let text = format!("Out of memory: {source} {needed} bytes, the endpoint has {budget} bytes for all models");
        Refusal::out_of_memory(target_model, &text)
    }

    /// Growth of the process since the start.
    ///
    /// # Errors
    /// The memory cannot be read.
    pub(crate) async fn used(&self) -> Result<u64, Refusal> {
        let memory = Arc::clone(&self.memory);
        let used = blocking(move || memory.used()).await?;
        used.map_err(|error| Refusal::Internal(format!("The memory of the endpoint cannot be read: {error}")))
    }

    /// Unloads the least recently used model; `false` when there is none.
    async fn unload_one(&self) -> Result<bool, Refusal> {
        let Some(slot) = self.shelf.take_victim() else { return Ok(false) };
        let start = Instant::now();
        let byte_count = unload(&slot).await;
        tracing::info!(target_model = slot.target_model(), byte_count, elapsed = ?start.elapsed(), "evicted");
        Ok(true)
    }
}

/// Waits for the requests of a slot that was taken off the shelf, and frees its model. Returns the
/// memory that it was counted with.
pub(crate) async fn unload(slot: &Slot) -> u64 {
    slot.idle().await;
    let Phase::Ready(model) = slot.enter(Phase::Gone) else { return 0 };
    let byte_count = model.byte_count();
    // Freeing memory and removing files blocks. A panic there has nobody to hear of it.
    let _ = tokio::task::spawn_blocking(move || drop(model)).await;
    byte_count
}
