//! Inputs and outputs as a configuration has them, and whether they fit a model.

use planforge_types::{DataType, Dim, TensorSpec};
use serde::Deserialize;

/// An input or output of a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ConfiguredTensor {
    /// Its name.
    pub name: String,
    /// Its element type, such as `TYPE_FP32`.
    pub data_type: String,
    /// Its shape in requests and responses, without the batch; -1 for any size.
    #[serde(default)]
    pub dims: Vec<i64>,
    /// Its shape in the model, where that is another one.
    #[serde(default)]
    pub reshape: Option<Reshape>,
    /// File with a line for each class, next to the configuration; empty for none.
    #[serde(default)]
    pub label_filename: String,
}

/// Another shape of the same elements.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Reshape {
    /// The shape, without the batch; -1 for any size.
    #[serde(default)]
    pub shape: Vec<i64>,
}

impl ConfiguredTensor {
    /// Its element type; none for one that planforge does not handle.
    #[must_use]
    pub fn element_type(&self) -> Option<DataType> {
        self.data_type.strip_prefix("TYPE_").and_then(DataType::from_kserve_name)
    }

    /// Its shape in the model, without the batch.
    #[must_use]
    pub fn model_dims(&self) -> &[i64] {
        self.reshape.as_ref().map_or(&self.dims, |reshape| &reshape.shape)
    }
}

/// Inputs, outputs and batch limit of a configuration.
#[derive(Debug, Clone, Copy)]
pub struct ConfiguredTensors<'a> {
    /// Inputs.
    pub inputs: &'a [ConfiguredTensor],
    /// Outputs.
    pub outputs: &'a [ConfiguredTensor],
    /// Largest batch; 0 where the first dimension is not a batch.
    pub max_batch_size: u64,
}

impl ConfiguredTensors<'_> {
    /// Every input of the model is configured and every configured tensor is one of the model's, with its type and
    /// shape.
    ///
    /// # Errors
    /// The first difference, as a sentence about the configuration.
    pub fn check(&self, inputs: &[TensorSpec], outputs: &[TensorSpec]) -> Result<(), String> {
        for tensor in self.inputs {
            self.check_tensor(("input", tensor), inputs)?;
        }
        for tensor in self.outputs {
            self.check_tensor(("output", tensor), outputs)?;
        }
        match inputs.iter().find(|spec| self.inputs.iter().all(|tensor| tensor.name != spec.name)) {
            Some(missing) => Err(format!("input `{}` of the model is not configured", missing.name)),
            None if self.outputs.is_empty() => Err("no output is configured".to_owned()),
            None => Ok(()),
        }
    }

    fn check_tensor(&self, (kind, tensor): (&str, &ConfiguredTensor), specs: &[TensorSpec]) -> Result<(), String> {
        let name = &tensor.name;
        let fault = |text: String| Err(format!("{kind} `{name}` {text}"));
        let Some(spec) = specs.iter().find(|spec| spec.name == *name) else {
            let known: Vec<_> = specs.iter().map(|spec| format!("`{}`", spec.name)).collect();
            return fault(format!("is not one of the model's {kind}s: {}", known.join(", ")));
        };
        let Some(data_type) = tensor.element_type() else {
            return fault(format!("has data type {}, which this backend does not handle", tensor.data_type));
        };
        if data_type != spec.data_type {
            let expected = spec.data_type.kserve_name();
            return fault(format!("has data type {}, the model's is TYPE_{expected}", tensor.data_type));
        }
        let dims: Vec<i64> = self.batch().chain(tensor.model_dims().iter().copied()).collect();
        if dims.len() == spec.dims.len() && dims.iter().zip(&spec.dims).all(|(&dim, spec)| fits(dim, spec)) {
            return Ok(());
        }
        let batch = if self.max_batch_size > 0 { ", the batch before its `dims`" } else { "" };
        let found = list(dims.iter().map(ToString::to_string));
        fault(format!("has shape {found}{batch}; the model's is {}", list(spec.dims.iter().map(dim_text))))
    }

    /// The batch in front, where there is one.
    fn batch(&self) -> impl Iterator<Item = i64> {
        (self.max_batch_size > 0).then_some(-1).into_iter()
    }
}

/// A size that the model leaves open takes any; one that it fixes must be configured as it is.
fn fits(dim: i64, spec: &Dim) -> bool {
    match spec {
        Dim::Dynamic(_) => true,
        Dim::Fixed(size) => u64::try_from(dim).is_ok_and(|dim| dim == *size),
    }
}

fn dim_text(dim: &Dim) -> String {
    match dim {
        Dim::Fixed(size) => size.to_string(),
        Dim::Dynamic(name) => name.clone(),
    }
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}
