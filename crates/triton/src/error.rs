//! Errors of the backend, whose texts reach the caller that loads or invokes a model.

use crate::library::NativeLibrary;
use planforge_core::{ErrorKind, io_hint};
use std::path::PathBuf;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The server speaks another version of the backend interface.
    #[error("the server's backend interface is {found}, this backend needs {needed}")]
    Interface { found: String, needed: String },
    /// A call of the server failed.
    #[error("{0}")]
    Server(String),
    /// What the server tells of a model or of its own settings is not what its interface promises.
    #[error("{what} cannot be read")]
    Described {
        what: &'static str,
        #[source]
        source: serde_json::Error,
    },
    /// A parameter of `config.pbtxt` with a value that is none.
    #[error("parameter `{name}` is `{value}`, expected {expected}")]
    Parameter { name: &'static str, value: String, expected: &'static str },
    /// `config.pbtxt` and the model disagree.
    #[error("`config.pbtxt` does not fit the model: {0}")]
    Config(String),
    /// A native library that is not there to load.
    #[error(
        "{} was not found; searched {searched}. Put `{}` ({}) next to the backend, or start the server with \
         `--backend-config=planforge,{}=PATH`",
        library.name, library.file, library.needed, library.setting
    )]
    NoLibrary { library: &'static NativeLibrary, searched: String },
    /// A model file that this backend cannot run here.
    #[error("`{}` is a TensorRT-RTX engine{target}: {reason}", path.display())]
    Engine { path: PathBuf, target: String, reason: String },
    /// A model file of another kind.
    #[error("`{}` is neither an ONNX graph nor an engine: this backend runs `.onnx` and `.plan` files", path.display())]
    FileKind { path: PathBuf },
    /// A file is missing or cannot be read; the text names it.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The model cannot be loaded, or a request cannot be answered.
    #[error(transparent)]
    Runtime(#[from] planforge_runtime::Error),
    /// A GPU that does not tell of itself.
    #[error("a GPU cannot be read")]
    Gpu(#[source] nvml_wrapper::error::NvmlError),
    /// An input that this backend cannot read.
    #[error("input `{name}` {reason}")]
    Input { name: String, reason: String },
    /// An output that cannot be shared among the requests of one batch.
    #[error("output `{name}` has shape {shape:?}, expected {batch} in its first dimension")]
    NotBatched { name: String, shape: Vec<usize>, batch: usize },
    /// A defect of this backend.
    #[error("the backend failed: {0}")]
    Panicked(String),
}

/// Result with this crate's error.
pub(crate) type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// The class of the error.
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::Parameter { .. } | Self::Config(_) | Self::Input { .. } => ErrorKind::BadInput,
            Self::Interface { .. }
            | Self::NoLibrary { .. }
            | Self::Engine { .. }
            | Self::FileKind { .. }
            | Self::Gpu(_) => ErrorKind::Environment,
            Self::Io(error) => ErrorKind::of_io(error),
            Self::Runtime(error) => error.kind(),
            Self::Server(_) | Self::Described { .. } | Self::NotBatched { .. } | Self::Panicked(_) => {
                ErrorKind::Internal
            }
        }
    }

    /// The next step, where the text does not name it.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Io(error) => io_hint(error),
            Self::Runtime(error) => error.hint(),
            _ => None,
        }
    }

    /// The error and everything that caused it, in one line.
    pub(crate) fn chain(&self) -> String {
        let causes = std::iter::successors(Some(self as &dyn std::error::Error), |error| error.source());
        let mut lines: Vec<String> = causes.map(ToString::to_string).collect();
        lines.dedup();
        lines.join(": ")
    }
}
