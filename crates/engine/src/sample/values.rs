//! The values of one input.

use half::{bf16, f16};
use planforge_core::DataType;

/// Elements of an input in row-major order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SampleValues<'a> {
    /// Token numbers and masks.
    Int64(&'a [i64]),
    /// Pixels.
    Fp32(&'a [f32]),
}

impl SampleValues<'_> {
    /// The elements as a model takes them, little-endian. A boolean is true for what is not 0.
    #[must_use]
    pub fn to_bytes(self, data_type: DataType) -> Vec<u8> {
        match self {
            Self::Int64(values) => match data_type {
                DataType::Int64 => gather(values, |value| value.to_le_bytes()),
                DataType::Int32 => gather(values, |value| (value as i32).to_le_bytes()),
                DataType::Bool => gather(values, |value| [u8::from(value != 0)]),
                DataType::Fp32 => gather(values, |value| (value as f32).to_le_bytes()),
                DataType::Fp16 => gather(values, |value| f16::from_f32(value as f32).to_le_bytes()),
                DataType::Bf16 => gather(values, |value| bf16::from_f32(value as f32).to_le_bytes()),
            },
            Self::Fp32(values) => match data_type {
                DataType::Fp32 => gather(values, f32::to_le_bytes),
                DataType::Fp16 => gather(values, |value| f16::from_f32(value).to_le_bytes()),
                DataType::Bf16 => gather(values, |value| bf16::from_f32(value).to_le_bytes()),
                DataType::Int64 => gather(values, |value| (value as i64).to_le_bytes()),
                DataType::Int32 => gather(values, |value| (value as i32).to_le_bytes()),
                DataType::Bool => gather(values, |value| [u8::from(value != 0.0)]),
            },
        }
    }
}

fn gather<T: Copy, const N: usize>(values: &[T], bytes: impl Fn(T) -> [u8; N]) -> Vec<u8> {
    values.iter().flat_map(|&value| bytes(value)).collect()
}

/// The rows of these numbers out of `count` rows.
pub(super) fn select_rows<T: Clone>(values: &[T], count: usize, numbers: &[usize]) -> Vec<T> {
    let width = values.len() / count.max(1);
    numbers.iter().flat_map(|number| &values[number * width..(number + 1) * width]).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_and_masks_are_given_in_the_type_of_the_input() {
        let of = |data_type| SampleValues::Int64(&[1, 0, 300]).to_bytes(data_type);
        assert_eq!(of(DataType::Int64).len(), 24);
        assert_eq!(of(DataType::Int32), [1, 0, 0, 0, 0, 0, 0, 0, 44, 1, 0, 0]);
        assert_eq!(of(DataType::Bool), [1, 0, 1]);
        assert_eq!(of(DataType::Fp32)[8..], 300_f32.to_le_bytes());
        assert_eq!(of(DataType::Fp16)[..2], f16::ONE.to_le_bytes());
    }
}
