//! What can go wrong when a model is loaded and run.

use planforge_core::{DataType, ErrorKind, io_hint};
use std::path::PathBuf;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file is missing or cannot be read; the text names it.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The ONNX Runtime library is missing, is another kind of file, or is too old.
    #[error("`{}` is not a usable ONNX Runtime library: {reason}", path.display())]
    Library {
        /// The library file.
        path: PathBuf,
        /// Message of the loader.
        reason: String,
    },
    /// This process already runs another ONNX Runtime library; it holds one for its lifetime.
    #[error("cannot load ONNX Runtime from `{}`: this process has loaded `{}`", asked.display(), loaded.display())]
    OtherLibrary {
        /// The library asked for.
        asked: PathBuf,
        /// The library in use.
        loaded: PathBuf,
    },
    /// A session was asked for before the library was loaded.
    #[error("the ONNX Runtime library is not loaded")]
    LibraryNotLoaded,
    /// ONNX Runtime refuses the graph or its weights.
    #[error("failed to load `{}`", path.display())]
    Load {
        /// The graph file.
        path: PathBuf,
        /// ONNX Runtime's account.
        #[source]
        source: ort::Error,
    },
    /// The graph has an input or output of a kind or element type that planforge does not handle.
    #[error("tensor `{name}` has type {found}, which is not supported")]
    UnsupportedType {
        /// The input or output.
        name: String,
        /// Its type as ONNX Runtime names it.
        found: String,
    },
    /// An input that the model does not have.
    #[error("unknown input `{name}`; the model's inputs: {known}")]
    UnknownInput {
        /// The name given.
        name: String,
        /// The names that exist.
        known: String,
    },
    /// An input of the model that was not given.
    #[error("input `{name}` is missing")]
    MissingInput {
        /// The input.
        name: String,
    },
    /// An input that was given twice.
    #[error("input `{name}` is given more than once")]
    DuplicateInput {
        /// The input.
        name: String,
    },
    /// An input of another element type.
    #[error("input `{name}` has type {}, expected {}", found.kserve_name(), expected.kserve_name())]
    DataType {
        /// The input.
        name: String,
        /// The type given.
        found: DataType,
        /// The type of the model.
        expected: DataType,
    },
    /// An input of another rank, of another size in a fixed dimension, or with a dimension of size 0.
    #[error("input `{name}` has shape {found:?}, expected {expected}")]
    Shape {
        /// The input.
        name: String,
        /// The shape given.
        found: Vec<usize>,
        /// The shape of the model, with names for dynamic dimensions.
        expected: String,
    },
    /// A tensor whose number of elements is not the product of its shape.
    #[error("tensor `{name}` has {found} elements, its shape {shape:?} needs {expected}")]
    ElementCount {
        /// The tensor.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
        /// Elements given.
        found: usize,
        /// Product of the shape; `usize::MAX` when it is larger than that.
        expected: usize,
    },
    /// Two inputs that give different sizes to the same dynamic dimension.
    #[error("input `{name}` has {dimension} {size}, input `{other}` has {dimension} {other_size}")]
    DimensionDisagrees {
        /// Name of the dimension, such as `sequence`.
        dimension: String,
        /// The later input.
        name: String,
        /// Its size.
        size: usize,
        /// The earlier input.
        other: String,
        /// Its size.
        other_size: usize,
    },
    /// An output that the model does not have.
    #[error("unknown output `{name}`; the model's outputs: {known}")]
    UnknownOutput {
        /// The name asked for.
        name: String,
        /// The names that exist.
        known: String,
    },
    /// ONNX Runtime failed while it ran the graph.
    #[error("inference failed")]
    Run {
        /// ONNX Runtime's account.
        #[source]
        source: ort::Error,
    },
    /// libtorch sees no such GPU.
    #[error(
        "libtorch sees {count} GPUs and cannot use number {number}; a libtorch with CUDA, a driver and a GPU are needed, or \
         the processor"
    )]
    NoCudaForTorch {
        /// The number asked for.
        number: i32,
        /// How many there are for it.
        count: i64,
    },
    /// A file that is not an engine.
    #[error("`{}` is not a TensorRT-RTX engine: {reason}", path.display())]
    NoEngine {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The list of an engine's weights cannot be read.
    #[error(transparent)]
    Core(#[from] planforge_core::Error),
    /// A weight that an engine lacks is not what the list of them states.
    #[error("`{}`: weight `{name}`: {message}", path.display())]
    Weight {
        /// The list.
        path: PathBuf,
        /// The weight.
        name: String,
        /// What is wrong.
        message: String,
    },
    /// An engine cannot be loaded here, or failed while it ran.
    #[error(transparent)]
    Engine(#[from] planforge_tensorrt::Error),
    /// A byte that is not a boolean.
    #[error("input `{name}` has a byte that is neither 0 nor 1")]
    Boolean {
        /// The input.
        name: String,
    },
    /// libtorch refuses a module, or failed while it ran it.
    #[error("libtorch failed with `{}`: {message}", path.display())]
    Torch {
        /// The module file.
        path: PathBuf,
        /// libtorch's account.
        message: String,
    },
}

/// Result with this crate's error.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// The class of the error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            _ if self.is_mistake() => ErrorKind::BadInput,
            Self::Io(error) => ErrorKind::of_io(error),
            Self::Library { .. } | Self::NoCudaForTorch { .. } => ErrorKind::Environment,
            Self::NoEngine { .. } => ErrorKind::BadInput,
            Self::Core(error) => error.kind(),
            Self::Engine(error) => error.kind(),
            _ => ErrorKind::Internal,
        }
    }

    /// The next step, where the text does not name it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Io(error) => io_hint(error),
            Self::Core(error) => error.hint(),
            Self::Engine(error) => error.hint(),
            _ => None,
        }
    }

    /// Whether the request is at fault: the model does not take these inputs or does not have these outputs. All else is the
    /// fault of the model or of what runs it.
    #[must_use]
    pub const fn is_mistake(&self) -> bool {
        matches!(
            self,
            Self::UnknownInput { .. }
                | Self::MissingInput { .. }
                | Self::DuplicateInput { .. }
                | Self::DataType { .. }
                | Self::Shape { .. }
                | Self::ElementCount { .. }
                | Self::DimensionDisagrees { .. }
                | Self::UnknownOutput { .. }
                | Self::Boolean { .. }
                | Self::Engine(planforge_tensorrt::Error::Shape { .. })
        )
    }
}
