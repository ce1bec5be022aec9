//! Words that every crate shares: element types, precisions, tensors, compute capabilities, digests, error kinds and
//! progress events. Plain values without I/O; every crate may depend on this one, and it depends on none.

mod contained;
mod data_type;
mod digest;
mod error_kind;
mod hardware;
mod precision;
mod progress;
pub mod seconds;
mod tensor;
mod weight_transform;

pub use contained::{contained, keep_contained_panics_quiet};
pub use data_type::DataType;
pub use digest::{Digest, InvalidDigest};
pub use error_kind::{ErrorKind, io_hint};
pub use hardware::{ComputeCapability, HardwareCompatibility, InvalidComputeCapability};
pub use precision::Precision;
pub use progress::{Event, EventKind, NoProgress, Outcome, Progress, Step};
pub use tensor::{Dim, InputShapes, TensorSpec, fixed_batch};
pub use weight_transform::WeightTransform;
