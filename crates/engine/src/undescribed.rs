//! What to do with a checkpoint that planforge does not describe.

use crate::{Error, Result};
use planforge_core::Snapshot;

/// Adds to the refusal of a checkpoint how an ONNX file can be used instead.
pub(crate) fn with_onnx_route<T>(snapshot: &Snapshot, result: Result<T>) -> Result<T> {
    result.map_err(|error| match error {
        Error::UnsupportedModelType { .. }
        | Error::Config { .. }
        | Error::MissingTensor { .. }
        | Error::TensorShape { .. }
        | Error::EmptyTensor { .. }
        | Error::TensorType { .. }
        | Error::UnusedTensors { .. } => {
            Error::Undescribed { refusal: Box::new(error), graphs: snapshot.graphs.clone() }
        }
        other => other,
    })
}
