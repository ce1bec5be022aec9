//! Finds the archive that a request names, and fetches it where the store is not a folder.

use crate::api_error::{ApiError, failure, with_causes};
use planforge_store::ObjectStore;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Longest name that SageMaker takes.
const MAX_CHARS: usize = 1024;

/// The archives that the endpoint serves.
#[derive(Debug, Clone)]
pub(crate) struct Archives {
    store: Arc<dyn ObjectStore>,
    /// The canonical path of a store that is a folder.
    root: Option<PathBuf>,
}

/// Where an archive is.
#[derive(Debug, Clone)]
pub(crate) enum ArchiveLocation {
    /// A file.
    File(PathBuf),
    /// An object of a store that is not a folder; it may not exist.
    Object {
        /// The store.
        store: Arc<dyn ObjectStore>,
        /// Its key.
        key: String,
    },
}

/// An archive on this machine's disk.
#[derive(Debug)]
pub(crate) enum LocalArchive {
    /// A file of the store.
    CachedArtifact(PathBuf),
    /// A download, which is deleted when it is dropped.
    Downloaded(PathBuf),
}

impl Archives {
    /// The archives in `store`. A store that is a folder must exist.
    ///
    /// # Errors
    /// I/O errors of the folder.
    pub(crate) fn open(store: Arc<dyn ObjectStore>) -> io::Result<Self> {
        let root = store.file("").map(fs_err::canonicalize).transpose()?;
        Ok(Self { store, root })
    }

    /// The archive that `target_model` names. Names are plain relative paths, and links must not lead out of a store that
    /// is a folder, which is looked at.
    ///
    /// # Errors
    /// [`ApiError::Validation`] that names the target model.
    pub(crate) fn find(&self, target_model: &str) -> Result<ArchiveLocation, ApiError> {
        if !is_plain(target_model) {
            return Err(ApiError::Validation(format!(
                "Target model '{}' is not a plain name below the endpoint's model data",
                target_model.escape_debug()
            )));
        }
        let Some(root) = &self.root else {
            return Ok(ArchiveLocation::Object { store: Arc::clone(&self.store), key: target_model.to_owned() });
        };
        let path = fs_err::canonicalize(root.join(target_model)).map_err(|_| missing(target_model))?;
        if path.starts_with(root) && path.is_file() {
            Ok(ArchiveLocation::File(path))
        } else {
            Err(missing(target_model))
        }
    }
}

impl ArchiveLocation {
    /// The archive on this machine's disk; an object is downloaded to a file next to `folder`.
    ///
    /// # Errors
    /// [`ApiError::Validation`] for an object that does not exist, and [`ApiError::Internal`] with an error of the store.
    pub(crate) async fn fetch(self, target_model: &str, folder: &Path) -> Result<LocalArchive, ApiError> {
        let (store, key) = match self {
            Self::File(path) => return Ok(LocalArchive::CachedArtifact(path)),
            Self::Object { store, key } => (store, key),
        };
        let failed = |error: planforge_store::Error| {
            failure(&error, format!("Model {target_model} cannot be downloaded: {}", with_causes(&error)))
        };
        let content = store.get(&key, None).await.map_err(failed)?.ok_or_else(|| missing(target_model))?;
        let archive = LocalArchive::Downloaded(folder.with_added_extension("tar.gz"));
        content.write_to(archive.path()).await.map_err(failed)?;
        Ok(archive)
    }
}

impl LocalArchive {
    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::CachedArtifact(path) | Self::Downloaded(path) => path,
        }
    }
}

impl Drop for LocalArchive {
    fn drop(&mut self) {
        if let Self::Downloaded(path) = self
            && let Err(error) = fs_err::remove_file(path)
        {
            tracing::warn!(%error, "cannot remove a downloaded archive");
        }
    }
}

fn missing(target_model: &str) -> ApiError {
    ApiError::Validation(format!("Target model '{target_model}' does not exist in the endpoint's model data"))
}

fn is_plain(target_model: &str) -> bool {
    let is_part = |part: &str| !part.is_empty() && part != "." && part != "..";
    target_model.chars().count() <= MAX_CHARS
        && !target_model.starts_with(char::is_whitespace)
        && !target_model.chars().any(char::is_control)
        && target_model.split('/').all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use planforge_store::{FileStore, MemoryStore, PutCondition, PutOptions};

    #[test]
    fn only_files_of_the_store_are_found() {
        let root = tempfile::tempdir().unwrap();
        let store = root.path().canonicalize().unwrap().join("store");
        fs_err::create_dir_all(store.join("sub")).unwrap();
        fs_err::write(store.join("sub/m.tar.gz"), "m").unwrap();
        fs_err::write(root.path().join("outside"), "o").unwrap();
        std::os::unix::fs::symlink(root.path().join("outside"), store.join("leads-out")).unwrap();
        std::os::unix::fs::symlink("sub/m.tar.gz", store.join("stays-in")).unwrap();
        let archives = Archives::open(Arc::new(FileStore::new(&store))).unwrap();
        let found = archives.find("sub/m.tar.gz").unwrap();
        assert!(matches!(&found, ArchiveLocation::File(path) if *path == store.join("sub/m.tar.gz")), "{found:?}");
        assert!(archives.find("stays-in").is_ok());
        let long = "x".repeat(MAX_CHARS + 1);
        let absolute = store.join("sub/m.tar.gz");
        let refused = [
            "",
            "..",
            "../outside",
            "sub/../sub/m.tar.gz",
            "sub//m.tar.gz",
            "./sub/m.tar.gz",
            "sub/",
            "sub",
            "none",
            "leads-out",
            " sub/m.tar.gz",
            "a\0b",
            "a\nb",
            &long,
            absolute.to_str().unwrap(),
        ];
        for name in refused {
            let error = archives.find(name).unwrap_err();
            assert!(matches!(error, ApiError::Validation(_)), "{name:?}: {error:?}");
        }
    }

    #[tokio::test]
    async fn objects_of_other_stores_are_downloaded_for_as_long_as_they_are_needed() {
        let (store, work) = (Arc::new(MemoryStore::new()), tempfile::tempdir().unwrap());
        let options = PutOptions { content_type: "application/gzip", condition: PutCondition::Always };
        store.put("sub/m.tar.gz", "an archive".into(), options).await.unwrap();
        let archives = Archives::open(store).unwrap();
        let folder = work.path().join("0");
        let archive = archives.find("sub/m.tar.gz").unwrap().fetch("sub/m.tar.gz", &folder).await.unwrap();
        assert_eq!(fs_err::read(archive.path()).unwrap(), b"an archive");
        drop(archive);
        assert_eq!(fs_err::read_dir(work.path()).unwrap().count(), 0);
        let error = archives.find("none").unwrap().fetch("none", &folder).await.unwrap_err();
        assert!(matches!(&error, ApiError::Validation(text) if text.contains("'none' does not exist")), "{error:?}");
        assert!(archives.find("../m").is_err());
    }
}
