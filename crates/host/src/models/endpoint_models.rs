//! All models of the endpoint, and its account of their memory.

use super::cache::ModelCache;
use super::sizes::KnownSizes;
use crate::api_error::ApiError;
use crate::blocking::blocking;
use crate::memory::Memory;
use crate::options::EngineOptions;
use planforge_core::EndpointState;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use tokio::sync::Semaphore;

/// What loading needs to know.
#[derive(Debug)]
pub(crate) struct LoadOptions {
    /// Folder for unpacked models; it exists and belongs to this endpoint alone.
    pub(crate) work_folder: PathBuf,
    /// Memory that models may take together.
    pub(crate) budget_byte_count: u64,
    /// Threads of one inference.
    pub(crate) intra_op_threads: usize,
    /// What runs engines, if anything does.
    pub(crate) engines: Option<EngineOptions>,
}

/// All models of the endpoint.
#[derive(Debug)]
pub(crate) struct Models {
    pub(super) options: LoadOptions,
    pub(super) memory: Arc<Memory>,
    pub(super) cache: ModelCache,
    pub(super) sizes: KnownSizes,
    pub(super) loads: Semaphore,
    pub(super) is_closing: AtomicBool,
    pub(super) folder_count: AtomicU64,
}

impl Models {
    /// No models yet; memory counts from `memory` on.
    pub(crate) fn new(options: LoadOptions, memory: Memory) -> Arc<Self> {
        Arc::new(Self {
            options,
            memory: Arc::new(memory),
            cache: ModelCache::default(),
            sizes: KnownSizes::default(),
            loads: Semaphore::new(1),
            is_closing: AtomicBool::new(false),
            folder_count: AtomicU64::new(0),
        })
    }

    /// The endpoint's account of its memory.
    ///
    /// # Errors
    /// The memory cannot be read.
    pub(crate) async fn state(&self, endpoint: &str) -> Result<EndpointState, ApiError> {
        let used_byte_count = self.used().await?;
        let (models, evictions) = self.cache.account();
        Ok(EndpointState {
            endpoint: endpoint.to_owned(),
            budget_byte_count: self.options.budget_byte_count,
            used_byte_count,
            models,
            evictions,
        })
    }

    /// Whether a load is under way or waits.
    pub(crate) fn is_loading(&self) -> bool {
        self.loads.available_permits() == 0
    }

    /// Growth of the process since the start.
    ///
    /// # Errors
    /// The memory cannot be read.
    pub(crate) async fn used(&self) -> Result<u64, ApiError> {
        let memory = Arc::clone(&self.memory);
        let used = blocking(move || memory.used()).await?;
        used.map_err(|error| ApiError::Internal(format!("The memory of the endpoint cannot be read: {error}")))
    }
}
