//! Whether the models of an ensemble agree about its tensors (triton-inference-server/core, `ValidateEnsembleConfig`).

use super::super::finding::Finding;
use super::super::listing::Listing;
use super::decoupled;
use super::member::{Member, Tensor, reshaped};
use super::step::{Step, steps};
use crate::text_format::{Field, last};
use std::collections::BTreeMap;

/// A tensor as the first model that has it describes it.
struct Known {
    data_type: String,
    dims: Vec<i64>,
    /// The dims with the batch before them, where the model has one.
    full_dims: Vec<i64>,
    model: String,
}

impl Known {
    fn new(tensor: &Tensor, is_batched: bool, model: &str) -> Self {
        let full_dims = is_batched.then_some(-1).into_iter().chain(tensor.dims.iter().copied()).collect();
        let (data_type, dims) = (tensor.data_type.clone(), tensor.dims.clone());
        Self { data_type, dims, full_dims, model: model.to_owned() }
    }

    /// How another model contradicts it, and the server's response.
    fn difference(&self, other: &Self) -> Option<(String, &'static str)> {
        let (one, two) = (&self.model, &other.model);
        if self.data_type != other.data_type {
            let types = (&self.data_type, &other.data_type);
            return Some((format!("data type {} in `{one}` and {} in `{two}`", types.0, types.1), "data type"));
        }
        // A model without batches may have the batch as its first dimension.
        if is_like(&self.dims, &other.dims) || is_like(&self.full_dims, &other.full_dims) {
            return None;
        }
        Some((format!("shape {:?} in `{one}` and {:?} in `{two}`", self.full_dims, other.full_dims), "shape"))
    }
}

fn is_like(one: &[i64], other: &[i64]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| *one == -1 || *other == -1 || one == other)
}

/// An ensemble under examination.
struct Ensemble<'a> {
    place: &'a str,
    known: BTreeMap<String, Known>,
    findings: Vec<Finding>,
}

/// What is wrong between an ensemble, in which nothing else is wrong, and its models.
pub(in crate::lint) fn check_members(fields: &[Field], place: &str, listing: &Listing) -> Vec<Finding> {
    let (mut members, steps) = (BTreeMap::new(), steps(fields));
    for step in &steps {
        if !members.contains_key(step.model)
            && let Some(member) = Member::read(step.model, listing)
        {
            members.insert(step.model, member);
        }
    }
    let mut ensemble = Ensemble { place, known: BTreeMap::new(), findings: Vec::new() };
    let max_batch_size = last(fields, "max_batch_size").and_then(Field::number).unwrap_or(0);
    for tensor in ["input", "output"].into_iter().flat_map(|kind| reshaped(fields, kind)) {
        let known = Known::new(&tensor, max_batch_size > 0, "the ensemble");
        ensemble.known.entry(tensor.name).or_insert(known);
    }
    for step in &steps {
        let Some(member) = members.get(step.model) else { continue };
        ensemble.version(step, member);
        if member.max_batch_size != 0 && member.max_batch_size < max_batch_size {
            let own = member.max_batch_size;
            let message =
                format!("the ensemble has `max_batch_size` {max_batch_size}, and its model `{}` has {own}", step.model);
            ensemble.error(step, message, format!("allows maximum batch size {max_batch_size}, but it contains model"));
        }
        ensemble.inputs(step, member);
        ensemble.outputs(step, member);
    }
    if ensemble.findings.is_empty() {
        let is_decoupled = |step: &Step<'_>| members.get(step.model).is_some_and(|member| member.is_decoupled);
        ensemble.findings.extend(decoupled::check(fields, &steps, is_decoupled, place));
    }
    ensemble.findings
}

impl Ensemble<'_> {
    fn error(&mut self, step: &Step<'_>, message: String, answer: impl Into<String>) {
        self.findings.push(Finding::error(format!("{}:{}", self.place, step.line), message, answer));
    }

    fn version(&mut self, step: &Step<'_>, member: &Member) {
        let version = step.version;
        if version == -1 || member.versions.contains(&version) {
            return;
        }
        let unset = if step.has_version { "" } else { ", as `model_version` is not set; -1 is the latest" };
        let message = format!("version {version} of model `{}` is not served{unset}", step.model);
        self.error(step, message, format!("whose required version {version} is not loaded"));
    }

    fn inputs(&mut self, step: &Step<'_>, member: &Member) {
        let model = step.model;
        for (input, tensor) in &step.inputs {
            if !member.may_add_inputs && member.inputs.iter().all(|known| known.name != *input) {
                let message = format!("model `{model}` has no input `{input}`, which is to take tensor `{tensor}`");
                let answer = format!("ensemble tensor {tensor} is mapping to non-existing input {input} in model");
                self.error(step, message, answer);
            }
        }
        for input in &member.inputs {
            match step.inputs.get(input.name.as_str()) {
                Some(tensor) => self.compare(step, tensor, input, member),
                None if input.is_optional => {}
                None => {
                    let message = format!("input `{}` of model `{model}` takes no tensor of the ensemble", input.name);
                    self.error(step, message, "is not mapped to any ensemble tensors");
                }
            }
        }
    }

    fn outputs(&mut self, step: &Step<'_>, member: &Member) {
        let model = step.model;
        for (output, tensor) in &step.outputs {
            let of_model: Vec<_> = member.outputs.iter().filter(|known| known.name == *output).collect();
            if of_model.is_empty() && !member.may_add_outputs {
                let message = format!("model `{model}` has no output `{output}`, which is to be tensor `{tensor}`");
                let answer = format!("ensemble tensor {tensor} is mapped from non-existing output {output} in model");
                self.error(step, message, answer);
            }
            if of_model.len() > 1 {
                let message = format!("model `{model}` has output `{output}` twice");
                self.error(step, message, format!("are mapped to the same ensemble tensor {tensor}"));
            }
            for output in of_model {
                self.compare(step, tensor, output, member);
            }
        }
    }

    fn compare(&mut self, step: &Step<'_>, tensor: &str, of_model: &Tensor, member: &Member) {
        if !of_model.is_complete() {
            return;
        }
        let other = Known::new(of_model, member.max_batch_size > 0, step.model);
        let Some(known) = self.known.get(tensor) else {
            self.known.insert(tensor.to_owned(), other);
            return;
        };
        if let Some((difference, what)) = known.difference(&other) {
            let answer = format!("ensemble tensor {tensor}: inconsistent {what}");
            self.error(step, format!("tensor `{tensor}` of the ensemble has {difference}"), answer);
        }
    }
}
