//! How TensorRT derives a weight of an engine from weights of a graph.

use serde::{Deserialize, Serialize};

/// How a weight of an engine is made of weights of the checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum WeightTransform {
    /// It is the one source.
    Identity,
    /// It is the one source, a matrix of so many rows, with rows and columns changed over.
    Transposed {
        /// Rows of the source.
        rows: u64,
    },
    /// `scale / sqrt(variance + epsilon)` of the sources scale, bias, mean and variance.
    BatchNormScale {
        /// Added to the variance.
        epsilon: f32,
    },
    /// `bias - mean * scale / sqrt(variance + epsilon)` of the sources scale, bias, mean and variance.
    BatchNormBias {
        /// Added to the variance.
        epsilon: f32,
    },
}
