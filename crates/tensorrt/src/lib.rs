//! The one place that touches TensorRT: building engines from ONNX and reading their headers.
//!
//! The libraries are opened at run time. Building needs no GPU and no CUDA driver. Native code can
//! crash, so callers run [`build_engine`] in a process of its own.

mod build;
mod error;
mod header;
mod heap;
mod library;
mod types;

pub use build::{BuildRequest, BuiltEngine, EngineTensor, InputShapes, ProfileShapes, Severity, build_engine};
pub use error::{Error, Result};
pub use header::{Header, read_header};
pub use library::{Libraries, library_version, parser_version};
pub use types::{NetworkTypes, Product};
