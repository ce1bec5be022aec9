//! What can go wrong around TensorRT.

use planforge_types::ErrorKind;
use std::path::PathBuf;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A native library is missing or cannot be opened.
    #[error("native library `{}` cannot be opened", path.display())]
    Library {
        /// Where it was looked for.
        path: PathBuf,
        /// The dynamic linker's error.
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
    /// The builder gave no engine; the log has the reason.
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
    #[error(
        "unsupported compute capability {found}; expected one that TensorRT-RTX builds for: `planforge gpus` lists them"
    )]
    ComputeCapability {
        /// The compute capability.
        found: planforge_types::ComputeCapability,
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
    /// An engine was to run, and there is no CUDA driver.
    #[error("there is no CUDA driver here (`libcuda.so.1`), and engines run on NVIDIA GPUs only")]
    NoDriver,
    /// An engine was to run on a GPU that is not there.
    #[error("unknown GPU {ordinal}: the CUDA driver sees {count}")]
    NoGpu {
        /// The number asked for, from 0 on.
        ordinal: usize,
        /// GPUs that are there.
        count: usize,
    },
    /// Another library is in use; a process holds one for its lifetime.
    #[error("cannot load TensorRT-RTX from `{}`: this process has loaded `{}`", asked.display(), loaded.display())]
    OtherLibrary {
        /// The library asked for.
        asked: PathBuf,
        /// The library in use.
        loaded: PathBuf,
    },
    /// An engine of another version of the library.
    #[error("`{}` was built by TensorRT-RTX {engine}, the library here is {library}; compile it again", path.display())]
    EngineVersion {
        /// The engine.
        path: PathBuf,
        /// Version that built it.
        engine: String,
        /// Version that is here.
        library: String,
    },
    /// An engine for other GPUs.
    #[error("`{}` was built for compute capability {targets}, the GPU here ({gpu}) has {found}; compile it for that one",
        path.display())]
    EngineTarget {
        /// The engine.
        path: PathBuf,
        /// Compute capabilities in its header.
        targets: String,
        /// The GPU's product name.
        gpu: String,
        /// Its compute capability.
        found: String,
    },
    /// An engine that the library calls invalid here, by its header.
    #[error("`{}` cannot be run here: {reason}", path.display())]
    InvalidEngine {
        /// The engine.
        path: PathBuf,
        /// What the library found.
        reason: String,
    },
    /// The library cannot load an engine.
    #[error("TensorRT cannot load `{}`: {log}", path.display())]
    Deserialize {
        /// The engine.
        path: PathBuf,
        /// The library's last errors.
        log: String,
    },
    /// An engine was built without weights, and some of them are not given.
    #[error(
        "`{}` was built without its weights, and {count} of them are not given: {names}; the list of its weights is \
         `{}` in its folder, with the files that it names",
        path.display(),
        path.with_extension("weights.json").file_name().unwrap_or_default().to_string_lossy()
    )]
    MissingWeights {
        /// The engine.
        path: PathBuf,
        /// How many are missing.
        count: usize,
        /// The first few of them.
        names: String,
    },
    /// A weight that is given is not what the engine asks for.
    #[error("weight `{name}` of `{}` has {found}, expected {expected}", path.display())]
    WeightValues {
        /// The engine.
        path: PathBuf,
        /// The weight.
        name: String,
        /// Number and type of its elements.
        found: String,
        /// Those of the engine.
        expected: String,
    },
    /// The library cannot put weights into an engine.
    #[error("TensorRT cannot put weights into `{}`: {log}", path.display())]
    Refit {
        /// The engine.
        path: PathBuf,
        /// The library's last errors.
        log: String,
    },
    /// A weight that would stay in an engine that is to be built without.
    #[error(
        "weight `{name}` of `{}` cannot be left out of an engine, which could then not be shared; leave key \
         `compile.strip_weights` out",
        path.display()
    )]
    NotLeftOut {
        /// The graph.
        path: PathBuf,
        /// The weight.
        name: String,
    },
    /// A file cannot be mapped into memory.
    #[error("`{}` cannot be mapped into memory", path.display())]
    Map {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The library cannot run an engine.
    #[error("TensorRT cannot run the engine: {log}")]
    Execution {
        /// The library's last errors.
        log: String,
    },
    /// An input beyond all optimization profiles.
    #[error("input `{name}` has shape {shape:?}, the engine was built for {expected}")]
    Shape {
        /// The input.
        name: String,
        /// Its shape.
        shape: Vec<i64>,
        /// What the profiles take.
        expected: String,
    },
    /// An input or output that is missing, or that an engine cannot be given.
    #[error("tensor `{name}` {reason}")]
    Tensor {
        /// The tensor.
        name: String,
        /// What is wrong with it, as the rest of the sentence.
        reason: String,
    },
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

impl Error {
    /// The class of the error.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Library { .. }
            | Self::Version { .. }
            | Self::Trtexec { .. }
            | Self::NoDriver
            | Self::NoGpu { .. }
            | Self::EngineVersion { .. }
            | Self::EngineTarget { .. }
            | Self::InvalidEngine { .. } => ErrorKind::Environment,
            Self::Shape { .. } | Self::MissingWeights { .. } => ErrorKind::BadInput,
            _ => ErrorKind::Internal,
        }
    }

    /// The next step, where the text does not name it.
    #[must_use]
    pub const fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoDriver | Self::NoGpu { .. } => {
                Some("engines are built anywhere, and run on a machine with an NVIDIA GPU and its driver")
            }
            Self::EngineTarget { .. } => {
                Some("`planforge compile PIPELINE --gpu auto` makes an engine for the GPU of this machine")
            }
            _ => None,
        }
    }
}

/// Result with this crate's error.
pub type Result<T> = std::result::Result<T, Error>;
