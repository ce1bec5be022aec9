//! Places of models in a container: one model at a time in each, until it is gone with its files.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::OwnedMutexGuard;

type Lock = Arc<tokio::sync::Mutex<()>>;

/// All places.
#[derive(Debug, Default)]
pub(crate) struct Slots(Mutex<HashMap<String, Lock>>);

/// A place, until it is dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    name: String,
    _guard: OwnedMutexGuard<()>,
}

impl Slots {
    /// The place of this name, once it is free.
    pub(crate) async fn take(&self, name: &str) -> Slot {
        let lock = {
            let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            // Those without a holder or a waiting load.
            locks.retain(|_, lock| Arc::strong_count(lock) > 1);
            Arc::clone(locks.entry(name.to_owned()).or_default())
        };
        Slot { name: name.to_owned(), _guard: lock.lock_owned().await }
    }
}

impl Slot {
    /// Its name, which is that of its folder.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn a_place_is_free_again_when_its_holder_is_gone() {
        let slots = Slots::default();
        let first = slots.take("a").await;
        assert!(slots.take("b").now_or_never().is_some());
        assert!(slots.take("a").now_or_never().is_none());
        drop(first);
        assert!(slots.take("a").now_or_never().is_some());
    }
}
