//! One loaded model.

use crate::infer::Interface;
use planforge_core::TensorSpec;
use planforge_package::UnpackedModel;
use planforge_runtime::Session;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::sync::{Mutex, OwnedMutexGuard};

/// A loaded model with its files. Dropping it frees its memory and removes the files.
#[derive(Debug)]
pub(crate) struct Model {
    session: Arc<Mutex<Session>>,
    inputs: Vec<TensorSpec>,
    outputs: Vec<TensorSpec>,
    max_batch_size: u64,
    version: String,
    byte_count: AtomicU64,
    invocations: AtomicU64,
    has_run: AtomicBool,
    /// Declared last: the session lets go of its files first.
    _folder: ModelFolder,
}

impl Model {
    /// A model that took `byte_count` bytes to load.
    pub(crate) fn new(session: Session, unpacked: &UnpackedModel, folder: ModelFolder, byte_count: u64) -> Self {
        Self {
            inputs: session.inputs().to_vec(),
            outputs: session.outputs().to_vec(),
            session: Arc::new(Mutex::new(session)),
            max_batch_size: unpacked.max_batch_size,
            version: unpacked.version.clone(),
            byte_count: AtomicU64::new(byte_count),
            invocations: AtomicU64::new(0),
            has_run: AtomicBool::new(false),
            _folder: folder,
        }
    }

    /// What it takes and gives; `target_model` is the name it was asked for by.
    pub(crate) fn interface<'a>(&'a self, target_model: &'a str) -> Interface<'a> {
        Interface {
            model: target_model,
            inputs: &self.inputs,
            outputs: &self.outputs,
            max_batch_size: self.max_batch_size,
        }
    }

    /// Version, the name of its folder in the archive.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// Waits for the session; one inference runs at a time, in order of arrival.
    pub(crate) async fn session(&self) -> OwnedMutexGuard<Session> {
        Arc::clone(&self.session).lock_owned().await
    }

    /// Growth of the process while it was loaded and first run.
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

    /// Whether the next inference is its first.
    pub(crate) fn is_first_run(&self) -> bool {
        !self.has_run.swap(true, Ordering::Relaxed)
    }

    /// Adds memory that its first inference left behind.
    pub(crate) fn add_bytes(&self, byte_count: u64) {
        self.byte_count.fetch_add(byte_count, Ordering::Relaxed);
    }
}

/// The folder of an unpacked model, removed when dropped.
#[derive(Debug)]
pub(crate) struct ModelFolder(PathBuf);

impl ModelFolder {
    /// Takes charge of a folder that may not exist yet.
    pub(crate) const fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for ModelFolder {
    fn drop(&mut self) {
        match fs_err::remove_dir_all(&self.0) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(%error, "cannot remove the files of an unloaded model");
            }
            _ => {}
        }
    }
}
