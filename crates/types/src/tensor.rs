//! Names, element types and shapes of a model's inputs and outputs.

use crate::DataType;
use serde::{Deserialize, Serialize};
use std::fmt;

/// One dimension of a tensor.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dim {
    /// Known when the model is exported.
    Fixed(u64),
    /// Chosen by each request; the name is shared by all tensors that must agree.
    Dynamic(String),
}

impl Dim {
    /// A dynamic dimension of this name.
    #[must_use]
    pub fn dynamic(name: &str) -> Self {
        Self::Dynamic(name.to_owned())
    }
}

/// Name, element type and shape of a model's input or output; the batch dimension comes first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TensorSpec {
    /// Tensor name in the graph.
    pub name: String,
    /// Element type.
    pub data_type: DataType,
    /// Dimensions, batch first.
    pub dims: Vec<Dim>,
}

impl TensorSpec {
    /// A tensor of this name, type and shape.
    #[must_use]
    pub fn new(name: &str, data_type: DataType, dims: Vec<Dim>) -> Self {
        Self { name: name.to_owned(), data_type, dims }
    }
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(size) => size.fmt(f),
            Self::Dynamic(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for TensorSpec {
    /// The name and the shape: `` `input_ids` [batch, sequence] ``.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dims: Vec<_> = self.dims.iter().map(ToString::to_string).collect();
        write!(f, "`{}` [{}]", self.name, dims.join(", "))
    }
}

/// Shapes of one input in one optimization profile; dimensions are signed, as in TensorRT's interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputShapes {
    /// Name of the input.
    pub name: String,
    /// Smallest shape.
    pub min: Vec<i64>,
    /// Shape to optimise for.
    pub opt: Vec<i64>,
    /// Largest shape.
    pub max: Vec<i64>,
}

/// The batch of a model none of whose inputs takes another; none where an input leaves it to each request.
#[must_use]
pub fn fixed_batch(inputs: &[TensorSpec]) -> Option<u64> {
    let size = |input: &TensorSpec| match input.dims.first()? {
        Dim::Fixed(size) => Some(*size),
        Dim::Dynamic(_) => None,
    };
    inputs.iter().map(size).min().flatten()
}
