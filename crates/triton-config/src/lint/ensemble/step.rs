//! One step of an ensemble.

use crate::text_format::{Field, entries, last};
use std::collections::BTreeMap;

/// One step, as far as it is written.
pub(super) struct Step<'a> {
    pub(super) line: usize,
    pub(super) model: &'a str,
    /// The version of the model; the latest is -1.
    pub(super) version: i64,
    /// Whether the version is written.
    pub(super) has_version: bool,
    /// Tensors of the ensemble by the input of the model that takes each.
    pub(super) inputs: BTreeMap<&'a str, &'a str>,
    /// Tensors of the ensemble by the output of the model that becomes each.
    pub(super) outputs: BTreeMap<&'a str, &'a str>,
}

impl<'a> Step<'a> {
    fn of(field: &'a Field) -> Self {
        let map = |name: &'a str| {
            let text = |entry: &'a Field, name| entry.last(name).map_or("", Field::text);
            entries(field.fields(), name).into_iter().map(|entry| (text(entry, "key"), text(entry, "value"))).collect()
        };
        let version = field.last("model_version");
        Self {
            line: field.line,
            model: field.last("model_name").map_or("", Field::text),
            version: version.and_then(Field::number).unwrap_or(0),
            has_version: version.is_some(),
            inputs: map("input_map"),
            outputs: map("output_map"),
        }
    }
}

/// The steps of an ensemble.
pub(super) fn steps(fields: &[Field]) -> Vec<Step<'_>> {
    last(fields, "ensemble_scheduling")
        .into_iter()
        .flat_map(|scheduling| scheduling.all("step"))
        .map(Step::of)
        .collect()
}
