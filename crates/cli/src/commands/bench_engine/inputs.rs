//! Shapes and values that an engine is measured with.

use crate::failure::BadUsage;
use anyhow::Result;
use half::{bf16, f16};
use planforge_core::{DataType, TensorSpec};
use planforge_runtime::{InputShapes, ProfileShapes, Tensor, TensorValues};

/// One shape for each input: that of `shapes` if it is named there, else the one that the profile was optimised for, with
/// `batch` in the first dimension where that is dynamic. The profile is the first that takes the batch.
///
/// # Errors
/// A name that is none of the inputs, a batch that no profile takes, an engine whose batch is fixed.
pub(super) fn chosen_shapes(
    profiles: &[ProfileShapes],
    batch: Option<i64>,
    shapes: &[(String, Vec<i64>)],
) -> Result<Vec<(String, Vec<i64>)>> {
    let Some(first) = profiles.first() else { return Ok(Vec::new()) };
    if let Some((name, _)) = shapes.iter().find(|(name, _)| first.iter().all(|input| input.name != *name)) {
        let known: Vec<_> = first.iter().map(|input| format!("`{}`", input.name)).collect();
        return Err(BadUsage(format!("the engine has no input `{name}`; its inputs: {}", known.join(", "))).into());
    }
    let profile = match batch {
        None => first,
        Some(batch) => profiles.iter().find(|profile| takes(profile, batch)).ok_or_else(|| beyond(profiles, batch))?,
    };
    let shape = |input: &InputShapes| {
        let named = shapes.iter().find(|(name, _)| *name == input.name).map(|(_, shape)| shape.clone());
        let usual = || {
            let mut shape = input.opt.clone();
            if let (Some(size), Some(batch)) = (shape.first_mut().filter(|_| is_dynamic(input)), batch) {
                *size = batch;
            }
            shape
        };
        (input.name.clone(), named.unwrap_or_else(usual))
    };
    Ok(profile.iter().map(shape).collect())
}

fn is_dynamic(input: &InputShapes) -> bool {
    input.min.first() != input.max.first()
}

/// Whether the batch is within the first dimension of every input.
fn takes(profile: &ProfileShapes, batch: i64) -> bool {
    let range = |input: &InputShapes| Some((*input.min.first()?, *input.max.first()?));
    profile.iter().filter_map(range).all(|(min, max)| (min..=max).contains(&batch))
}

fn beyond(profiles: &[ProfileShapes], batch: i64) -> BadUsage {
    let range = |profile: &ProfileShapes| {
        let first = profile.first()?;
        Some(format!("{} to {}", first.min.first()?, first.max.first()?))
    };
    let ranges: Vec<_> = profiles.iter().filter_map(range).collect();
    BadUsage(format!("the engine takes no batch of {batch}; it was built for {}", ranges.join(" or ")))
}

/// Values for an input: small numbers between -1 and 1 that mean nothing, ones for masks, and zeros for other integers,
/// which every vocabulary has.
pub(super) fn synthetic_input(spec: &TensorSpec, shape: &[i64]) -> Result<Tensor> {
    let shape: Vec<usize> = shape.iter().map(|&size| usize::try_from(size).unwrap_or(0)).collect();
    let count = shape.iter().product();
    let number = |index: usize| {
        // Multiplying by the golden ratio's bits spreads the numbers.
        let bits = u32::try_from(index & 0xffff_ffff).unwrap_or(0).wrapping_mul(0x9e37_79b9);
        bits as f32 / u32::MAX as f32 * 2.0 - 1.0
    };
    let integer = i64::from(spec.name.contains("mask"));
    let values = match spec.data_type {
        DataType::Fp32 => TensorValues::Fp32((0..count).map(number).collect()),
        DataType::Fp16 => TensorValues::Fp16((0..count).map(|index| f16::from_f32(number(index))).collect()),
        DataType::Bf16 => TensorValues::Bf16((0..count).map(|index| bf16::from_f32(number(index))).collect()),
        DataType::Int64 => TensorValues::Int64(vec![integer; count]),
        DataType::Int32 => TensorValues::Int32(vec![i32::from(spec.name.contains("mask")); count]),
        DataType::Bool => TensorValues::Bool(vec![true; count]),
    };
    Ok(Tensor::new(&spec.name, &shape, values)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use planforge_core::Dim;

    fn input(name: &str, [min, opt, max]: [&[i64]; 3]) -> InputShapes {
        InputShapes { name: name.to_owned(), min: min.to_vec(), opt: opt.to_vec(), max: max.to_vec() }
    }

    fn profiles() -> Vec<ProfileShapes> {
        let profile = |low: i64, opt: i64, high: i64| {
            let ids = input("ids", [&[low, 8], &[opt, 16], &[high, 32]]);
            vec![ids, input("mask", [&[low, 8], &[opt, 16], &[high, 32]])]
        };
        vec![profile(1, 2, 4), profile(5, 8, 16)]
    }

    fn sizes(batch: Option<i64>, shapes: &[(String, Vec<i64>)]) -> Vec<Vec<i64>> {
        chosen_shapes(&profiles(), batch, shapes).unwrap().into_iter().map(|(_, shape)| shape).collect()
    }

    #[test]
    fn shapes_follow_the_profile_the_batch_and_what_is_named() {
        assert_eq!(sizes(None, &[]), [[2, 16], [2, 16]]);
        assert_eq!(sizes(Some(4), &[]), [[4, 16], [4, 16]]);
        assert_eq!(sizes(Some(9), &[]), [[9, 16], [9, 16]]);
        assert_eq!(sizes(Some(3), &[("ids".to_owned(), vec![3, 9])]), [[3, 9], [3, 16]]);
        assert!(chosen_shapes(&[], None, &[]).unwrap().is_empty());
    }

    #[test]
    fn mistakes_name_what_there_is() {
        let message =
            |batch, shapes: &[(String, Vec<i64>)]| chosen_shapes(&profiles(), batch, shapes).unwrap_err().to_string();
        assert_eq!(message(Some(17), &[]), "the engine takes no batch of 17; it was built for 1 to 4 or 5 to 16");
        let unknown = [("id".to_owned(), vec![1, 2])];
        assert_eq!(message(None, &unknown), "the engine has no input `id`; its inputs: `ids`, `mask`");
    }

    #[test]
    fn values_are_such_as_every_model_takes() {
        let spec = |name, data_type| TensorSpec::new(name, data_type, vec![Dim::dynamic("batch")]);
        let TensorValues::Fp32(values) = synthetic_input(&spec("x", DataType::Fp32), &[1000]).unwrap().values else {
            panic!()
        };
        assert!(values.iter().all(|value| value.abs() <= 1.0));
        assert!(values.iter().sum::<f32>().abs() < 10.0 && values[1] != values[2]);
        let ids = synthetic_input(&spec("input_ids", DataType::Int64), &[2, 2]).unwrap();
        assert_eq!((ids.shape, ids.values), (vec![2, 2], TensorValues::Int64(vec![0; 4])));
        let mask = synthetic_input(&spec("attention_mask", DataType::Int64), &[2]).unwrap();
        assert_eq!(mask.values, TensorValues::Int64(vec![1; 2]));
    }
}
