//! How TensorRT derives a weight of an engine from weights of a graph.

use serde::{Deserialize, Serialize};

/// How a weight of an engine is computed from weights of the graph.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum WeightTransform {
    /// The one source, unchanged.
    Identity,
    /// The transpose of the one source, a matrix.
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
