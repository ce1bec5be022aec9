//! A request against a model's inputs, outputs and batch limit, in Triton's order and words.

use crate::api_error::ApiError;
use planforge_core::{Dim, TensorSpec};
use planforge_runtime::Tensor;

/// What a model takes and gives.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Interface<'a> {
    /// Name it was asked for by.
    pub(crate) model: &'a str,
    /// Inputs.
    pub(crate) inputs: &'a [TensorSpec],
    /// Outputs.
    pub(crate) outputs: &'a [TensorSpec],
    /// Largest batch; 0 when the first dimension is no batch.
    pub(crate) max_batch_size: u64,
}

/// An output and its encoding in the response.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct OutputForm {
    /// Its name.
    pub(crate) name: String,
    /// Raw bytes after the JSON instead of JSON numbers.
    pub(crate) is_binary: bool,
}

impl Interface<'_> {
    /// Refuses requests that do not fit.
    ///
    /// # Errors
    /// The first mistake, in Triton's words.
    pub(crate) fn check(&self, inputs: &[Tensor], outputs: &[OutputForm]) -> Result<(), ApiError> {
        let mistake = self.mistake(inputs, outputs);
        mistake.map_or(Ok(()), |text| Err(ApiError::bad_input(text)))
    }

    fn mistake(&self, inputs: &[Tensor], outputs: &[OutputForm]) -> Option<String> {
        if inputs.len() != self.inputs.len() {
            return Some(self.input_count_mistake(inputs));
        }
        let unknown = |name: &str, specs: &[TensorSpec]| specs.iter().all(|spec| spec.name != name);
        if let Some(output) = outputs.iter().find(|output| unknown(&output.name, self.outputs)) {
            return Some(format!("unexpected inference output '{}' for model '{}'", output.name, self.model));
        }
        inputs.iter().enumerate().find_map(|(index, input)| {
            if inputs[..index].iter().any(|earlier| earlier.name == input.name) {
                return Some(format!("input '{}' already exists in request", input.name));
            }
            match self.inputs.iter().find(|spec| spec.name == input.name) {
                None => Some(format!("unexpected inference input '{}' for model '{}'", input.name, self.model)),
                Some(spec) => self.input_mistake(spec, input, &inputs[0]),
            }
        })
    }

    fn input_count_mistake(&self, inputs: &[Tensor]) -> String {
        let list = |names: Vec<&str>| names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(",");
        let given: Vec<&str> = inputs.iter().map(|input| input.name.as_str()).collect();
        let known = self.inputs.iter().map(|spec| spec.name.as_str());
        let missing: Vec<&str> = known.filter(|name| !given.contains(name)).collect();
        let (expected, got, model) = (self.inputs.len(), inputs.len(), self.model);
        let mut text = format!("expected {expected} inputs but got {got} inputs for model '{model}'");
        if !missing.is_empty() {
            let (given, missing) = (list(given), list(missing));
            text += &format!(". Got input(s) [{given}], but missing required input(s) [{missing}]");
            text += ". Please provide all required input(s).";
        }
        text
    }

    fn input_mistake(&self, spec: &TensorSpec, input: &Tensor, first: &Tensor) -> Option<String> {
        let (name, model) = (&input.name, self.model);
        if input.data_type() != spec.data_type {
            let (found, expected) = (input.data_type().kserve_name(), spec.data_type.kserve_name());
            return Some(format!(
                "inference input '{name}' data-type is '{found}', but model '{model}' expects '{expected}'"
            ));
        }
        if self.max_batch_size > 0 {
            let Some(&batch) = input.shape.first() else {
                return Some(format!("input '{name}' has no shape but model requires batch dimension for '{model}'"));
            };
            if first.shape.first() != Some(&batch) {
                return Some(format!("input '{name}' batch size does not match other inputs for '{model}'"));
            }
            if batch as u64 > self.max_batch_size {
                let limit = self.max_batch_size;
                return Some(format!("inference request batch-size must be <= {limit} for '{model}'"));
            }
        }
        (!fits(&spec.dims, &input.shape)).then(|| self.shape_mistake(spec, input))
    }

    fn shape_mistake(&self, spec: &TensorSpec, input: &Tensor) -> String {
        let expected = spec.dims.iter().map(|dim| match dim {
            Dim::Fixed(size) => size.to_string(),
            Dim::Dynamic(_) => "-1".to_owned(),
        });
        let expected = expected.collect::<Vec<_>>().join(",");
        let found = input.shape.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let mut text = format!(
            "unexpected shape for input '{}' for model '{}'. Expected [{expected}], got [{found}].",
            input.name, self.model
        );
        if self.max_batch_size > 0 {
            text += " NOTE: Setting a non-zero max_batch_size in the model config requires a batch dimension to be \
                     prepended to each input shape.";
        }
        text
    }
}

fn fits(dims: &[Dim], shape: &[usize]) -> bool {
    let fit = |(dim, &size): (&Dim, &usize)| match dim {
        Dim::Fixed(expected) => *expected == size as u64,
        Dim::Dynamic(_) => size > 0,
    };
    dims.len() == shape.len() && dims.iter().zip(shape).all(fit)
}
