//! What can go wrong between the Hub and a snapshot.

use planforge_types::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file, digest or cancellation error.
    #[error(transparent)]
    Core(#[from] planforge_core::Error),
    /// The Hub has no such repository, or hides it without a token that may see it.
    #[error("repository `{repo}` not found on the Hub at `{endpoint}`; it may be private")]
    NoRepository {
        /// Repository.
        repo: String,
        /// Base URL.
        endpoint: String,
    },
    /// The repository has no such branch, tag or commit.
    #[error("revision `{revision}` not found in `{repo}`; expected a branch, tag or commit")]
    NoRevision {
        /// Repository.
        repo: String,
        /// Revision asked for.
        revision: String,
    },
    /// The repository's terms have not been accepted by the token's owner, or there is no token.
    #[error(
        "`{repo}` is gated: the Hub gives its files only to accounts that have been granted access at `{endpoint}/{repo}`"
    )]
    Gated {
        /// Repository.
        repo: String,
        /// Base URL.
        endpoint: String,
    },
    /// The token is not good, or not for this repository.
    #[error("the Hub at `{endpoint}` denied access to `{repo}`: {status}{}", detail(message))]
    Denied {
        /// Repository.
        repo: String,
        /// Base URL.
        endpoint: String,
        /// Status of the answer.
        status: String,
        /// The Hub's message; may be empty.
        message: String,
    },
    /// An answer that is no success.
    #[error("`{url}` answered {status}{}", requested_pause(*pause))]
    Answer {
        /// What was asked for.
        url: String,
        /// Status of the answer.
        status: String,
        /// Pause that the server asked for with `Retry-After`.
        pause: Option<Duration>,
    },
    /// A connection that was not made, was silent, or ended early.
    #[error("connection failed for `{url}`: {}", innermost(cause))]
    Connection {
        /// What was asked for.
        url: String,
        /// Error of the HTTP client.
        cause: reqwest::Error,
    },
    /// An answer with fewer bytes than were asked for.
    #[error("short response from `{url}`: {found} bytes; expected {expected}")]
    Short {
        /// What was asked for.
        url: String,
        /// Bytes that came.
        found: u64,
        /// Bytes asked for.
        expected: u64,
    },
    /// A transient failure that outlasted every attempt.
    #[error("failed after {attempts} {}", if *attempts == 1 { "attempt" } else { "attempts" })]
    GaveUp {
        /// How many attempts there were.
        attempts: u32,
        /// How the last one failed.
        source: Box<Error>,
    },
    /// A text that is not the URL of a Hub.
    #[error("invalid Hub endpoint `{endpoint}`; expected a URL")]
    Endpoint {
        /// What was given.
        endpoint: String,
    },
    /// A listing that cannot be followed.
    #[error("invalid listing of `{repo}`: {what}")]
    Listing {
        /// Repository.
        repo: String,
        /// What is wrong with it.
        what: String,
    },
    /// Bytes that do not have the digest the Hub lists, twice.
    #[error(
        "{algorithm} mismatch for `{file}` of `{repo}`: expected {expected}, got {found}; the download was deleted"
    )]
    Corrupt {
        /// Repository.
        repo: String,
        /// The file.
        file: String,
        /// Kind of digest.
        algorithm: &'static str,
        /// Digest of what came.
        found: String,
        /// Digest listed.
        expected: String,
    },
    /// The disk has too little free space for the download.
    #[error("not enough disk space in `{}`: {free} bytes free, {needed} needed", folder.display())]
    Space {
        /// Where files go.
        folder: PathBuf,
        /// Bytes to fetch.
        needed: u64,
        /// Bytes free.
        free: u64,
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
    #[error("`{file}` not found in `{repo}`; every checkpoint needs it{instead}")]
    Incomplete {
        /// Repository or folder.
        repo: String,
        /// What is missing.
        file: String,
        /// What it has instead, and the next step; may be empty.
        instead: String,
    },
    /// The repository or folder has no weights in a format that is read.
    #[error(
        "no weights found in `{repo}`; expected `model.safetensors` or `pytorch_model.bin`, or their shards{instead}"
    )]
    NoWeights {
        /// Repository or folder.
        repo: String,
        /// What it has instead, and the next step; may be empty.
        instead: String,
    },
    /// The repository or folder is an adapter of another model.
    #[error(
        "`adapter_config.json` in `{repo}`: it is a PEFT adapter of another model; merge it into that model with \
         `merge_and_unload()` of Python's `peft`, save the result with its tokenizer, and use that; if its weights are merged \
         already, remove the file{instead}"
    )]
    Adapter {
        /// Repository or folder.
        repo: String,
        /// What it has instead, and the next step; may be empty.
        instead: String,
    },
    /// The ONNX file that was asked for is not in the repository.
    #[error("`{graph}` not found in `{repo}`; its ONNX files: {others}")]
    NoGraph {
        /// Repository or folder.
        repo: String,
        /// What was asked for.
        graph: String,
        /// What there is.
        others: String,
    },
    /// A file whose content is not what its name in the cache promises.
    #[error("{algorithm} mismatch for cached file `{}`: expected {expected}, got {found}; delete it and fetch again", path.display())]
    Digest {
        /// The file.
        path: PathBuf,
        /// Kind of digest.
        algorithm: &'static str,
        /// Digest of its bytes.
        found: String,
        /// Digest by which the cache names it.
        expected: String,
    },
    /// A listing names a file outside its repository.
    #[error("invalid path `{path}` in the listing of `{repo}`: it leads outside the snapshot")]
    Path {
        /// Repository.
        repo: String,
        /// The name.
        path: String,
    },
    /// A file that Git LFS did not fetch.
    #[error("`{}` is a Git LFS pointer instead of the file itself", path.display())]
    LfsPointer {
        /// The file.
        path: PathBuf,
    },
    /// A local source that is not a folder.
    #[error("source folder `{}` does not exist or is not a folder; key `source.path` is relative to the pipeline file", path.display())]
    NoFolder {
        /// The path given.
        path: PathBuf,
    },
    /// A local source that is more than a checkpoint.
    #[error("source folder `{}` has more than {limit} files; expected the folder of one checkpoint", path.display())]
    TooManyFiles {
        /// The path given.
        path: PathBuf,
        /// Most files of a folder.
        limit: usize,
    },
    /// A token that no HTTP header can carry.
    #[error(
        "invalid access token: {what}; expected the token of HF_TOKEN or of the token file in one line of ASCII characters"
    )]
    Token {
        /// What is wrong with it.
        what: &'static str,
    },
}

