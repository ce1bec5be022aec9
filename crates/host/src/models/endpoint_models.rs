//! All models of the endpoint, and its account of their memory.

use super::cache::ModelCache;
use super::reservations::Reservations;
use super::sizes::KnownSizes;
use crate::api_error::ApiError;
use crate::blocking::blocking;
use crate::container::Container;
use crate::memory::Memory;
use crate::options::EngineOptions;
use crate::statistics::Statistics;
use planforge_core::EndpointState;
use std::collections::BTreeMap;
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use tokio::sync::Semaphore;

/// Downloads, and loads by a container, at a time.
const TRANSFERS: usize = 8;

/// What loading needs to know.
#[derive(Debug)]
pub(crate) struct LoadOptions {
    /// Name of the endpoint.
    pub(crate) endpoint: String,
    /// Folder for unpacked models; it exists and belongs to this endpoint alone.
    pub(crate) work_folder: PathBuf,
    /// Memory that models may take together.
    pub(crate) budget_byte_count: u64,
    /// What runs models.
    pub(crate) executor: Executor,
}

/// What runs models.
#[derive(Debug)]
pub(crate) enum Executor {
    /// This process.
    Embedded {
        /// Threads of one inference.
        intra_op_threads: usize,
        /// What runs engines, if anything does.
        engines: Option<EngineOptions>,
    },
    /// A container.
    Container(Arc<Container>),
}

/// All models of the endpoint.
#[derive(Debug)]
pub(crate) struct Models {
    pub(super) options: LoadOptions,
    pub(super) memory: Arc<Memory>,
    pub(super) cache: ModelCache,
    pub(super) sizes: KnownSizes,
    pub(super) statistics: Statistics,
    pub(super) reservations: Reservations,
    pub(super) downloads: Semaphore,
    pub(super) loads: Semaphore,
    pub(super) load_limit: u32,
    /// Loads that have begun, and those under way.
    pub(super) loads_begun: AtomicU64,
    pub(super) loads_under_way: AtomicUsize,
    /// Whether a model was opened, and has brought what is taken once.
    pub(super) has_opened: AtomicBool,
    pub(super) is_closing: AtomicBool,
    pub(super) folder_count: AtomicU64,
}

impl Models {
    /// No models yet; memory counts from `memory` on.
    pub(crate) fn new(options: LoadOptions, memory: Memory) -> Arc<Self> {
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        let load_limit = match options.executor {
            Executor::Embedded { .. } => processors.saturating_sub(1).max(1),
            Executor::Container(_) => TRANSFERS,
        };
        Arc::new(Self {
            memory: Arc::new(memory),
            cache: ModelCache::default(),
            sizes: KnownSizes::default(),
            statistics: Statistics::new(&options.endpoint),
            reservations: Reservations::default(),
            downloads: Semaphore::new(TRANSFERS),
            loads: Semaphore::new(load_limit),
            load_limit: u32::try_from(load_limit).unwrap_or(u32::MAX),
            loads_begun: AtomicU64::new(0),
            loads_under_way: AtomicUsize::new(0),
            has_opened: AtomicBool::new(false),
            is_closing: AtomicBool::new(false),
            folder_count: AtomicU64::new(0),
            options,
        })
    }

    /// The endpoint's account of its memory.
    ///
    /// # Errors
    /// The memory cannot be read.
    pub(crate) async fn state(&self, endpoint: &str) -> Result<EndpointState, ApiError> {
        let used_byte_count = self.used().await?;
        let (models, evictions) = self.cache.account();
        Ok(self.statistics.complete(EndpointState {
            endpoint: endpoint.to_owned(),
            budget_byte_count: self.options.budget_byte_count,
            used_byte_count,
            memory_is_measured: self.memory.is_seen(),
            models,
            evictions,
            invocations: BTreeMap::new(),
            metrics: BTreeMap::new(),
        }))
    }

    /// What they have done since the start.
    pub(crate) const fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// Whether a load is under way.
    pub(crate) fn is_loading(&self) -> bool {
        self.loads_under_way.load(Ordering::Relaxed) > 0
    }

    /// Memory that models take: growth since the start, or the sizes of their archives' files where that cannot be read.
    ///
    /// # Errors
    /// The memory cannot be read.
    pub(crate) async fn used(&self) -> Result<u64, ApiError> {
        let memory = Arc::clone(&self.memory);
        let used = blocking(move || memory.used()).await?;
        let used =
            used.map_err(|error| ApiError::Internal(format!("The memory of the endpoint cannot be read: {error}")))?;
        Ok(used.unwrap_or_else(|| self.cache.account().0.iter().map(|model| model.byte_count).sum()))
    }
}
