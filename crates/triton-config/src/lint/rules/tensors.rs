//! Inputs and outputs (triton-inference-server/core, `ValidateIOShape` and what calls it).

use super::super::finding::{Finding, Severity};
use super::super::listing::Found;
use super::config::Config;
use crate::schema::{DATA_TYPES, FORMATS};
use crate::text_format::{Field, all, last};
use std::collections::HashSet;

/// An input or output under examination.
struct Tensor<'a> {
    /// `input` or `output`.
    kind: &'static str,
    name: &'a str,
    field: &'a Field,
    dims: Vec<i64>,
}

impl Tensor<'_> {
    /// The beginning of the server's response.
    fn response(&self, rest: &str) -> String {
        format!("model {} '{}' {rest}", self.kind, self.name)
    }

    fn message(&self, rest: &str) -> String {
        format!("{} `{}` {rest}", self.kind, self.name)
    }
}

impl Config<'_> {
    pub(super) fn tensors(&mut self) {
        let fields = self.fields;
        for kind in ["input", "output"] {
            let mut names = HashSet::new();
            for field in all(fields, kind) {
                let name = field.last("name").map_or("", Field::text);
                if name.is_empty() {
                    self.error(field, format!("an {kind} has no name"), format!("model {kind} must specify 'name'"));
                    continue;
                }
                if !names.insert(name) {
                    self.warn(field, format!("{kind} `{name}` is there twice"));
                }
                let tensor = Tensor { kind, name, field, dims: numbers(field, "dims") };
                self.type_and_dims(&tensor);
                self.reshape(&tensor);
                self.only_for_tensorrt(&tensor);
                self.label_file(&tensor);
            }
            if names.is_empty() && last(fields, kind).is_none() && !self.is_ensemble() {
                self.findings.push(Finding::warning(self.place.clone(), format!("no {kind} is configured")));
            }
        }
        self.output_names();
    }

    fn type_and_dims(&mut self, tensor: &Tensor<'_>) {
        let (field, dims) = (tensor.field, &tensor.dims);
        // TensorRT's backend adds what is missing.
        let is_completed = self.runner.backend == "tensorrt";
        let data_type = field.last("data_type").map_or("TYPE_INVALID", |data_type| data_type.word_of(&DATA_TYPES));
        if data_type == "TYPE_INVALID" && !is_completed {
            self.error(field, tensor.message("has no data type"), tensor.response("must specify 'data_type'"));
        }
        if dims.is_empty() && !is_completed {
            self.error(field, tensor.message("has no dims"), tensor.response("must specify 'dims'"));
        } else if let Some(dim) = dims.iter().find(|dim| is_no_dim(**dim)) {
            let answer = tensor.response("dimension must be integer >= 1, or -1");
            self.error(field, tensor.message(&format!("has dimension {dim}")), answer);
        }
        let format = field.last("format").map_or(FORMATS[0], |format| format.word_of(&FORMATS));
        if FORMATS[1..].contains(&format) && dims.len() != 3 {
            let message = tensor.message(&format!("has {format} and {} dims", dims.len()));
            self.error(field, message, "model input NHWC/NCHW require 3 dims");
        }
    }

    fn reshape(&mut self, tensor: &Tensor<'_>) {
        let Some(reshape) = tensor.field.last("reshape") else { return };
        let shape = numbers(reshape, "shape");
        if let Some((message, answer)) = reshape_fault(&tensor.dims, &shape, self.max_batch_size) {
            self.error(reshape, tensor.message(&message), tensor.response(answer));
        }
    }

    fn only_for_tensorrt(&mut self, tensor: &Tensor<'_>) {
        if self.runner.platform == "tensorrt_plan" {
            return;
        }
        for (name, answer) in [
            ("is_shape_tensor", "shape tensors are only supported for TensorRT platform"),
            ("is_non_linear_format_io", "Non-linear IO format is only supported for the TensorRT platform"),
        ] {
            if let Some(field) = tensor.field.last(name).filter(|field| field.is_true()) {
                self.error(field, tensor.message(&format!("has `{name}`, which is for TensorRT's plans only")), answer);
            }
        }
    }

    fn label_file(&mut self, tensor: &Tensor<'_>) {
        let Some(label) = tensor.field.last("label_filename").filter(|label| !label.text().is_empty()) else { return };
        let name = label.text();
        match self.listing.find(&self.model.path(name)) {
            Found::File(_) => {}
            Found::Nothing => {
                self.error(label, format!("label file `{name}` is missing"), "failed to open text file for read");
            }
            Found::Folder => {
                let message = format!("label file `{name}` is a folder; it crashes the whole server");
                self.push(label, Severity::Error, message, None);
            }
            Found::Broken(broken) => {
                self.push(label, Severity::Error, format!("label file `{name}` is {broken}"), None);
            }
        }
    }

    /// The PyTorch backend finds outputs by the number in their names, or by their order where a name has none; states
    /// of sequences need numbers.
    fn output_names(&mut self) {
        if self.runner.backend != "pytorch" {
            return;
        }
        let has_number = |name: &str| {
            name.split_once("__").is_some_and(|(_, number)| number.bytes().all(|byte| byte.is_ascii_digit()))
        };
        let has_state = last(self.fields, "sequence_batching").is_some_and(|batching| batching.last("state").is_some());
        let name_of = |output: &&Field| output.last("name").map_or("", Field::text).to_owned();
        let Some(output) = all(self.fields, "output").find(|output| !has_number(&name_of(output))) else { return };
        let name = name_of(&output);
        if has_state {
            let message = format!("output `{name}` of a PyTorch model with states must be called `<name>__<number>`");
            self.error(output, message, "follow the <name>__<index> naming convention");
        } else {
            let message = format!(
                "output `{name}` is not called `<name>__<number>`, so the PyTorch backend takes outputs by their order"
            );
            self.warn(output, message);
        }
    }
}

