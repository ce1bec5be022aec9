//! Which models there are, who uses them, and in which order they were used.

use super::model::Model;
use crate::refusal::Refusal;
use planforge_core::LoadedModel;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// Where a model is in its life.
#[derive(Debug, Clone)]
pub(crate) enum Phase {
    /// Being loaded, or waiting for its turn.
    Loading,
    /// Ready for inference.
    Ready(Arc<Model>),
    /// Its load failed.
    Failed(Refusal),
    /// Unloaded; nobody holds a lease on it.
    Gone,
}

/// The place of one target model, from the first request for it until it is unloaded.
#[derive(Debug)]
pub(crate) struct Slot {
    target_model: String,
    phase: watch::Sender<Phase>,
    leases: watch::Sender<usize>,
}

impl Slot {
    fn new(target_model: &str) -> Arc<Self> {
        Arc::new(Self {
            target_model: target_model.to_owned(),
            phase: watch::Sender::new(Phase::Loading),
            leases: watch::Sender::new(0),
        })
    }

    /// Name it is asked for by.
    pub(crate) fn target_model(&self) -> &str {
        &self.target_model
    }

    /// Moves on to another phase; returns the one before.
    pub(crate) fn enter(&self, phase: Phase) -> Phase {
        self.phase.send_replace(phase)
    }

    /// Waits until no request holds a lease. Useful only when no new ones can come.
    pub(crate) async fn idle(&self) {
        // The sender is this slot's own, so the channel cannot close.
        let _ = self.leases.subscribe().wait_for(|&leases| leases == 0).await;
    }

    fn model(&self) -> Option<Arc<Model>> {
        match &*self.phase.borrow() {
            Phase::Ready(model) => Some(Arc::clone(model)),
            Phase::Loading | Phase::Failed(_) | Phase::Gone => None,
        }
    }

    fn is_idle(&self) -> bool {
        *self.leases.borrow() == 0
    }
}

/// A request's hold on a model: while it lives, the model is not unloaded.
#[derive(Debug)]
pub(crate) struct Lease(Arc<Slot>);

impl Lease {
    fn new(slot: &Arc<Slot>) -> Self {
        slot.leases.send_modify(|leases| *leases += 1);
        Self(Arc::clone(slot))
    }

    /// Name the model was asked for by.
    pub(crate) fn target_model(&self) -> &str {
        &self.0.target_model
    }

    /// Waits for the end of the load.
    ///
    /// # Errors
    /// Why the load failed.
    pub(crate) async fn model(&self) -> Result<Arc<Model>, Refusal> {
        let mut phase = self.0.phase.subscribe();
        let phase = phase.wait_for(|phase| !matches!(phase, Phase::Loading)).await;
        match phase.as_deref() {
            Ok(Phase::Ready(model)) => Ok(Arc::clone(model)),
            Ok(Phase::Failed(refusal)) => Err(refusal.clone()),
            Ok(Phase::Loading | Phase::Gone) | Err(_) => {
                Err(Refusal::Internal("The model was unloaded under a request".to_owned()))
            }
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.leases.send_modify(|leases| *leases -= 1);
    }
}

/// All slots. New leases are given and slots are taken away under one lock, so that a slot that was
/// taken away gets no new lease.
#[derive(Debug, Default)]
pub(crate) struct Shelf(Mutex<Content>);

#[derive(Debug, Default)]
struct Content {
    slots: HashMap<String, Place>,
    uses: u64,
    evictions: u64,
}

#[derive(Debug)]
struct Place {
    slot: Arc<Slot>,
    last_use: u64,
}

impl Shelf {
    /// A lease on the target model, and its slot when it is a new one, to be loaded by the caller.
    pub(crate) fn lease(&self, target_model: &str) -> (Lease, Option<Arc<Slot>>) {
        let mut content = self.lock();
        content.uses += 1;
        let uses = content.uses;
        if let Some(place) = content.slots.get_mut(target_model) {
            place.last_use = uses;
            return (Lease::new(&place.slot), None);
        }
        let slot = Slot::new(target_model);
        let lease = Lease::new(&slot);
        content.slots.insert(target_model.to_owned(), Place { slot: Arc::clone(&slot), last_use: uses });
        (lease, Some(slot))
    }

    /// Takes a slot away so that the next request starts afresh.
    pub(crate) fn forget(&self, slot: &Arc<Slot>) {
        let mut content = self.lock();
        if content.slots.get(&slot.target_model).is_some_and(|place| Arc::ptr_eq(&place.slot, slot)) {
            content.slots.remove(&slot.target_model);
        }
    }

    /// Takes away the least recently used loaded model to make room, an idle one if there is one.
    pub(crate) fn take_victim(&self) -> Option<Arc<Slot>> {
        let mut content = self.lock();
        let loaded = content.slots.values().filter(|place| place.slot.model().is_some());
        let victim = loaded.min_by_key(|place| (!place.slot.is_idle(), place.last_use))?;
        let slot = Arc::clone(&victim.slot);
        content.slots.remove(&slot.target_model);
        content.evictions += 1;
        Some(slot)
    }

    /// The loaded models, least recently used first, and the number of evictions so far.
    pub(crate) fn account(&self) -> (Vec<LoadedModel>, u64) {
        let content = self.lock();
        let mut places: Vec<(&Place, Arc<Model>)> =
            content.slots.values().filter_map(|place| Some((place, place.slot.model()?))).collect();
        places.sort_by_key(|(place, _)| place.last_use);
        let models = places.into_iter().map(|(place, model)| LoadedModel {
            target_model: place.slot.target_model.clone(),
            byte_count: model.byte_count(),
            invocations: model.invocations(),
        });
        (models.collect(), content.evictions)
    }

    /// Takes all slots away, for the end of the endpoint.
    pub(crate) fn clear(&self) -> Vec<Arc<Slot>> {
        self.lock().slots.drain().map(|(_, place)| place.slot).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
