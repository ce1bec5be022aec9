//! The messages of the ONNX file format, and their names of element types.

use planforge_core::DataType;
pub(super) use planforge_onnx::{
    Attribute, Dimension, DimensionValue, EXTERNAL, GraphProto, INT64, ModelProto, NodeProto, OperatorSetId, Shape,
    StringEntry, TensorProto, TensorType, TypeProto, ValueInfo,
};

/// `TensorProto.DataType` of an element type.
pub(super) const fn element_type(data_type: DataType) -> i32 {
    match data_type {
        DataType::Fp32 => 1,
        DataType::Int32 => 6,
        DataType::Int64 => 7,
        DataType::Bool => 9,
        DataType::Fp16 => 10,
        DataType::Bf16 => 16,
    }
}
