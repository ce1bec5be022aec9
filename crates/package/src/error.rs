//! What can go wrong when packages are made, published and read back.

use planforge_archive::InvalidArchive;
use planforge_core::{Digest, ModelFormat};
use std::fmt;
use std::path::PathBuf;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An error of the shared parts: I/O, the cache, or the user's wish to stop.
    #[error(transparent)]
    Core(#[from] planforge_core::Error),
    /// A file could not be read, written or linked; the text names the path.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// An error of writing or reading an archive.
    #[error(transparent)]
    Archive(planforge_archive::Error),
    /// An error of writing a configuration.
    #[error(transparent)]
    Config(#[from] planforge_triton_config::Error),
    /// A record names a file that its artifact does not have.
    #[error("artifact `{}` has no file `{file}`", folder.display())]
    MissingFile {
        /// The artifact's folder.
        folder: PathBuf,
        /// The file.
        file: String,
    },
    /// A file is not the one that was recorded when it was made.
    #[error("`{}` has changed since it was made: its digest is {found}, recorded is {recorded}", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
        /// Digest in the record.
        recorded: Digest,
        /// Digest now.
        found: Digest,
    },
    /// The package of an engine was asked for without the engine, or the other way round.
    #[error("variant `{variant}` {} an engine", if *.needed { "needs" } else { "takes no" })]
    Engine {
        /// The variant.
        variant: String,
        /// Whether the variant is one of an engine.
        needed: bool,
    },
    /// Two engines for GPU types that a server cannot tell apart.
    #[error(
        "the engines for `{one}` and `{two}` differ, and of one archive Triton takes the engine by compute capability \
         ({capability}) alone; leave one of them out of `compile.gpus`, or set `package.fat = false`"
    )]
    SameCapability {
        /// One GPU type.
        one: String,
        /// The other.
        two: String,
        /// Their compute capability.
        capability: String,
    },
    /// A model in another format than the variant's.
    #[error("variant `{variant}` is made from {needed}, not from {found}")]
    Format {
        /// The variant.
        variant: String,
        /// The format it is made from.
        needed: ModelFormat,
        /// The format given.
        found: ModelFormat,
    },
    /// The library of planforge's backend that an archive was to carry.
    #[error("the Triton backend `{}` is missing; build it with `cargo build --release --workspace`", path.display())]
    MissingBackend {
        /// Where it was expected.
        path: PathBuf,
    },
    /// A package that Triton would refuse, because of what a user adds to its configuration.
    #[error("variant `{variant}`: Triton would not load it: `{place}`: {message}")]
    Refused {
        /// The variant.
        variant: String,
        /// Where: a path in the archive, with the line for a configuration.
        place: String,
        /// What is wrong.
        message: String,
    },
    /// The address of a store does not parse.
    #[error("store `{url}`: {reason}")]
    StoreUrl {
        /// The address given.
        url: String,
        /// What is wrong and what would be right.
        reason: String,
    },
    /// A kind of store that planforge cannot write to.
    #[error("store `{url}`: scheme `{scheme}` is not supported; use `file:///folder` or `s3://bucket/prefix`")]
    UnsupportedStore {
        /// The address given.
        url: String,
        /// Its scheme.
        scheme: String,
    },
    /// A prefix that is not a plain relative one.
    #[error("prefix `{prefix}`: {reason}")]
    Prefix {
        /// The prefix given.
        prefix: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// AWS's standard chain knows no credentials, or could not get them.
    #[error("there are no AWS credentials for `{url}`: {reason}")]
    NoCredentials {
        /// The store.
        url: String,
        /// What the chain says.
        reason: String,
    },
    /// The credentials are not taken: unknown, expired, or with a wrong secret.
    #[error("the AWS credentials for `{url}` were refused ({code}): {reason}")]
    Credentials {
        /// The object or store.
        url: String,
        /// S3's word, such as `ExpiredToken`.
        code: String,
        /// S3's explanation.
        reason: String,
    },
    /// No region is set.
    #[error("no AWS region is known for `{url}`")]
    NoRegion {
        /// The store.
        url: String,
    },
    /// The bucket is somewhere else.
    #[error("bucket `{bucket}` is in region `{found}`, not in `{used}`")]
    Region {
        /// The bucket.
        bucket: String,
        /// Where it is.
        found: String,
        /// Where it was looked for.
        used: String,
    },
    /// There is no such bucket.
    #[error("bucket `{bucket}` does not exist")]
    NoBucket {
        /// The bucket.
        bucket: String,
    },
    /// The credentials do not allow it.
    #[error("{action} `{url}` was denied: {reason}")]
    Denied {
        /// What was tried.
        action: Action,
        /// The object or prefix.
        url: String,
        /// S3's explanation.
        reason: String,
    },
    /// The store failed, or did not answer, also when asked again.
    #[error("{action} `{url}` failed: {reason}")]
    Request {
        /// What was tried.
        action: Action,
        /// The object or prefix.
        url: String,
        /// S3's word where it gave one, such as `SlowDown`.
        code: Option<String>,
        /// Its explanation, or what happened to the connection.
        reason: String,
    },
    /// What the store has is not what was sent.
    #[error("`{url}` is not what was sent: {what} is {found} in the store, expected {expected}")]
    Corrupted {
        /// The object.
        url: String,
        /// Of what: "size", "checksum".
        what: &'static str,
        /// In the store.
        found: String,
        /// Here.
        expected: String,
    },
    /// An archive that an endpoint could not serve.
    #[error("archive `{}` cannot be served: {fault}", path.display())]
    BadArchive {
        /// The archive.
        path: PathBuf,
        /// Why.
        #[source]
        fault: ArchiveFault,
    },
}

impl From<planforge_archive::Error> for Error {
    fn from(error: planforge_archive::Error) -> Self {
        match error {
            planforge_archive::Error::Core(error) => Self::Core(error),
            planforge_archive::Error::Io(error) => Self::Io(error),
            planforge_archive::Error::Changed { path, recorded, found } => Self::Changed { path, recorded, found },
            error @ planforge_archive::Error::Invalid(_) => Self::Archive(error),
        }
    }
}

/// What a store was asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// List objects.
    List,
    /// List uploads that were begun.
    ListUploads,
    /// Tell an object's properties.
    Look,
    /// Take an object, or a part of one.
    Upload,
    /// Make an object of another one.
    Copy,
    /// Take objects away.
    Remove,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::List => "listing",
            Self::ListUploads => "listing the unfinished uploads below",
            Self::Look => "looking at",
            Self::Upload => "uploading",
            Self::Copy => "copying to",
            Self::Remove => "removing",
        })
    }
}

/// Why an archive cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveFault {
    /// It cannot be read.
    #[error(transparent)]
    Archive(#[from] InvalidArchive),
    /// Its configuration cannot be read.
    #[error(transparent)]
    Config(#[from] planforge_triton_config::Error),
    /// Neither `config.pbtxt` nor a folder at the top.
    #[error("it has neither a folder nor a `config.pbtxt` at the top")]
    NoModel,
    /// More than one folder at the top; Triton would serve any of them.
    #[error("it has several folders at the top: {0}")]
    SeveralModels(String),
    /// The model's folder has no configuration.
    #[error("`{0}` is missing")]
    NoConfig(String),
    /// No version folder, or several.
    #[error("expected one version folder such as `1`, found {0}")]
    Versions(String),
    /// The version folder has no model file.
    #[error("`{0}` is missing")]
    NoModelFile(String),
}

/// Result with this crate's error.
pub type Result<T> = std::result::Result<T, Error>;