impl Error {
    /// What the failure means to the caller.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Core(error) => error.kind(),
            Self::NoRepository { .. } | Self::NoRevision { .. } | Self::NotCached { .. } => ErrorKind::NotFound,
            Self::Gated { .. } | Self::Denied { .. } => ErrorKind::Denied,
            Self::Connection { .. } | Self::Short { .. } | Self::GaveUp { .. } | Self::Corrupt { .. } => {
                ErrorKind::Transient
            }
            Self::Endpoint { .. }
            | Self::NoFolder { .. }
            | Self::TooManyFiles { .. }
            | Self::Token { .. }
            | Self::NoGraph { .. }
            | Self::Incomplete { .. }
            | Self::NoWeights { .. }
            | Self::Adapter { .. }
            | Self::LfsPointer { .. } => ErrorKind::BadInput,
            Self::Space { .. } => ErrorKind::Environment,
            Self::Answer { .. } | Self::Listing { .. } | Self::Digest { .. } | Self::Path { .. } => ErrorKind::Internal,
        }
    }

    /// The next step, where there is one.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Core(error) => error.hint(),
            Self::NotCached { .. } => {
                Some("unset HF_HUB_OFFLINE to fetch it, or set HF_HUB_CACHE to the cache that has it")
            }
            Self::NoRepository { .. } => Some("check the repository's name; for a private one, set HF_TOKEN"),
            Self::NoRevision { .. } => Some("check the key `source.revision`"),
            Self::Gated { .. } => Some("ask for access on that page, and set HF_TOKEN to a token of the same account"),
            Self::Denied { .. } => Some("check HF_TOKEN, or the token that `hf auth login` stored"),
            Self::GaveUp { .. } => Some("run again, which resumes the download; HF_HUB_OFFLINE=1 uses the cache alone"),
            Self::Endpoint { .. } => Some("set HF_ENDPOINT to a URL such as https://huggingface.co, or unset it"),
            Self::Incomplete { .. } | Self::NoWeights { .. } => Some(
                "save the model with its own library as `model.safetensors` next to its `config.json`, or as an ONNX file that key \
                 `source.graph` names",
            ),
            Self::LfsPointer { .. } => {
                Some("run `git lfs install` and `git lfs pull` in its repository, which fetch the file")
            }
            Self::Space { .. } => Some("free some space there, or set HF_HUB_CACHE to a folder on another disk"),
            _ => None,
        }
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::Core(error.into())
    }
}

/// Result with this crate's error.
pub type Result<T> = std::result::Result<T, Error>;

fn detail(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}

fn requested_pause(pause: Option<Duration>) -> String {
    pause.map_or_else(String::new, |pause| format!(" and asks for a pause of {} s", pause.as_secs()))
}

/// The innermost cause of an HTTP client's error, whose outer layers do not name it.
fn innermost(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no data within the time limit".to_owned();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
