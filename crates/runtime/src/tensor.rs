//! Values that go into a model and come out of it.

use crate::{Error, Result};
use half::{bf16, f16};
use planforge_core::DataType;
use std::borrow::Cow;

/// A named tensor, elements in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Name of the model's input or output.
    pub name: String,
    /// Dimensions, batch first; their product is the number of values.
    pub shape: Vec<usize>,
    /// Elements.
    pub values: TensorValues,
}

/// Elements of a tensor by type.
#[derive(Debug, Clone, PartialEq)]
pub enum TensorValues {
    /// IEEE 754 binary32.
    Fp32(Vec<f32>),
    /// IEEE 754 binary16.
    Fp16(Vec<f16>),
    /// bfloat16.
    Bf16(Vec<bf16>),
    /// 64-bit signed integers.
    Int64(Vec<i64>),
    /// 32-bit signed integers.
    Int32(Vec<i32>),
    /// Booleans.
    Bool(Vec<bool>),
}

impl Tensor {
    /// A tensor whose number of values fits its shape.
    ///
    /// # Errors
    /// [`Error::ElementCount`].
    pub fn new(name: &str, shape: &[usize], values: TensorValues) -> Result<Self> {
        let tensor = Self { name: name.to_owned(), shape: shape.to_vec(), values };
        tensor.view().check_element_count()?;
        Ok(tensor)
    }

    /// Element type.
    #[must_use]
    pub const fn data_type(&self) -> DataType {
        self.values.data_type()
    }

    /// The same tensor, lent.
    #[must_use]
    pub fn view(&self) -> TensorView<'_> {
        let bytes = match &self.values {
            TensorValues::Fp32(values) => bytemuck::cast_slice(values),
            TensorValues::Fp16(values) => bytemuck::cast_slice(values),
            TensorValues::Bf16(values) => bytemuck::cast_slice(values),
            TensorValues::Int64(values) => bytemuck::cast_slice(values),
            TensorValues::Int32(values) => bytemuck::cast_slice(values),
            TensorValues::Bool(values) => bytemuck::cast_slice(values),
        };
        TensorView { name: &self.name, data_type: self.data_type(), shape: &self.shape, bytes }
    }
}

/// A named tensor whose elements are elsewhere.
#[derive(Debug, Clone, Copy)]
pub struct TensorView<'a> {
    /// Name of the model's input or output.
    pub name: &'a str,
    /// Element type.
    pub data_type: DataType,
    /// Dimensions, batch first; their product is the number of elements.
    pub shape: &'a [usize],
    /// Elements in row-major order, each as this machine holds it in memory. Booleans are one byte, 0 or 1.
    pub bytes: &'a [u8],
}

impl TensorView<'_> {
    /// A copy. Bytes of a boolean other than 0 count as true.
    #[must_use]
    pub fn to_tensor(&self) -> Tensor {
        let values = match self.data_type {
            DataType::Fp32 => TensorValues::Fp32(bytemuck::pod_collect_to_vec(self.bytes)),
            DataType::Fp16 => TensorValues::Fp16(bytemuck::pod_collect_to_vec(self.bytes)),
            DataType::Bf16 => TensorValues::Bf16(bytemuck::pod_collect_to_vec(self.bytes)),
            DataType::Int64 => TensorValues::Int64(bytemuck::pod_collect_to_vec(self.bytes)),
            DataType::Int32 => TensorValues::Int32(bytemuck::pod_collect_to_vec(self.bytes)),
            DataType::Bool => TensorValues::Bool(self.bytes.iter().map(|&byte| byte != 0).collect()),
        };
        Tensor { name: self.name.to_owned(), shape: self.shape.to_vec(), values }
    }

    /// A copy, where the number of elements fits the shape.
    ///
    /// # Errors
    /// [`Error::ElementCount`].
    pub fn checked_tensor(&self) -> Result<Tensor> {
        self.check_element_count()?;
        Ok(self.to_tensor())
    }

    pub(crate) fn check_element_count(&self) -> Result<()> {
        let product = self.shape.iter().try_fold(1_usize, |product, &size| product.checked_mul(size));
        let expected = product.and_then(|product| product.checked_mul(self.data_type.byte_count()));
        if expected == Some(self.bytes.len()) {
            return Ok(());
        }
        Err(Error::ElementCount {
            name: self.name.to_owned(),
            shape: self.shape.to_vec(),
            found: self.bytes.len() / self.data_type.byte_count(),
            expected: product.unwrap_or(usize::MAX),
        })
    }
}

impl TensorValues {
    /// Element type.
    #[must_use]
    pub const fn data_type(&self) -> DataType {
        match self {
            Self::Fp32(_) => DataType::Fp32,
            Self::Fp16(_) => DataType::Fp16,
            Self::Bf16(_) => DataType::Bf16,
            Self::Int64(_) => DataType::Int64,
            Self::Int32(_) => DataType::Int32,
            Self::Bool(_) => DataType::Bool,
        }
    }

    /// Floating-point elements in fp32; none for other types.
    #[must_use]
    pub fn floats(&self) -> Option<Cow<'_, [f32]>> {
        match self {
            Self::Fp32(values) => Some(Cow::Borrowed(values)),
            Self::Fp16(values) => Some(values.iter().map(|value| value.to_f32()).collect()),
            Self::Bf16(values) => Some(values.iter().map(|value| value.to_f32()).collect()),
            Self::Int64(_) | Self::Int32(_) | Self::Bool(_) => None,
        }
    }

    /// Number of elements.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self {
            Self::Fp32(values) => values.len(),
            Self::Fp16(values) => values.len(),
            Self::Bf16(values) => values.len(),
            Self::Int64(values) => values.len(),
            Self::Int32(values) => values.len(),
            Self::Bool(values) => values.len(),
        }
    }

    /// Whether there are no elements.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_elements_must_fit_the_shape() {
        let values = TensorValues::Int32(vec![1, 2, 3]);
        assert!(Tensor::new("x", &[3, 1], values.clone()).is_ok());
        let error = Tensor::new("x", &[2, 2], values.clone()).unwrap_err().to_string();
        assert_eq!(error, "tensor `x` has 3 elements, its shape [2, 2] needs 4");
        assert!(Tensor::new("x", &[usize::MAX, 2], values).is_err());
    }
}
