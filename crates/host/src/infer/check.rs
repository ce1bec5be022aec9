//! A request against a model's inputs, outputs and batch limit, in Triton's order and words.

use super::given::Given;
use super::interface::Interface;
use crate::api_error::ApiError;
use planforge_core::{Dim, TensorSpec};
use planforge_runtime::Tensor;

/// Added to a shape that does not fit, where a batch is expected.
const BATCH_NOTE: &str = "NOTE: Setting a non-zero max_batch_size in the model config requires a batch dimension to be prepended to each \
     input shape. If you want to specify the full shape including the batch dim in your input dims config, try setting \
     max_batch_size to zero. See the model configuration docs for more info on max_batch_size.";

/// A model under the name that a request has for it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Named<'a> {
    /// Name it was asked for by.
    pub(crate) model: &'a str,
    /// What it takes and gives.
    pub(crate) interface: &'a Interface,
}

/// An output and its encoding in the response.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct OutputForm {
    /// Its name.
    pub(crate) name: String,
    /// Raw bytes after the JSON instead of JSON numbers.
    pub(crate) is_binary: bool,
    /// How many of the largest values are wanted, with their classes; 0 for all values as they are.
    pub(crate) class_count: usize,
}

impl Named<'_> {
    /// An error that names the request by its id.
    pub(super) fn refuse(&self, id: Option<&str>, text: &str) -> ApiError {
        let id = id.filter(|id| !id.is_empty()).unwrap_or("<id_unknown>");
        ApiError::bad_input(format!("[request id: {id}] {text}"))
    }

    /// The inputs of a request that fits.
    ///
    /// # Errors
    /// The first mistake, in Triton's words.
    pub(super) fn check(
        &self,
        id: Option<&str>,
        inputs: Vec<Given>,
        outputs: &[OutputForm],
    ) -> Result<Vec<Tensor>, ApiError> {
        if let Some(text) = self.unknown_tensor(&inputs, outputs) {
            return Err(ApiError::bad_input(text));
        }
        if let Some(text) = self.mistake(&inputs) {
            return Err(self.refuse(id, &text));
        }
        inputs.into_iter().map(tensor).collect()
    }

    /// An output that the model does not know; an input where their number is right.
    fn unknown_tensor(&self, inputs: &[Given], outputs: &[OutputForm]) -> Option<String> {
        let Interface { inputs: own, outputs: own_outputs, .. } = self.interface;
        let unknown = |name: &str, specs: &[TensorSpec]| specs.iter().all(|spec| spec.name != name);
        let model = self.model;
        // Triton has their names in order.
        let output =
            outputs.iter().filter(|output| unknown(&output.name, own_outputs)).min_by_key(|output| &output.name);
        let output = output.map(|output| format!("unexpected inference output '{}' for model '{model}'", output.name));
        output.or_else(|| {
            let mut inputs = inputs.iter().filter(|_| inputs.len() == own.len());
            let input = inputs.find(|input| unknown(&input.name, own))?;
            Some(format!("unexpected inference input '{}' for model '{model}'", input.name))
        })
    }

    fn mistake(&self, inputs: &[Given]) -> Option<String> {
        if inputs.len() != self.interface.inputs.len() {
            return Some(self.input_count_mistake(inputs));
        }
        self.batch_mistake(inputs)
            .or_else(|| inputs.iter().find_map(|input| self.input_mistake(input)))
            .or_else(|| self.size_mistake(inputs))
    }

    fn input_count_mistake(&self, inputs: &[Given]) -> String {
        let list = |names: Vec<&str>| names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(",");
        // In Triton's order.
        let given: Vec<&str> = inputs.iter().rev().map(|input| input.name.as_str()).collect();
        let known = self.interface.inputs.iter().map(|spec| spec.name.as_str());
        let missing: Vec<&str> = known.filter(|name| !given.contains(name)).collect();
        let (expected, got, model) = (self.interface.inputs.len(), inputs.len(), self.model);
        let mut text = format!("expected {expected} inputs but got {got} inputs for model '{model}'");
        if !missing.is_empty() {
            let (given, missing) = (list(given), list(missing));
            text += &format!(". Got input(s) [{given}], but missing required input(s) [{missing}]");
            text += ". Please provide all required input(s).";
        }
        text
    }

    /// The batch is the same in all inputs, and within the limit.
    fn batch_mistake(&self, inputs: &[Given]) -> Option<String> {
        let (limit, model) = (self.interface.max_batch_size, self.model);
        if limit == 0 {
            return None;
        }
        if let Some(Given { name, .. }) = inputs.iter().rev().find(|input| input.shape.is_empty()) {
            return Some(format!("input '{name}' has no shape but model requires batch dimension for '{model}'"));
        }
        let batch = batch_of(inputs);
        let differs = |input: &&Given| batch32(input) != batch;
        if let Some(Given { name, .. }) = inputs.iter().rev().skip_while(|input| batch32(input) == 0).find(differs) {
            return Some(format!("input '{name}' batch size does not match other inputs for '{model}'"));
        }
        (batch > limit).then(|| format!("inference request batch-size must be <= {limit} for '{model}'"))
    }

    fn input_mistake(&self, input: &Given) -> Option<String> {
        let (name, model) = (&input.name, self.model);
        let spec = self.spec(name)?;
        let (found, expected) = (input.data_type.as_str(), spec.data_type.kserve_name());
        if found != expected {
            return Some(format!(
                "inference input '{name}' data-type is '{found}', but model '{model}' expects '{expected}'"
            ));
        }
        (!fits(&spec.dims, &input.shape)).then(|| self.shape_mistake(spec, input))
    }

    fn shape_mistake(&self, spec: &TensorSpec, input: &Given) -> String {
        let expected = spec.dims.iter().map(|dim| match dim {
            Dim::Fixed(size) => size.to_string(),
            Dim::Dynamic(_) => "-1".to_owned(),
        });
        let expected = expected.collect::<Vec<_>>().join(",");
        let found = input.shape.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let note = if self.interface.max_batch_size > 0 { BATCH_NOTE } else { "" };
        let (name, model) = (&input.name, self.model);
        format!("unexpected shape for input '{name}' for model '{model}'. Expected [{expected}], got [{found}]. {note}")
    }

    fn spec(&self, name: &str) -> Option<&TensorSpec> {
        self.interface.inputs.iter().find(|spec| spec.name == name)
    }

    /// Bytes that are not as many as the shape asks for.
    fn size_mistake(&self, inputs: &[Given]) -> Option<String> {
        // Triton takes a batch of 0 for one of 1.
        let batch = (self.interface.max_batch_size > 0).then(|| batch_of(inputs).max(1));
        inputs.iter().rev().find_map(|Given { name, shape, values, byte_count, .. }| {
            let element = self.spec(name).map_or(0, |spec| spec.data_type.byte_count() as u64);
            // The request's batch counts, not the one of this shape.
            let sizes = batch.into_iter().chain(shape.iter().copied().skip(usize::from(batch.is_some())));
            let (expected, model) = (sizes.fold(element, u64::wrapping_mul), self.model);
            (values.is_none() || expected != *byte_count).then(|| {
                format!(
                    "input byte size mismatch for input '{name}' for model '{model}'. Expected {expected}, got {byte_count}"
                )
            })
        })
    }
}

/// The tensor of an input that fits.
fn tensor(Given { name, shape, values, .. }: Given) -> Result<Tensor, ApiError> {
    let shape: Vec<usize> = shape.iter().map(|&size| usize::try_from(size).unwrap_or(usize::MAX)).collect();
    let values = values.ok_or_else(ApiError::unexpected)?;
    Tensor::new(&name, &shape, values).map_err(|error| ApiError::bad_input(error.to_string()))
}

/// The batch of a request: Triton looks from the last input to the first, at 32 bits, and takes 0 for not known yet.
fn batch_of(inputs: &[Given]) -> u64 {
    inputs.iter().rev().map(batch32).find(|&batch| batch != 0).unwrap_or(0)
}

fn batch32(input: &Given) -> u64 {
    input.shape.first().map_or(0, |batch| batch & u64::from(u32::MAX))
}

fn fits(dims: &[Dim], shape: &[u64]) -> bool {
    let fit = |(dim, &size): (&Dim, &u64)| match dim {
        Dim::Fixed(expected) => *expected == size,
        Dim::Dynamic(_) => true,
    };
    dims.len() == shape.len() && dims.iter().zip(shape).all(fit)
}
