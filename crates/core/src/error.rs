//! Errors of this crate, their kinds and next steps.

use crate::{ErrorKind, Mistake, io_hint};
use std::path::PathBuf;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read, written, linked or renamed; the text names the path.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// A pipeline or catalogue file is not valid TOML for its type; `message` carries line and key.
    #[error("`{}` is not a valid {what}: {message}", path.display())]
    Parse {
        /// What the file should have been, such as "pipeline file".
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The parser's account, with line, column and key.
        message: String,
    },
    /// A pipeline file has mistakes.
    #[error("invalid pipeline file `{}`{}", path.display(), listed(mistakes))]
    Pipeline {
        /// The file.
        path: PathBuf,
        /// All of them, by line; at least one.
        mistakes: Vec<Mistake>,
    },
    /// A value in a pipeline file or lock parses but makes no sense.
    #[error("`{}`: key `{key}`: {message}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The key, dotted.
        key: String,
        /// What is wrong and what would be right.
        message: String,
    },
    /// A GPU or instance type that is not in the catalogue.
    #[error("unknown GPU `{name}`; did you mean {nearest}? `planforge gpus` lists all")]
    UnknownGpu {
        /// The name that was given.
        name: String,
        /// The nearest names, quoted.
        nearest: String,
    },
    /// A GPU that the builder does not support, or not in this precision.
    #[error("unsupported GPU `{gpu}`: {reason}")]
    UnsupportedGpu {
        /// The catalogue name.
        gpu: String,
        /// Why, and the nearest alternative.
        reason: String,
    },
    /// No GPU type is left that the builder supports.
    #[error(
        "no GPU type of `compile.gpus` supports a precision of `export.precisions` with builder `{builder}`; `planforge gpus` \
         lists what each supports"
    )]
    NoTarget {
        /// The builder.
        builder: String,
    },
    /// A release of Triton that is not in the table.
    #[error("unknown Triton release `{name}`; expected one of {known}")]
    UnknownTriton {
        /// The name asked for.
        name: String,
        /// The names that exist.
        known: String,
    },
    /// A plan that the server would not load.
    #[error(
        "Triton {release} has TensorRT {needed}{doubt} and loads plans of that version only; `trtexec` is of {found}: use the \
         one in the container, or set `compile.version_compatible` with an earlier one"
    )]
    TritonVersion {
        /// The release.
        release: String,
        /// Its TensorRT.
        needed: String,
        /// The tool's.
        found: String,
        /// A remark where the table is not certain.
        doubt: &'static str,
    },
    /// A cache record cannot be read back.
    #[error("cache record `{}` is corrupt", path.display())]
    CacheRecord {
        /// The record file.
        path: PathBuf,
        /// The JSON reader's error.
        #[source]
        source: serde_json::Error,
    },
    /// The user asked to stop.
    #[error("interrupted")]
    Cancelled,
}

/// Result with this crate's error.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// The class of the error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Io(error) => ErrorKind::of_io(error),
            Self::Parse { .. }
            | Self::Pipeline { .. }
            | Self::Value { .. }
            | Self::UnknownGpu { .. }
            | Self::UnsupportedGpu { .. }
            | Self::NoTarget { .. }
            | Self::UnknownTriton { .. } => ErrorKind::BadInput,
            Self::TritonVersion { .. } => ErrorKind::Environment,
            Self::CacheRecord { .. } => ErrorKind::Internal,
            Self::Cancelled => ErrorKind::Cancelled,
        }
    }

    /// The next step, where the text does not name it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Io(error) => io_hint(error),
            Self::CacheRecord { .. } => Some("`planforge cache prune --damaged` removes it"),
            _ => None,
        }
    }
}

/// One mistake on the same line, several on lines of their own.
fn listed(mistakes: &[Mistake]) -> String {
    match mistakes {
        [one] if one.line.is_some() => format!(", {one}"),
        [one] => format!(": {one}"),
        _ => {
            let lines: String = mistakes.iter().map(|mistake| format!("\n  {mistake}")).collect();
            format!(": {} mistakes{lines}", mistakes.len())
        }
    }
}
