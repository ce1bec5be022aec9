//! What can go wrong when packages are made, published and read back.

use planforge_archive::InvalidArchive;
use planforge_core::ModelFormat;
use planforge_types::{Digest, ErrorKind, io_hint};
use std::path::{Path, PathBuf};

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An error of the shared parts: I/O, the cache, or cancellation.
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
    /// An error of a store.
    #[error(transparent)]
    Store(planforge_store::Error),
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

impl Error {
    /// An error of reading the archive at `path`, which is the archive's own fault or not.
    #[must_use]
    pub fn of_archive(path: &Path, error: planforge_archive::Error) -> Self {
        match error {
            planforge_archive::Error::Invalid(fault) => Self::BadArchive { path: path.to_owned(), fault: fault.into() },
            other => other.into(),
        }
    }

    /// What the error means to the caller.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Core(error) => error.kind(),
            Self::Io(error) => ErrorKind::of_io(error),
            Self::Archive(error) => error.kind(),
            Self::Config(error) => error.kind(),
            Self::Store(error) => error.kind(),
            Self::Refused { .. } | Self::BadArchive { .. } => ErrorKind::BadInput,
            Self::MissingBackend { .. } => ErrorKind::Environment,
            Self::MissingFile { .. }
            | Self::Changed { .. }
            | Self::Engine { .. }
            | Self::SameCapability { .. }
            | Self::Format { .. } => ErrorKind::Internal,
        }
    }

    /// The next step, where there is one.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Core(error) => error.hint(),
            Self::Io(error) => io_hint(error),
            Self::Archive(error) => error.hint(),
            Self::Config(error) => error.hint(),
            Self::Store(error) => error.hint(),
            _ => None,
        }
    }
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

impl From<planforge_store::Error> for Error {
    fn from(error: planforge_store::Error) -> Self {
        match error {
            planforge_store::Error::Core(error) => Self::Core(error),
            planforge_store::Error::Io(error) => Self::Io(error),
            planforge_store::Error::Changed { path, recorded, found } => Self::Changed { path, recorded, found },
            error => Self::Store(error),
        }
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
    /// No version folder that the configuration's version policy takes.
    #[error("expected a version folder such as `1` that the version policy takes, found {0}")]
    Versions(String),
    /// A file of labels that the configuration names.
    #[error("labels `{0}` are missing")]
    NoLabels(String),
    /// The version folder has no model file.
    #[error("`{0}` is missing")]
    NoModelFile(String),
}

/// Result with this crate's error.
pub type Result<T> = std::result::Result<T, Error>;