fn numbers(field: &Field, name: &str) -> Vec<i64> {
    field.all(name).filter_map(Field::number).collect()
}

const fn is_no_dim(dim: i64) -> bool {
    dim < 1 && dim != -1
}

/// What is wrong with a shape for a model whose tensor has other dims, and the server's response.
fn reshape_fault(dims: &[i64], shape: &[i64], max_batch_size: i64) -> Option<(String, &'static str)> {
    const OTHER_SIZE: &str = "has different size for dims and reshape";
    if shape.is_empty() && max_batch_size == 0 {
        let answer = "cannot have empty reshape for non-batching model as scalar tensors are not supported";
        return Some(("is reshaped to a scalar, which a model without batches cannot have".to_owned(), answer));
    }
    if let Some(dim) = shape.iter().find(|dim| is_no_dim(**dim)) {
        return Some((format!("is reshaped to dimension {dim}"), "reshape dimensions must be integer >= 1, or -1"));
    }
    if dims.is_empty() || dims.iter().any(|dim| is_no_dim(*dim)) {
        return None;
    }
    let (own, other) = (chunks(dims), chunks(shape));
    if own.len() != other.len() && own.len() > 1 && other.len() > 1 {
        let answer = "has different number of variable-size dimensions for dims and reshape";
        return Some(("is reshaped to another number of variable dimensions".to_owned(), answer));
    }
    // A shape without dims is that of one element.
    (own != other).then(|| ("is reshaped to another number of elements".to_owned(), OTHER_SIZE))
}

/// Numbers of elements before, between and after the dims that vary; none where that is too large a number.
fn chunks(dims: &[i64]) -> Vec<Option<i64>> {
    let product = |chunk: &[i64]| chunk.iter().try_fold(1_i64, |product, dim| product.checked_mul(*dim));
    dims.split(|dim| *dim == -1).map(product).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_have_the_same_elements_between_what_varies() {
        let fault = |dims: &[i64], shape: &[i64]| reshape_fault(dims, shape, 8).map(|(_, answer)| answer);
        let same: [(&[i64], &[i64]); 6] = [
            (&[4], &[2, 2]),
            (&[1], &[]),
            (&[-1], &[-1]),
            (&[2, 4, -1, 6], &[8, -1, 1, 6]),
            (&[-1, 1], &[1, -1]),
            (&[i64::MAX, 4], &[i64::MAX, 4]),
        ];
        for (dims, shape) in same {
            assert_eq!(fault(dims, shape), None, "{dims:?} {shape:?}");
        }
        let size = Some("has different size for dims and reshape");
        let other: [(&[i64], &[i64]); 6] =
            [(&[4], &[5]), (&[2], &[]), (&[-1], &[]), (&[-1, 4], &[4]), (&[2, -1, 3], &[3, -1, 2]), (&[4], &[-1, 4])];
        for (dims, shape) in other {
            assert_eq!(fault(dims, shape), size, "{dims:?} {shape:?}");
        }
        let varying = "has different number of variable-size dimensions for dims and reshape";
        assert_eq!(fault(&[-1, -1], &[-1]), Some(varying));
        assert_eq!(fault(&[4], &[0, 4]), Some("reshape dimensions must be integer >= 1, or -1"));
        assert!(reshape_fault(&[1], &[], 0).is_some_and(|(_, answer)| answer.starts_with("cannot have empty reshape")));
        assert_eq!(fault(&[0], &[4]), None, "that is a finding of the dims");
    }
}
