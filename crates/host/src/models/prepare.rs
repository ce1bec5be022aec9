//! Files of a model: downloaded and unpacked.

use super::endpoint_models::{Executor, Models};
use super::sizes::ArchiveSize;
use crate::api_error::{ApiError, failure, with_causes};
use crate::blocking::blocking;
use crate::container::{MODEL_FOLDER, Slot};
use crate::model_folder::ModelFolder;
use crate::statistics::UnloadReason;
use crate::target::{ArchiveLocation, LocalArchive};
use planforge_archive::{UnpackLimits, extract};
use planforge_package::{UnpackedModel, unpack};
use planforge_triton_config::Backend;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// An archive on this machine's disk, and the folder to unpack it into.
pub(super) struct Fetched {
    archive: LocalArchive,
    folder: ModelFolder,
    slot: Option<Slot>,
}

/// An unpacked archive.
pub(super) enum Prepared {
    /// For this process.
    Embedded {
        /// The model in it.
        unpacked: UnpackedModel,
        /// Its files.
        folder: ModelFolder,
        /// Its size.
        size: ArchiveSize,
    },
    /// For a container, which finds the model in it.
    Container {
        /// Its files.
        folder: ModelFolder,
        /// Its place in the container.
        slot: Slot,
        /// Its size.
        size: ArchiveSize,
    },
}

impl Prepared {
    /// Size of the archive.
    pub(super) const fn size(&self) -> ArchiveSize {
        match self {
            Self::Embedded { size, .. } | Self::Container { size, .. } => *size,
        }
    }
}

impl Models {
    /// The archive, once an earlier load of the same model is gone with its files.
    async fn fetch(&self, target_model: &str, archive: ArchiveLocation) -> Result<Fetched, ApiError> {
        let (slot, folder) = match &self.options.executor {
            Executor::Embedded { .. } => {
                let index = self.folder_count.fetch_add(1, Ordering::Relaxed);
                (None, self.options.work_folder.join(index.to_string()))
            }
            Executor::Container(container) => {
                let slot = container.slot(target_model).await;
                let folder = container.model_folder(&slot);
                (Some(slot), folder)
            }
        };
        let _turn = self.downloads.acquire().await.map_err(|_| ApiError::Closing)?;
        let start = Instant::now();
        let archive = archive.fetch(target_model, &folder).await?;
        self.statistics.count_download(start.elapsed());
        Ok(Fetched { archive, folder: ModelFolder::new(folder), slot })
    }

    /// As [`Self::fetch`]; while the disk is full, the least recently used model is unloaded with its files.
    pub(super) async fn fetch_with_room(
        &self,
        target_model: &str,
        archive: &ArchiveLocation,
    ) -> Result<Fetched, ApiError> {
        loop {
            match self.fetch(target_model, archive.clone()).await {
                Err(ApiError::DiskFull(_)) if self.unload_one(UnloadReason::DiskFull).await? => {}
                fetched => return fetched,
            }
        }
    }

    /// Unpacks an archive, and refuses what this process does not run.
    pub(super) async fn unpack(&self, target_model: &str, fetched: Fetched) -> Result<Prepared, ApiError> {
        let Fetched { archive, folder, slot } = fetched;
        let prepared = blocking(move || match slot {
            Some(slot) => unpack_for_container(&archive, folder, slot),
            None => unpack_here(&archive, folder),
        });
        let prepared = prepared.await?.map_err(|error| unpack_failure(target_model, &error))?;
        if let Prepared::Embedded { unpacked, .. } = &prepared {
            self.check_backend(target_model, unpacked.backend)?;
        }
        Ok(prepared)
    }

    fn check_backend(&self, target_model: &str, backend: Backend) -> Result<(), ApiError> {
        let has_gpu = matches!(self.options.executor, Executor::Embedded { engines: Some(_), .. });
        let text = match backend {
            Backend::Onnxruntime => return Ok(()),
            Backend::TensorrtRtx if has_gpu => return Ok(()),
            Backend::Tensorrt | Backend::TensorrtRtx if has_gpu => {
                "it is a plan of TensorRT, the local endpoint runs engines of TensorRT-RTX"
            }
            Backend::Tensorrt | Backend::TensorrtRtx => {
                "its engine needs a GPU, the local endpoint runs ONNX models on the CPU"
            }
            Backend::Pytorch => "it is a TorchScript module, the local endpoint runs ONNX models",
        };
        Err(ApiError::load_failed(target_model, text))
    }
}

fn unpack_here(archive: &LocalArchive, folder: ModelFolder) -> planforge_package::Result<Prepared> {
    let unpacked = unpack(archive.path(), folder.path(), &UnpackLimits::default())?;
    let size = ArchiveSize { packed: packed_byte_count(archive)?, unpacked: unpacked.byte_count };
    Ok(Prepared::Embedded { unpacked, folder, size })
}

fn unpack_for_container(
    archive: &LocalArchive,
    folder: ModelFolder,
    slot: Slot,
) -> planforge_package::Result<Prepared> {
    let target = folder.path().join(MODEL_FOLDER);
    // What an endpoint that was killed has left in a folder that is not this endpoint's own.
    let _ = fs_err::remove_dir_all(folder.path());
    fs_err::create_dir_all(&target)?;
    let extracted = extract(fs_err::File::open(archive.path())?, &target, &UnpackLimits::default());
    let unpacked = extracted.map_err(|error| planforge_package::Error::of_archive(archive.path(), error))?;
    let size = ArchiveSize { packed: packed_byte_count(archive)?, unpacked };
    Ok(Prepared::Container { folder, slot, size })
}

fn packed_byte_count(archive: &LocalArchive) -> std::io::Result<u64> {
    Ok(fs_err::metadata(archive.path())?.len())
}

/// An archive that cannot be served is its owner's mistake; a full disk is the endpoint's.
fn unpack_failure(target_model: &str, error: &planforge_package::Error) -> ApiError {
    match error {
        planforge_package::Error::BadArchive { path, fault } => {
            let name = path.file_name().unwrap_or(Path::new("").as_os_str()).to_string_lossy();
            ApiError::load_failed(target_model, &format!("archive '{name}' cannot be served: {fault}"))
        }
        other => failure(other, format!("Model {target_model} cannot be unpacked: {}", with_causes(other))),
    }
}
