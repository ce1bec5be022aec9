//! The way of an ensemble's tensors from step to step (triton-inference-server/core, `BuildEnsembleGraph` and what follows it
//! in `ValidateEnsembleSchedulingConfig`).

use super::super::finding::Finding;
use super::step::Step;
use crate::text_format::{Field, all};
use std::collections::{BTreeMap, BTreeSet};

/// A tensor of an ensemble.
#[derive(Default)]
struct Tensor<'a> {
    /// The line of the step that has it first.
    line: usize,
    /// Whether a step writes it.
    is_written: bool,
    /// The tensors that the step reads which writes it.
    sources: Vec<&'a str>,
    /// The tensors that are written by the steps which read it.
    readers: Vec<&'a str>,
    /// Whether it is there once the inputs are.
    is_ready: bool,
}

/// What is wrong with the tensors of an ensemble, regardless of its models.
pub(super) fn check(fields: &[Field], steps: &[Step<'_>], place: &str) -> Vec<Finding> {
    let (mut tensors, mut findings) = (BTreeMap::new(), Vec::new());
    let mut error = |line: usize, message: String, answer: String| {
        findings.push(Finding::error(format!("{place}:{line}"), message, answer));
    };
    for step in steps {
        for tensor in connect(step, &mut tensors) {
            let answer = format!("ensemble tensor '{tensor}' can appear in an output map only once");
            error(step.line, format!("tensor `{tensor}` of the ensemble is written twice"), answer);
        }
    }
    let name = |field: &'_ Field| field.last("name").map_or(String::new(), |name| name.text().to_owned());
    let mut ready: Vec<String> = Vec::new();
    for input in all(fields, "input") {
        let name = name(input);
        match tensors.get_mut(name.as_str()) {
            Some(tensor) => {
                tensor.is_ready = true;
                ready.push(name);
            }
            None => {
                let answer = format!("ensemble input '{name}' for ensemble");
                error(input.line, format!("no step reads input `{name}` of the ensemble"), answer);
            }
        }
    }
    spread(ready, &mut tensors);
    let mut outputs = BTreeSet::new();
    for output in all(fields, "output") {
        let name = name(output);
        let message = match tensors.get(name.as_str()) {
            None => format!("no step writes output `{name}` of the ensemble"),
            Some(tensor) if !tensor.is_ready => not_written("output", &name, tensor, &tensors),
            Some(_) => {
                outputs.insert(name);
                continue;
            }
        };
        error(output.line, message, format!("output '{name}' for ensemble"));
    }
    for (name, tensor) in tensors.iter().filter(|(name, _)| !outputs.contains(**name)) {
        let answer = format!("ensemble tensor '{name}' is unused in ensemble");
        if !tensor.is_ready {
            error(tensor.line, not_written("tensor", name, tensor, &tensors), answer);
        } else if tensor.readers.is_empty() {
            error(tensor.line, format!("tensor `{name}` of the ensemble is written, and nothing reads it"), answer);
        }
    }
    findings
}

/// Adds the tensors of a step, and returns those that another step, or another output of it, writes as well.
fn connect<'a>(step: &Step<'a>, tensors: &mut BTreeMap<&'a str, Tensor<'a>>) -> Vec<&'a str> {
    let new = || Tensor { line: step.line, ..Tensor::default() };
    let mut twice = Vec::new();
    for output in step.outputs.values() {
        let tensor = tensors.entry(output).or_insert_with(new);
        if tensor.is_written {
            twice.push(*output);
        }
        tensor.is_written = true;
        tensor.sources.extend(step.inputs.values());
    }
    for input in step.inputs.values() {
        tensors.entry(input).or_insert_with(new).readers.extend(step.outputs.values());
    }
    twice
}

/// Marks what follows from the tensors that are ready.
fn spread(mut ready: Vec<String>, tensors: &mut BTreeMap<&str, Tensor<'_>>) {
    while let Some(name) = ready.pop() {
        let readers = tensors.get(name.as_str()).map(|tensor| tensor.readers.clone()).unwrap_or_default();
        for reader in readers {
            let is_ready = |name: &&str| tensors.get(name).is_some_and(|tensor| tensor.is_ready);
            let follows =
                tensors.get(reader).is_some_and(|tensor| !tensor.is_ready && tensor.sources.iter().all(is_ready));
            if follows && let Some(tensor) = tensors.get_mut(reader) {
                tensor.is_ready = true;
                ready.push(reader.to_owned());
            }
        }
    }
}

/// Why a tensor is never there: nothing writes it, or it needs one that is never there.
fn not_written(kind: &str, name: &str, tensor: &Tensor<'_>, tensors: &BTreeMap<&str, Tensor<'_>>) -> String {
    let is_missing = |source: &&&str| tensors.get(**source).is_some_and(|source| !source.is_ready);
    match tensor.sources.iter().find(is_missing) {
        None => format!("{kind} `{name}` of the ensemble is read, and no step writes it"),
        Some(source) if *source == name => format!("{kind} `{name}` of the ensemble needs itself"),
        Some(source) => {
            format!("{kind} `{name}` of the ensemble is written by a step that needs `{source}`, which never is there")
        }
    }
}
