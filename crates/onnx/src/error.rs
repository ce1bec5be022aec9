//! What can be wrong with an ONNX file.

use crate::element_type::SERVED;
use planforge_types::ErrorKind;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Bytes that are not an encoded `ModelProto`.
    #[error(transparent)]
    Decode(#[from] prost::DecodeError),
    /// A model without a graph.
    #[error("the model has no graph")]
    NoGraph,
    /// A field that only a later version of ONNX has; encoding the file again would lose it.
    #[error("unknown field {number} of message `{message}`; expected the fields of ONNX {}", crate::VERSION)]
    UnknownField {
        /// Full name of the message, such as `onnx.GraphProto`.
        message: &'static str,
        /// Number of the field.
        number: u32,
    },
    /// Operators within operators, where a change of all operators does not reach.
    #[error("the model has functions or subgraphs; expected operators of the graph alone")]
    NestedOperators,
    /// A graph that takes or gives nothing.
    #[error("the graph has no inputs or no outputs")]
    NoInterface,
    /// An input or output that is a sequence, a map or the like.
    #[error("{role} `{name}` is not a tensor")]
    NotATensor {
        /// `input` or `output`.
        role: &'static str,
        /// Its name.
        name: String,
    },
    /// An input or output of a type that is not served.
    #[error("{role} `{name}` has unsupported element type number {number}; expected {}", served())]
    UnsupportedElementType {
        /// `input` or `output`.
        role: &'static str,
        /// Its name.
        name: String,
        /// Number in `TensorProto.DataType`.
        number: i32,
    },
    /// An input or output of any number of dimensions.
    #[error("{role} `{name}` has no shape")]
    NoShape {
        /// `input` or `output`.
        role: &'static str,
        /// Its name.
        name: String,
    },
    /// A tensor of a shape that no model needs.
    #[error("{role} `{name}` is too large: its shape has {element_count} elements; expected at most {limit}")]
    TooLarge {
        /// `input`, `output` or `weight`.
        role: &'static str,
        /// Its name.
        name: String,
        /// Elements, or the most that can be counted.
        element_count: u64,
        /// Most elements.
        limit: u64,
    },
    /// A place in another file that is not a number.
    #[error("weight `{weight}` has invalid {key} `{value}`; expected a number of bytes")]
    ExternalNumber {
        /// The weight.
        weight: String,
        /// `offset` or `length`.
        key: &'static str,
        /// Its value.
        value: String,
    },
    /// A weight in another file that is not named.
    #[error("weight `{weight}` is in another file and has no `location`")]
    NoLocation {
        /// The weight.
        weight: String,
    },
    /// A weight in a file outside of the graph's folder.
    #[error("weight `{weight}` has invalid location `{location}`; expected a file within the folder of the graph")]
    ForeignLocation {
        /// The weight.
        weight: String,
        /// Where it is.
        location: String,
    },
    /// No weight of a graph can be left out.
    #[error("the graph has no weights in files of their own")]
    NoExternalWeights,
    /// No operator of a graph takes a weight that is put in later.
    #[error("the graph neither multiplies nor convolves with a weight")]
    NoWeightOperator,
}

impl Error {
    /// The class of the error: the file is always at fault.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        ErrorKind::BadInput
    }

    /// The next step, where there is one.
    #[must_use]
    pub const fn hint(&self) -> Option<&'static str> {
        match self {
            Self::UnknownField { .. } => Some(
                "the file is of a later version of ONNX, and changing it would lose the field; save it with an earlier one",
            ),
            Self::NoExternalWeights => Some("save the model with external data, or do without `compile.strip_weights`"),
            _ => None,
        }
    }
}

/// Element types that inputs and outputs may have, as text.
fn served() -> String {
    SERVED.map(|data_type| data_type.kserve_name().to_lowercase()).join(", ")
}

/// A result with [`enum@Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
