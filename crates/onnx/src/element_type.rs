//! Element types of tensors.

/// `TensorProto.DataType`.
pub use crate::messages::tensor_proto::DataType as ElementType;
use planforge_types::DataType;

/// Element types that inputs and outputs may have.
pub(crate) const SERVED: [DataType; 5] =
    [DataType::Fp32, DataType::Fp16, DataType::Int64, DataType::Int32, DataType::Bool];

impl ElementType {
    /// The type of this number; [`ElementType::Undefined`] for one that this version of ONNX does not have.
    #[must_use]
    pub fn from_number(number: i32) -> Self {
        Self::try_from(number).unwrap_or(Self::Undefined)
    }

    /// The type of a model's input, output or weight, where planforge handles it.
    #[must_use]
    pub fn data_type(self) -> Option<DataType> {
        DataType::ALL.into_iter().find(|&data_type| Self::from(data_type) == self)
    }

    /// Whether it is one of the 8-bit floating-point types.
    #[must_use]
    pub const fn is_fp8(self) -> bool {
        matches!(self, Self::Float8e4m3fn | Self::Float8e4m3fnuz | Self::Float8e5m2 | Self::Float8e5m2fnuz)
    }
}

impl From<DataType> for ElementType {
    fn from(data_type: DataType) -> Self {
        match data_type {
            DataType::Fp32 => Self::Float,
            DataType::Fp16 => Self::Float16,
            DataType::Bf16 => Self::Bfloat16,
            DataType::Int64 => Self::Int64,
            DataType::Int32 => Self::Int32,
            DataType::Bool => Self::Bool,
        }
    }
}
