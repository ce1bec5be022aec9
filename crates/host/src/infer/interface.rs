//! What a model takes and gives: the inputs and outputs of its configuration, and its own where that leaves them out.

use planforge_core::{Dim, TensorSpec};
use planforge_package::UnpackedModel;
use planforge_runtime::Tensor;
use planforge_triton_config::{ConfiguredTensor, ConfiguredTensors};
use std::collections::BTreeMap;

/// What a model takes and gives.
#[derive(Debug)]
pub(crate) struct Interface {
    /// Inputs as requests have them.
    pub(crate) inputs: Vec<TensorSpec>,
    /// Outputs as responses have them.
    pub(crate) outputs: Vec<TensorSpec>,
    /// Largest batch; 0 where the first dimension is not a batch.
    pub(crate) max_batch_size: u64,
    /// Version, the name of its folder in the archive.
    pub(crate) version: String,
    /// Names of classes by output.
    labels: BTreeMap<String, Vec<String>>,
    /// Shapes that differ in the model, by tensor.
    reshapes: BTreeMap<String, Reshaped>,
}

/// The shape of a tensor in requests or responses, and in the model; both without the batch.
#[derive(Debug)]
struct Reshaped {
    outside: Vec<i64>,
    inside: Vec<i64>,
}

impl Interface {
    /// The interface of a model with these inputs and outputs.
    ///
    /// # Errors
    /// The configuration does not fit the model.
    pub(crate) fn new(unpacked: &UnpackedModel, inputs: &[TensorSpec], outputs: &[TensorSpec]) -> Result<Self, String> {
        let UnpackedModel { max_batch_size, is_completed, .. } = *unpacked;
        let complete = |configured: &[ConfiguredTensor], own: &[TensorSpec]| match configured {
            [] if is_completed => own.iter().map(|spec| configured_as(spec, max_batch_size)).collect(),
            _ => configured.to_vec(),
        };
        let (own_inputs, own_outputs) = (complete(&unpacked.inputs, inputs), complete(&unpacked.outputs, outputs));
        let configured = ConfiguredTensors { inputs: &own_inputs, outputs: &own_outputs, max_batch_size };
        let fits = configured.check(inputs, outputs);
        fits.map_err(|text| format!("`config.pbtxt` does not fit the model: {text}"))?;
        let specs = |tensors: &[ConfiguredTensor]| {
            tensors.iter().filter_map(|tensor| as_requested(tensor, max_batch_size)).collect()
        };
        Ok(Self {
            inputs: specs(&own_inputs),
            outputs: specs(&own_outputs),
            max_batch_size,
            version: unpacked.version.clone(),
            labels: unpacked.labels.clone(),
            reshapes: own_inputs.iter().chain(&own_outputs).filter_map(reshaped).collect(),
        })
    }

    /// Gives inputs the shapes that the model has.
    pub(crate) fn enter(&self, inputs: &mut [Tensor]) {
        for tensor in inputs {
            if let Some(Reshaped { outside, inside }) = self.reshapes.get(&tensor.name) {
                self.reshape(tensor, outside, inside);
            }
        }
    }

    /// Gives outputs the shapes that responses have.
    pub(crate) fn leave(&self, outputs: &mut [Tensor]) {
        for tensor in outputs {
            if let Some(Reshaped { outside, inside }) = self.reshapes.get(&tensor.name) {
                self.reshape(tensor, inside, outside);
            }
        }
    }

    /// Name of a class of an output.
    pub(crate) fn label(&self, output: &str, class: usize) -> Option<&str> {
        self.labels.get(output)?.get(class).map(String::as_str)
    }

    /// Open sizes keep their order.
    fn reshape(&self, tensor: &mut Tensor, from: &[i64], to: &[i64]) {
        let batch = usize::from(self.max_batch_size > 0);
        let Some(own) = tensor.shape.get(batch..).filter(|own| own.len() == from.len()) else { return };
        let mut open =
            own.iter().zip(from).filter(|(_, dim)| **dim < 0).map(|(&size, _)| size).collect::<Vec<_>>().into_iter();
        let sizes: Option<Vec<usize>> =
            to.iter().map(|&dim| usize::try_from(dim).ok().or_else(|| open.next())).collect();
        let Some(sizes) = sizes else { return };
        let shape: Vec<usize> = tensor.shape[..batch].iter().copied().chain(sizes).collect();
        if shape.iter().product::<usize>() == tensor.values.len() {
            tensor.shape = shape;
        }
    }
}

/// A tensor of the model as a configuration would have it.
fn configured_as(spec: &TensorSpec, max_batch_size: u64) -> ConfiguredTensor {
    let size = |dim: &Dim| match dim {
        Dim::Fixed(size) => i64::try_from(*size).unwrap_or(i64::MAX),
        Dim::Dynamic(_) => -1,
    };
    ConfiguredTensor {
        name: spec.name.clone(),
        data_type: format!("TYPE_{}", spec.data_type.kserve_name()),
        dims: spec.dims.iter().skip(usize::from(max_batch_size > 0)).map(size).collect(),
        reshape: None,
        label_filename: String::new(),
    }
}

/// As requests have it; none for types that planforge does not handle, which do not fit any model.
fn as_requested(tensor: &ConfiguredTensor, max_batch_size: u64) -> Option<TensorSpec> {
    let batch = (max_batch_size > 0).then_some(-1);
    let dim = |size: i64| u64::try_from(size).map_or_else(|_| Dim::dynamic(""), Dim::Fixed);
    let dims = batch.into_iter().chain(tensor.dims.iter().copied()).map(dim).collect();
    Some(TensorSpec::new(&tensor.name, tensor.element_type()?, dims))
}

fn reshaped(tensor: &ConfiguredTensor) -> Option<(String, Reshaped)> {
    let inside = tensor.reshape.as_ref()?.shape.clone();
    Some((tensor.name.clone(), Reshaped { outside: tensor.dims.clone(), inside }))
}
