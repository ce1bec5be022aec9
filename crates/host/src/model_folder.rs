//! Files of one unpacked model.

use std::path::{Path, PathBuf};

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
