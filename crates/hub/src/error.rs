//! What can go wrong between the Hub and a snapshot.

use std::path::PathBuf;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file, digest or cancellation error.
    #[error(transparent)]
    Core(#[from] planforge_core::Error),
    /// The Hub answered with an error, or did not answer.
    #[error("the Hub at `{endpoint}` cannot give `{repo}` at `{revision}`")]
    Hub {
        /// Base URL.
        endpoint: String,
        /// Repository.
        repo: String,
        /// Revision asked for.
        revision: String,
        /// What the client said.
        #[source]
        source: Box<hf_hub::HFError>,
    },
    /// Offline, and the revision is not in the cache.
    #[error("offline mode is on and `{repo}` at `{revision}` is not in the cache `{}`", cache.display())]
    NotCached {
        /// Repository.
        repo: String,
        /// Revision asked for.
        revision: String,
        /// The cache folder.
        cache: PathBuf,
    },
    /// The repository or folder has no files that a checkpoint needs.
    #[error("`{repo}` has no `{file}`, which every checkpoint needs")]
    Incomplete {
        /// Repository or folder.
        repo: String,
        /// What is missing.
        file: String,
    },
    /// The repository or folder has no weights in a format that is read.
    #[error("`{repo}` has neither `model.safetensors` nor `pytorch_model.bin`, one of which every checkpoint needs")]
    NoWeights {
        /// Repository or folder.
        repo: String,
    },
    /// The ONNX file that was asked for is not in the repository.
    #[error("`{repo}` has no `{graph}`; its ONNX files: {others}")]
    NoGraph {
        /// Repository or folder.
        repo: String,
        /// What was asked for.
        graph: String,
        /// What there is.
        others: String,
    },
    /// A file whose content is not what its name in the cache promises.
    #[error("`{}` has SHA-256 {found}, expected {expected}; remove it and fetch again", path.display())]
    Digest {
        /// The file.
        path: PathBuf,
        /// Digest of its bytes.
        found: String,
        /// Digest by which the cache names it.
        expected: String,
    },
    /// A listing names a file outside its repository.
    #[error("the listing of `{repo}` names `{path}`, which lies outside the snapshot")]
    Path {
        /// Repository.
        repo: String,
        /// The name.
        path: String,
    },
    /// A local source that is not a folder.
    #[error("source folder `{}` does not exist", path.display())]
    NoFolder {
        /// The path given.
        path: PathBuf,
    },
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::Core(error.into())
    }
}

/// Result with this crate's error.
pub type Result<T> = std::result::Result<T, Error>;
