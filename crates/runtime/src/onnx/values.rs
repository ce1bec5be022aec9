//! Bytes in and out of ONNX Runtime's typed tensors.

use crate::TensorView;
use bytemuck::{NoUninit, Pod};
use half::{bf16, f16};
use ort::session::SessionInputValue;
use ort::value::{DynValue, PrimitiveTensorElementType, Tensor, TensorRef};
use planforge_core::DataType;
use std::fmt::Debug;

/// An input over the bytes of `view`, which are copied only where they are not aligned for their type.
pub(super) fn lend<'a>(view: &TensorView<'a>) -> ort::Result<SessionInputValue<'a>> {
    match view.data_type {
        DataType::Fp32 => lend_as::<f32>(view),
        DataType::Fp16 => lend_as::<f16>(view),
        DataType::Bf16 => lend_as::<bf16>(view),
        DataType::Int64 => lend_as::<i64>(view),
        DataType::Int32 => lend_as::<i32>(view),
        DataType::Bool => {
            let values: &[bool] = bytemuck::checked::try_cast_slice(view.bytes)
                .map_err(|_| ort::Error::new(format!("input `{}` has a byte that is neither 0 nor 1", view.name)))?;
            Ok(TensorRef::from_array_view((view.shape, values))?.into())
        }
    }
}

fn lend_as<'a, T>(view: &TensorView<'a>) -> ort::Result<SessionInputValue<'a>>
where
    T: PrimitiveTensorElementType + Pod + Debug,
{
    match bytemuck::try_cast_slice::<u8, T>(view.bytes) {
        Ok(values) => Ok(TensorRef::from_array_view((view.shape, values))?.into()),
        Err(_) => Ok(Tensor::from_array((view.shape, bytemuck::pod_collect_to_vec::<u8, T>(view.bytes)))?.into()),
    }
}

/// Shape and bytes of an output.
pub(super) fn elements(data_type: DataType, value: &DynValue) -> ort::Result<(Vec<usize>, &[u8])> {
    match data_type {
        DataType::Fp32 => elements_as::<f32>(value),
        DataType::Fp16 => elements_as::<f16>(value),
        DataType::Bf16 => elements_as::<bf16>(value),
        DataType::Int64 => elements_as::<i64>(value),
        DataType::Int32 => elements_as::<i32>(value),
        DataType::Bool => elements_as::<bool>(value),
    }
}

fn elements_as<T: PrimitiveTensorElementType + NoUninit>(value: &DynValue) -> ort::Result<(Vec<usize>, &[u8])> {
    let (shape, values) = value.try_extract_tensor::<T>()?;
    let shape = shape.iter().map(|&size| usize::try_from(size).unwrap_or(0)).collect();
    Ok((shape, bytemuck::cast_slice(values)))
}
