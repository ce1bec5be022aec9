//! What can go wrong around TensorRT.

use std::path::PathBuf;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A native library is missing or cannot be opened.
    #[error("native library `{}` cannot be opened", path.display())]
    Library {
        /// Where it was looked for.
        path: PathBuf,
        /// What the dynamic linker said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A library of another version than planforge is made for.
    #[error("`{}` is TensorRT-RTX {found}; planforge is made for {expected}", path.display())]
    Version {
        /// The library.
        path: PathBuf,
        /// Its version.
        found: String,
        /// Versions that work, such as `1.7.x`.
        expected: &'static str,
    },
    /// The ONNX parser refused the graph; the log has the node.
    #[error("TensorRT cannot parse `{}`: {log}", path.display())]
    Parse {
        /// The graph.
        path: PathBuf,
        /// The parser's last errors.
        log: String,
    },
    /// The builder gave no engine; the log says why.
    #[error("TensorRT cannot build `{}`: {log}", path.display())]
    Build {
        /// The graph.
        path: PathBuf,
        /// The builder's last errors.
        log: String,
    },
    /// An input of the graph is missing from a profile, or the other way round.
    #[error("optimization profile {index} does not fit the graph: {message}")]
    Profile {
        /// Position of the profile.
        index: usize,
        /// What does not fit.
        message: String,
    },
    /// A compute capability the library does not know.
    #[error("TensorRT-RTX has no compute capability {major}.{minor}")]
    ComputeCapability {
        /// Architecture generation.
        major: u8,
        /// Variant.
        minor: u8,
    },
    /// The tool `trtexec` does not start, or failed.
    #[error("`{}` failed: {message}", tool.display())]
    Trtexec {
        /// The tool.
        tool: PathBuf,
        /// Why, in its own last errors.
        message: String,
    },
    /// Something that this version of `trtexec` cannot do.
    #[error("trtexec of TensorRT {version} cannot build this: {message}")]
    TrtexecOption {
        /// The version.
        version: String,
        /// What it cannot do.
        message: String,
    },
    /// Bytes that are not a TensorRT-RTX engine.
    #[error("not a TensorRT-RTX engine: {0}")]
    Header(&'static str),
    /// The CUDA driver failed.
    #[error("the CUDA driver failed: {message}")]
    Cuda {
        /// Its error.
        message: String,
    },
    /// A call of the library failed.
    #[error("TensorRT call failed")]
    Call(#[from] trtx::Error),
}

/// Result with this crate's error.
pub type Result<T> = std::result::Result<T, Error>;
