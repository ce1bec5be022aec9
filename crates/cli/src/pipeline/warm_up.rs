//! Data that a server warms a model up with.

use super::check::inputs;
use anyhow::{Context, Result};
use planforge_core::Model;
use planforge_engine::Sample;
use planforge_package::WarmUpInput;

/// The first of `samples`, each of which is a batch of one, as one item of each of the model's inputs.
pub(super) fn warm_up_inputs(model: &Model, samples: &[Sample]) -> Result<Vec<WarmUpInput>> {
    let sample = samples.first().context("the pipeline has no sample to warm the model up with")?;
    let tensors = inputs(&model.inputs, sample)?;
    let item = |tensor: &planforge_runtime::Tensor| WarmUpInput {
        name: tensor.name.clone(),
        data_type: tensor.data_type(),
        dims: tensor.shape.iter().skip(1).map(|&size| size as u64).collect(),
        bytes: tensor.view().bytes.to_vec(),
    };
    Ok(tensors.iter().map(item).collect())
}
