//! Which models there are, who uses them, and in which order they were used.

use super::model::Model;
use crate::api_error::ApiError;
use planforge_core::LoadedModel;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// Where a model is in its life.
#[derive(Debug, Clone)]
pub(crate) enum LoadState {
    /// Being loaded, or waiting for its turn.
    Loading,
    /// Ready for inference.
    Ready(Arc<Model>),
    /// Its load failed.
    Failed(ApiError),
    /// Unloaded; there is no lease on it.
    Gone,
}

/// One target model, from the first request for it until it is unloaded.
#[derive(Debug)]
pub(crate) struct CacheEntry {
    target_model: String,
    state: watch::Sender<LoadState>,
    leases: watch::Sender<usize>,
}

impl CacheEntry {
    fn new(target_model: &str) -> Arc<Self> {
        Arc::new(Self {
            target_model: target_model.to_owned(),
            state: watch::Sender::new(LoadState::Loading),
            leases: watch::Sender::new(0),
        })
    }

    /// Name it is asked for by.
    pub(crate) fn target_model(&self) -> &str {
        &self.target_model
    }

    /// Enters another state; returns the one before.
    pub(crate) fn enter(&self, state: LoadState) -> LoadState {
        self.state.send_replace(state)
    }

    /// Waits until no request holds a lease. Useful only when no new ones can come.
    pub(crate) async fn idle(&self) {
        // The sender is this entry's own, so the channel cannot close.
        let _ = self.leases.subscribe().wait_for(|&leases| leases == 0).await;
    }

    fn model(&self) -> Option<Arc<Model>> {
        match &*self.state.borrow() {
            LoadState::Ready(model) => Some(Arc::clone(model)),
            LoadState::Loading | LoadState::Failed(_) | LoadState::Gone => None,
        }
    }

    fn is_idle(&self) -> bool {
        *self.leases.borrow() == 0
    }
}

/// A request's hold on a model: while it lives, the model is not unloaded.
#[derive(Debug)]
pub(crate) struct Lease(Arc<CacheEntry>);

impl Lease {
    fn new(entry: &Arc<CacheEntry>) -> Self {
        entry.leases.send_modify(|leases| *leases += 1);
        Self(Arc::clone(entry))
    }

    /// Name the model was asked for by.
    pub(crate) fn target_model(&self) -> &str {
        &self.0.target_model
    }

    /// The entry it is on.
    pub(crate) fn entry(&self) -> Arc<CacheEntry> {
        Arc::clone(&self.0)
    }

    /// Whether the model is loaded.
    pub(crate) fn is_ready(&self) -> bool {
        self.0.model().is_some()
    }

    /// Waits for the end of the load.
    ///
    /// # Errors
    /// Why the load failed.
    pub(crate) async fn model(&self) -> Result<Arc<Model>, ApiError> {
        let mut state = self.0.state.subscribe();
        let state = state.wait_for(|state| !matches!(state, LoadState::Loading)).await;
        match state.as_deref() {
            Ok(LoadState::Ready(model)) => Ok(Arc::clone(model)),
            Ok(LoadState::Failed(api_error)) => Err(api_error.clone()),
            Ok(LoadState::Loading | LoadState::Gone) | Err(_) => {
                Err(ApiError::Internal("The model was unloaded under a request".to_owned()))
            }
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.leases.send_modify(|leases| *leases -= 1);
    }
}

/// All entries. Leases are given and entries are removed under one lock, so that an entry that was
/// removed gets no new lease.
#[derive(Debug, Default)]
pub(crate) struct ModelCache(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    entries: HashMap<String, Place>,
    uses: u64,
    evictions: u64,
}

#[derive(Debug)]
struct Place {
    entry: Arc<CacheEntry>,
    last_use: u64,
}

impl ModelCache {
    /// A lease on the target model, and its entry when it is a new one, to be loaded by the caller.
    pub(crate) fn lease(&self, target_model: &str) -> (Lease, Option<Arc<CacheEntry>>) {
        let mut content = self.lock();
        content.uses += 1;
        let uses = content.uses;
        if let Some(place) = content.entries.get_mut(target_model) {
            place.last_use = uses;
            return (Lease::new(&place.entry), None);
        }
        let entry = CacheEntry::new(target_model);
        let lease = Lease::new(&entry);
        content.entries.insert(target_model.to_owned(), Place { entry: Arc::clone(&entry), last_use: uses });
        (lease, Some(entry))
    }

    /// Removes an entry, so that the next request loads the model again; whether it was there.
    pub(crate) fn forget(&self, entry: &Arc<CacheEntry>) -> bool {
        let mut content = self.lock();
        let is_there = content.entries.get(&entry.target_model).is_some_and(|place| Arc::ptr_eq(&place.entry, entry));
        if is_there {
            content.entries.remove(&entry.target_model);
        }
        is_there
    }

    /// Removes the least recently used loaded model, an idle one if there is one.
    pub(crate) fn pop_lru(&self) -> Option<Arc<CacheEntry>> {
        let mut content = self.lock();
        let loaded = content.entries.values().filter(|place| place.entry.model().is_some());
        let victim = loaded.min_by_key(|place| (!place.entry.is_idle(), place.last_use))?;
        let entry = Arc::clone(&victim.entry);
        content.entries.remove(&entry.target_model);
        content.evictions += 1;
        Some(entry)
    }

    /// The loaded models, least recently used first, and the number of evictions so far.
    pub(crate) fn account(&self) -> (Vec<LoadedModel>, u64) {
        let content = self.lock();
        let mut places: Vec<(&Place, Arc<Model>)> =
            content.entries.values().filter_map(|place| Some((place, place.entry.model()?))).collect();
        places.sort_by_key(|(place, _)| place.last_use);
        let models = places.into_iter().map(|(place, model)| LoadedModel {
            target_model: place.entry.target_model.clone(),
            byte_count: model.byte_count(),
            invocations: model.invocations(),
        });
        (models.collect(), content.evictions)
    }

    /// Removes all entries, for the end of the endpoint.
    pub(crate) fn clear(&self) -> Vec<Arc<CacheEntry>> {
        self.lock().entries.drain().map(|(_, place)| place.entry).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
