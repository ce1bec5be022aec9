//! Inputs and outputs of a configuration.

use super::serving::{Served, ServedBy};
use super::text::{Fields, line, quoted, type_name};
use crate::files::LABELS_FILE;
use crate::{Error, Result};
use planforge_core::{Model, Profile, max_batch};
use planforge_types::{Dim, TensorSpec, fixed_batch};

/// The outputs of a model, and the labels of its scores.
#[derive(Clone, Copy)]
pub(super) struct Outputs<'a> {
    pub(super) specs: &'a [TensorSpec],
    pub(super) labels: &'a [String],
}

/// The largest batch of any profile, at least 1; 0, which Triton reads as "no batching", for inputs with a fixed batch.
pub fn max_batch_size(inputs: &[TensorSpec], profiles: &[Profile]) -> u64 {
    if fixed_batch(inputs).is_some() {
        return 0;
    }
    max_batch(profiles).max(1)
}

/// The names of the scores as a file of a package, one to a line; nothing where no output is called by them.
pub fn label_file(model: &Model) -> Option<String> {
    let has_labels = model.outputs.iter().any(|output| is_labelled(output, &model.labels));
    has_labels.then(|| model.labels.iter().map(|label| label.replace(['\r', '\n'], " ") + "\n").collect())
}

/// Whether an output is one score for each label.
fn is_labelled(output: &TensorSpec, labels: &[String]) -> bool {
    let count = u64::try_from(labels.len()).unwrap_or(u64::MAX);
    !labels.is_empty() && matches!(output.dims.as_slice(), [_, Dim::Fixed(size)] if *size == count)
}

/// Adds the largest batch, inputs and outputs to `fields`.
pub(super) fn tensors(fields: &mut Fields, served: &Served<'_>, outputs: Outputs<'_>) -> Result<()> {
    let Outputs { specs: outputs, labels } = outputs;
    fields.add("max_batch_size", format!("max_batch_size: {}\n", served.max_batch_size));
    let input = |spec: &TensorSpec| ragged(spec, served).then(|| "    allow_ragged_batch: true\n".to_owned());
    let is_batched = served.max_batch_size > 0;
    fields.add("input", tensor_list("input", served.inputs, is_batched, input)?);
    let output =
        |spec: &TensorSpec| is_labelled(spec, labels).then(|| format!("    label_filename: {}\n", quoted(LABELS_FILE)));
    fields.add("output", tensor_list("output", outputs, is_batched, output)?);
    Ok(())
}

/// Whether requests that differ in the sizes of this input may stand in one batch. Otherwise the server ends a batch at
/// the first request that differs; planforge's backend runs those that agree together, wherever they stand.
fn ragged(spec: &TensorSpec, served: &Served<'_>) -> bool {
    let is_free = spec.dims.iter().skip(1).any(|dim| matches!(dim, Dim::Dynamic(_)));
    is_free && served.by == ServedBy::Planforge && served.max_batch_size > 1
}

/// The tensors, each with the lines that `extra` returns for it. The server adds the batch to the dimensions of tensors that
/// are batched.
fn tensor_list(
    field: &str,
    specs: &[TensorSpec],
    is_batched: bool,
    extra: impl Fn(&TensorSpec) -> Option<String>,
) -> Result<String> {
    let mut text = format!("{field} [\n");
    for (index, spec) in specs.iter().enumerate() {
        let dims = match spec.dims.as_slice() {
            all if !is_batched => all,
            [Dim::Dynamic(_), dims @ ..] => dims,
            _ => return Err(Error::BatchDimension { tensor: spec.name.clone() }),
        };
        text.push_str("  {\n");
        line(&mut text, format_args!("    name: {}", quoted(&spec.name)));
        line(&mut text, format_args!("    data_type: {}", type_name(spec.data_type)));
        if dims.is_empty() {
            // A scalar for each item of the batch: Triton wants at least one dimension on the wire.
            text.push_str("    dims: [ 1 ]\n    reshape { shape: [ ] }\n");
        } else {
            line(
                &mut text,
                format_args!("    dims: [ {} ]", dims.iter().map(dimension).collect::<Vec<_>>().join(", ")),
            );
        }
        text.push_str(&extra(spec).unwrap_or_default());
        text.push_str(if index + 1 < specs.len() { "  },\n" } else { "  }\n" });
    }
    text.push_str("]\n");
    Ok(text)
}

/// A dimension as Triton writes it.
pub(super) fn dimension(dim: &Dim) -> String {
    match dim {
        Dim::Fixed(size) => size.to_string(),
        Dim::Dynamic(_) => "-1".to_owned(),
    }
}
