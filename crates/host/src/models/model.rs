//! One loaded model.

use crate::api_error::ApiError;
use crate::container::ContainerModel;
use crate::infer::Interface;
use crate::model_folder::ModelFolder;
use planforge_runtime::Session;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{Mutex, OwnedMutexGuard};

/// A loaded model with its files. Dropping it frees its memory and removes the files; one in a container is unloaded
/// before, with [`Self::close`].
#[derive(Debug)]
pub(crate) struct Model {
    runner: Runner,
    byte_count: AtomicU64,
    invocations: AtomicU64,
    largest_request: AtomicU64,
}

/// What runs a model.
#[derive(Debug)]
pub(crate) enum Runner {
    /// This process.
    Embedded(EmbeddedModel),
    /// A container.
    Container(ContainerModel),
}

/// A model in this process.
#[derive(Debug)]
pub(crate) struct EmbeddedModel {
    session: Arc<Mutex<Session>>,
    interface: Interface,
    /// Declared last: the session lets go of its files first.
    _folder: ModelFolder,
}

impl EmbeddedModel {
    /// A model that `session` runs.
    pub(crate) fn new(session: Session, interface: Interface, folder: ModelFolder) -> Self {
        Self { interface, session: Arc::new(Mutex::new(session)), _folder: folder }
    }

    /// What it takes and gives.
    pub(crate) const fn interface(&self) -> &Interface {
        &self.interface
    }

    /// Waits for the session; one inference runs at a time, in order of arrival.
    pub(crate) async fn session(&self) -> OwnedMutexGuard<Session> {
        Arc::clone(&self.session).lock_owned().await
    }
}

impl Model {
    /// A model that took `byte_count` bytes to load.
    pub(crate) fn new(runner: Runner, byte_count: u64) -> Self {
        Self {
            runner,
            byte_count: AtomicU64::new(byte_count),
            invocations: AtomicU64::new(0),
            largest_request: AtomicU64::new(0),
        }
    }

    /// What runs it.
    pub(crate) const fn runner(&self) -> &Runner {
        &self.runner
    }

    /// The model in this process.
    ///
    /// # Errors
    /// It is in a container.
    pub(crate) fn embedded(&self) -> Result<&EmbeddedModel, ApiError> {
        match &self.runner {
            Runner::Embedded(model) => Ok(model),
            Runner::Container(_) => Err(ApiError::Internal("The model is in a container".to_owned())),
        }
    }

    /// Unloads it where it is in a container. No request may be using it.
    pub(crate) async fn close(&self, target_model: &str) {
        if let Runner::Container(ContainerModel { container, slot, .. }) = &self.runner {
            container.unload(target_model, slot).await;
        }
    }

    /// Growth of the process while it was loaded, and in its largest requests.
    pub(crate) fn byte_count(&self) -> u64 {
        self.byte_count.load(Ordering::Relaxed)
    }

    /// Invocations answered with success.
    pub(crate) fn invocations(&self) -> u64 {
        self.invocations.load(Ordering::Relaxed)
    }

    /// Counts an invocation.
    pub(crate) fn count_invocation(&self) {
        self.invocations.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether a request with a body of this many bytes is its first, or the largest so far, so that its memory may grow.
    pub(crate) fn is_largest(&self, byte_count: usize) -> bool {
        let byte_count = (byte_count as u64).saturating_add(1);
        self.largest_request.fetch_max(byte_count, Ordering::Relaxed) < byte_count
    }

    /// Adds memory that an inference left behind.
    pub(crate) fn add_bytes(&self, byte_count: u64) {
        self.byte_count.fetch_add(byte_count, Ordering::Relaxed);
    }
}
