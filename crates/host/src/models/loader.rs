//! Loading: from an archive in the store to a model that answers.

use super::cache::{CacheEntry, Lease, LoadState};
use super::endpoint_models::Models;
use super::eviction::unload;
use super::model::{Model, ModelFolder};
use super::sizes::{ArchiveSize, MemoryEstimate};
use crate::api_error::{ApiError, with_causes};
use crate::blocking::blocking;
use crate::options::EngineOptions;
use crate::target::ArchiveLocation;
use planforge_package::{UnpackLimits, UnpackedModel, unpack};
use planforge_runtime::{EngineModel, ExecutionOptions, Gpu, OnnxSession, Session, SessionOptions};
use planforge_triton_config::Backend;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

impl Models {
    /// A lease on the model of `archive`. The first one starts the load, which goes on whether or not
    /// anybody waits for it.
    pub(crate) fn lease(self: &Arc<Self>, target_model: &str, archive: ArchiveLocation) -> Lease {
        let (lease, new_entry) = self.cache.lease(target_model);
        if let Some(entry) = new_entry {
            tokio::spawn(Arc::clone(self).load(entry, archive));
        }
        lease
    }

    /// Ends: waits for the load under way, lets no other begin, and frees every model once its requests
    /// are done.
    pub(crate) async fn close(&self) {
        self.is_closing.store(true, Ordering::Relaxed);
        let _turn = self.loads.acquire().await;
        for entry in self.cache.clear() {
            unload(&entry).await;
        }
    }

    async fn load(self: Arc<Self>, entry: Arc<CacheEntry>, archive: ArchiveLocation) {
        let outcome = match self.loads.acquire().await {
            Ok(_turn) if !self.is_closing.load(Ordering::Relaxed) => {
                self.load_in_turn(entry.target_model(), archive).await
            }
            Ok(_) | Err(_) => Err(ApiError::Closing),
        };
        match outcome {
            Ok(model) => {
                entry.enter(LoadState::Ready(Arc::new(model)));
            }
            Err(api_error) => {
                tracing::warn!(target_model = entry.target_model(), ?api_error, "load failed");
                // In this order: a request that gets the failure and is tried again gets a new entry.
                self.cache.forget(&entry);
                entry.enter(LoadState::Failed(api_error));
            }
        }
    }

    async fn load_in_turn(&self, target_model: &str, archive: ArchiveLocation) -> Result<Model, ApiError> {
        let start = Instant::now();
        let index = self.folder_count.fetch_add(1, Ordering::Relaxed);
        let folder = ModelFolder::new(self.options.work_folder.join(index.to_string()));
        let (size, unpacked, folder) = self.unpack(target_model, archive, folder).await?;
        self.evict_until_fits(target_model, self.sizes.estimate(size)).await?;
        let before = self.used().await?;
        let model = self.open(target_model, unpacked, folder, before).await?;
        let byte_count = model.byte_count().min(self.keep_budget().await?);
        let is_too_large = byte_count > self.options.budget_byte_count;
        self.sizes.set(size, MemoryEstimate { byte_count, is_too_large });
        if is_too_large {
            blocking(move || drop(model)).await?;
            return Err(self.too_large(target_model, byte_count));
        }
        tracing::info!(target_model, byte_count, elapsed = ?start.elapsed(), "loaded");
        Ok(model)
    }

    async fn unpack(
        &self,
        target_model: &str,
        archive: ArchiveLocation,
        folder: ModelFolder,
    ) -> Result<(ArchiveSize, UnpackedModel, ModelFolder), ApiError> {
        let archive = archive.fetch(target_model, folder.path()).await?;
        let work = move || {
            let unpacked = unpack(archive.path(), folder.path(), &UnpackLimits::default())?;
            let packed = fs_err::metadata(archive.path())?.len();
            Ok((ArchiveSize { packed, unpacked: unpacked.byte_count }, unpacked, folder))
        };
        let unpacked = blocking(work).await?;
        let (size, unpacked, folder) = unpacked.map_err(|error| unpack_failure(target_model, &error))?;
        match unpacked.backend {
            Backend::Onnxruntime => Ok((size, unpacked, folder)),
            Backend::TensorrtRtx if self.options.engines.is_some() => Ok((size, unpacked, folder)),
            Backend::Tensorrt | Backend::TensorrtRtx => {
                let text = match self.options.engines {
                    Some(_) => "it is a plan of TensorRT, the local endpoint runs engines of TensorRT-RTX",
                    None => "its engine needs a GPU, the local endpoint runs ONNX models on the CPU",
                };
                Err(ApiError::load_failed(target_model, text))
            }
            Backend::Pytorch => {
                let text = "it is a TorchScript module, the local endpoint runs ONNX models";
                Err(ApiError::load_failed(target_model, text))
            }
        }
    }

    /// Opens the session; what the process grew by since it held `before` bytes is the model's.
    async fn open(
        &self,
        target_model: &str,
        unpacked: UnpackedModel,
        folder: ModelFolder,
        before: u64,
    ) -> Result<Model, ApiError> {
        let options = SessionOptions { intra_op_threads: self.options.intra_op_threads, ..SessionOptions::default() };
        let engines = self.options.engines.clone();
        let memory = Arc::clone(&self.memory);
        let work = move || {
            let session = match engines.filter(|_| unpacked.backend == Backend::TensorrtRtx) {
                Some(engines) => open_engine(&engines, &unpacked)?,
                None => Session::Onnx(Box::new(OnnxSession::load(&unpacked.model_file, &options)?)),
            };
            let byte_count = memory.used()?.saturating_sub(before);
            Ok(Model::new(session, &unpacked, folder, byte_count))
        };
        let opened: planforge_runtime::Result<Model> = blocking(work).await?;
        opened.map_err(|error| ApiError::load_failed(target_model, &with_causes(&error)))
    }
}

/// Every copy has weights of its own, as on SageMaker.
fn open_engine(engines: &EngineOptions, unpacked: &UnpackedModel) -> planforge_runtime::Result<Session> {
    let mut plan = &unpacked.model_file;
    if !unpacked.files_by_capability.is_empty() {
        let (major, minor) = Gpu::open(engines.gpu)?.facts().compute_capability;
        // The error of another GPU's engine names the GPU it is for.
        plan = unpacked.files_by_capability.get(&format!("{major}.{minor}")).unwrap_or(plan);
    }
    let engine = EngineModel::load(&engines.library, plan, engines.gpu)?;
    Ok(Session::Engine(Box::new(engine.session(ExecutionOptions::default())?)))
}

/// An archive that cannot be served is its owner's mistake; a full disk is the endpoint's.
fn unpack_failure(target_model: &str, error: &planforge_package::Error) -> ApiError {
    match error {
        planforge_package::Error::BadArchive { path, fault } => {
            let name = path.file_name().unwrap_or(Path::new("").as_os_str()).to_string_lossy();
            ApiError::load_failed(target_model, &format!("archive '{name}' cannot be served: {fault}"))
        }
        other => ApiError::Internal(format!("Model {target_model} cannot be unpacked: {}", with_causes(other))),
    }
}
