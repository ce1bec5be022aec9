//! Random numbers for the inputs of graphs that are neither over texts nor over images as planforge knows them.

use super::values::{SampleValues, select_rows};
use crate::{Error, Result};
use planforge_core::{DataType, Dim, Model, TensorSpec};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// A batch of numbers for each input of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorSample {
    /// Samples in the batch.
    pub batch: usize,
    inputs: Vec<Input>,
}

#[derive(Debug, Clone, PartialEq)]
struct Input {
    name: String,
    shape: Vec<usize>,
    values: Values,
}

#[derive(Debug, Clone, PartialEq)]
enum Values {
    Int64(Vec<i64>),
    Fp32(Vec<f32>),
}

impl TensorSample {
    pub(super) fn input(&self, name: &str) -> Option<(Vec<usize>, SampleValues<'_>)> {
        let input = self.inputs.iter().find(|input| input.name == name)?;
        let values = match &input.values {
            Values::Int64(values) => SampleValues::Int64(values),
            Values::Fp32(values) => SampleValues::Fp32(values),
        };
        Some((input.shape.clone(), values))
    }

    /// The samples of these numbers as a batch of their own.
    pub(super) fn select(&self, numbers: &[usize]) -> Self {
        let select = |input: &Input| {
            let count = input.shape.first().copied().unwrap_or(1);
            let values = match &input.values {
                Values::Int64(values) => Values::Int64(select_rows(values, count, numbers)),
                Values::Fp32(values) => Values::Fp32(select_rows(values, count, numbers)),
            };
            let shape = std::iter::once(numbers.len()).chain(input.shape.iter().skip(1).copied()).collect();
            Input { name: input.name.clone(), shape, values }
        };
        Self { batch: numbers.len(), inputs: self.inputs.iter().map(select).collect() }
    }
}

/// Numbers for `model`: floats between 0 and 1, integers 0 and 1, booleans. Dimensions called `batch` and `sequence` take the
/// sizes given; a batch that the model fixes is kept. Equal seeds give equal numbers in one version of planforge.
///
/// # Errors
/// [`Error::SampleInput`] for other dimensions that are not fixed.
pub fn random_tensors(model: &Model, batch: usize, sequence: usize, seed: u64) -> Result<TensorSample> {
    let mut generator = StdRng::seed_from_u64(seed);
    let inputs = model
        .inputs
        .iter()
        .map(|spec| {
            let shape = shape(spec, batch, sequence)?;
            let count = shape.iter().product();
            let values = match spec.data_type {
                DataType::Int64 | DataType::Int32 | DataType::Bool => {
                    Values::Int64((0..count).map(|_| generator.random_range(0..=1)).collect())
                }
                DataType::Fp32 | DataType::Fp16 | DataType::Bf16 => {
                    Values::Fp32((0..count).map(|_| generator.random_range(0.0..1.0)).collect())
                }
            };
            Ok(Input { name: spec.name.clone(), shape, values })
        })
        .collect::<Result<Vec<_>>>()?;
    let batch = inputs.first().and_then(|input| input.shape.first()).copied().unwrap_or(batch);
    Ok(TensorSample { batch, inputs })
}

fn shape(spec: &TensorSpec, batch: usize, sequence: usize) -> Result<Vec<usize>> {
    let size = |dim: &Dim| match dim {
        Dim::Fixed(size) => usize::try_from(*size).map_err(|_| unfit(spec, format!("has a dimension of {size}"))),
        Dim::Dynamic(name) if name == "batch" => Ok(batch),
        Dim::Dynamic(name) if name == "sequence" => Ok(sequence),
        Dim::Dynamic(name) => Err(unfit(spec, format!("has the dimension `{name}`, whose size is not known"))),
    };
    spec.dims.iter().map(size).collect()
}

fn unfit(spec: &TensorSpec, message: String) -> Error {
    Error::SampleInput { name: spec.name.clone(), message }
}
