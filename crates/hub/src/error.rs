//! What can go wrong between the Hub and a snapshot.

use std::path::PathBuf;
use std::time::Duration;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file, digest or cancellation error.
    #[error(transparent)]
    Core(#[from] planforge_core::Error),
    /// The Hub has no such repository, or none that it shows to whom it is asked by.
    #[error("the Hub at `{endpoint}` has no repository `{repo}`, or shows it only to those with a token for it")]
    NoRepository {
        /// Repository.
        repo: String,
        /// Base URL.
        endpoint: String,
    },
    /// The repository has no such branch, tag or commit.
    #[error("`{repo}` has no branch, tag or commit `{revision}`")]
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
    #[error("the Hub at `{endpoint}` refuses `{repo}` with {status}{}", said(message))]
    Denied {
        /// Repository.
        repo: String,
        /// Base URL.
        endpoint: String,
        /// Status of the answer.
        status: String,
        /// What the Hub said.
        message: String,
    },
    /// An answer that is no success.
    #[error("`{url}` answered {status}{}", asked(*pause))]
    Answer {
        /// What was asked for.
        url: String,
        /// Status of the answer.
        status: String,
        /// How long the server asked to be left alone.
        pause: Option<Duration>,
    },
    /// A connection that was not made, was silent, or ended early.
    #[error("the connection for `{url}` failed: {}", innermost(cause))]
    Connection {
        /// What was asked for.
        url: String,
        /// What the client said.
        cause: reqwest::Error,
    },
    /// An answer with fewer bytes than were asked for.
    #[error("`{url}` gave {found} bytes, expected {expected}")]
    Short {
        /// What was asked for.
        url: String,
        /// Bytes that came.
        found: u64,
        /// Bytes asked for.
        expected: u64,
    },
    /// What may pass did not.
    #[error("gave up after {attempts} {}", if *attempts == 1 { "attempt" } else { "attempts" })]
    GaveUp {
        /// How many attempts there were.
        attempts: u32,
        /// How the last one failed.
        source: Box<Error>,
    },
    /// hf-hub failed in another way.
    #[error("the Hub cannot give `{repo}` at `{revision}`")]
    Hub {
        /// Repository.
        repo: String,
        /// Revision asked for.
        revision: String,
        /// What the client said.
        #[source]
        source: Box<hf_hub::HFError>,
    },
    /// A base URL that is none.
    #[error("`{endpoint}` is no URL of a Hub")]
    Endpoint {
        /// What was given.
        endpoint: String,
    },
    /// A listing that cannot be followed.
    #[error("the Hub lists `{repo}` with {what}")]
    Listing {
        /// Repository.
        repo: String,
        /// What is wrong with it.
        what: String,
    },
    /// Bytes that do not have the digest the Hub lists, twice.
    #[error("`{file}` of `{repo}` came with {algorithm} {found}, the Hub lists {expected}; what came was removed")]
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
    /// There is too little room for what is to be fetched.
    #[error("`{}` has room for {free} bytes, and {needed} are to be fetched", folder.display())]
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
    #[error("`{}` has {algorithm} {found}, expected {expected}; remove it and fetch again", path.display())]
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
    #[error("the listing of `{repo}` names `{path}`, which lies outside the snapshot")]
    Path {
        /// Repository.
        repo: String,
        /// The name.
        path: String,
    },
    /// A local source that is not a folder.
    #[error("source folder `{}` does not exist or is not a folder; key `source.path` is relative to the pipeline file", path.display())]
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

fn said(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}

fn asked(pause: Option<Duration>) -> String {
    pause.map_or_else(String::new, |pause| format!(" and asks for a pause of {} s", pause.as_secs()))
}

/// The cause behind the layers of an HTTP client's error, which say little.
fn innermost(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "it was silent for too long".to_owned();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
