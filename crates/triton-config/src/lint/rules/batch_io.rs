//! Inputs that the backend makes of a whole batch, and outputs that it takes apart by the shape of an input
//! (triton-inference-server/core, `ValidateBatchIO`).

use super::super::finding::Severity;
use super::config::Config;
use crate::files::PLANFORGE_BACKEND;
use crate::schema::{BATCH_INPUTS, BATCH_OUTPUTS, DATA_TYPES};
use crate::text_format::{Field, all};
use std::collections::HashSet;

impl Config<'_> {
    pub(super) fn batch_io(&mut self) {
        let fields = self.fields;
        for input in all(fields, "batch_input") {
            self.kind_and_source(input, ("batch input", &BATCH_INPUTS));
            let data_type = input.last("data_type").map_or(DATA_TYPES[0], |field| field.word_of(&DATA_TYPES));
            if !["TYPE_INT32", "TYPE_FP32"].contains(&data_type) {
                let message = format!("a batch input has data type {data_type}; expected TYPE_INT32 or TYPE_FP32");
                self.error(input, message, "batch input data type");
            }
        }
        for output in all(fields, "batch_output") {
            self.kind_and_source(output, ("batch output", &BATCH_OUTPUTS));
            self.targets(output);
        }
    }

    fn kind_and_source(&mut self, field: &Field, (what, kinds): (&str, &[&str])) {
        let kind = field.last("kind").map_or(kinds[0], |kind| kind.word_of(kinds));
        if !kinds.contains(&kind) {
            let message = format!("unknown kind {kind} of a {what}; expected {}", kinds.join(", "));
            self.push(field, Severity::Error, message, None);
            return;
        }
        let sources: Vec<_> = field.all("source_input").collect();
        if sources.len() != 1 {
            let count = sources.len();
            let message = format!("a {what} of kind {kind} has {count} `source_input`s; expected 1");
            self.error(field, message, format!("{what} kind '{kind}' expects 1 source input, got {count}"));
        }
        for source in sources {
            if !self.has_tensor("input", source.text()) {
                let name = source.text();
                let message = format!("`source_input` `{name}` is not an input of the model");
                self.error(source, message, format!("unknown source input name '{name}'"));
            }
        }
    }

    fn targets(&mut self, output: &Field) {
        let mut names = HashSet::new();
        for target in output.all("target_name") {
            let name = target.text();
            if !self.has_tensor("output", name) {
                let message = format!("`target_name` `{name}` is not an output of the model");
                self.error(target, message, format!("unknown target output name '{name}'"));
            } else if !names.insert(name) {
                let answer = format!("target output name '{name}' can only be specified once");
                self.error(target, format!("`target_name` `{name}` is there twice"), answer);
            }
        }
        if output.last("target_name").is_none() && self.runner.backend != PLANFORGE_BACKEND {
            let message = "a batch output has no `target_name`; it crashes the whole server";
            self.push(output, Severity::Error, message.to_owned(), None);
        }
    }

    fn has_tensor(&self, kind: &str, name: &str) -> bool {
        all(self.fields, kind).any(|tensor| tensor.last("name").is_some_and(|own| own.text() == name))
    }
}
