//! Requests that warm a model up (triton-inference-server/core, `GenerateWarmupData`, and `InferenceRequest::Normalize` for
//! what every request has to be).

use super::config::Config;
use super::files::{DataFile, byte_count, element_count};
use crate::files::PLANFORGE_BACKEND;
use crate::schema::DATA_TYPES;
use crate::text_format::{Field, all, entries, last};

/// What becomes of Triton 2.51 when a backend answers a warm-up with an error.
const FAILED_RUN: &str = "a warm-up that fails crashes the whole server";

impl Config<'_> {
    pub(super) fn warmup(&mut self) {
        for warmup in all(self.fields, "model_warmup") {
            let batch = warmup.last("batch_size").and_then(Field::number).unwrap_or(0);
            if batch == 0 {
                self.warn(warmup, "a warm-up with a `batch_size` of 0 is left out without a word");
                continue;
            }
            if batch > self.max_batch_size.max(1) {
                let message = format!(
                    "a warm-up batch of {batch} is above `max_batch_size`, {}; it crashes the whole server",
                    self.max_batch_size
                );
                self.silent_error(self.at(warmup), message);
            }
            for entry in entries(warmup.fields(), "inputs") {
                self.warmup_data(entry);
                self.warmup_tensor(entry);
            }
            self.missing_inputs(warmup);
        }
    }

    /// Where the elements come from.
    fn warmup_data(&mut self, entry: &Field) {
        let name = key(entry);
        if numbers(entry.last("value")).contains(&-1) {
            let answer = "warmup setting expects all variable-size dimensions are specified";
            self.error(entry, format!("warm-up input `{name}` has a dimension of -1"), answer);
        }
        let part = |name: &str| entry.last("value").and_then(|input| input.last(name));
        if ["zero_data", "random_data", "input_data_file"].into_iter().all(|name| part(name).is_none()) {
            let message =
                format!("warm-up input `{name}` has no data: it needs `zero_data`, `random_data` or `input_data_file`");
            self.error(entry, message, "to have input_data_type set");
        }
        if let Some(file) = part("input_data_file") {
            self.warmup_file(file, entry.last("value"));
        }
    }

    /// A file with elements of each request's own tensor, without the batch.
    fn warmup_file(&mut self, field: &Field, input: Option<&Field>) {
        let dims = numbers(input);
        let data_type = input.and_then(|input| input.last("data_type"));
        let data_type = data_type.map_or(DATA_TYPES[0], |data_type| data_type.word_of(&DATA_TYPES));
        let needed = byte_count(data_type, &dims);
        let (missing, answer) = (Some("failed to open text file for read"), "warmup setting expects");
        let Some(file) = self.data_file(&DataFile { field, folder: "warmup", needed, missing, answer }) else { return };
        let (found, expected) = (file.string_count, element_count(&dims));
        if data_type == "TYPE_STRING" && expected.is_some() && found != expected {
            let found = found
                .map_or_else(|| "not strings, each after its length".to_owned(), |count| format!("{count} strings"));
            let message = format!("warm-up file `warmup/{}` is {found}; the tensor has {dims:?}", field.text());
            self.error(field, message, "string");
        }
    }

    /// Whether the model has such an input.
    fn warmup_tensor(&mut self, entry: &Field) {
        let name = key(entry);
        let Some(input) = all(self.fields, "input").find(|input| name_of(input) == name) else {
            // Controls of sequences are inputs too, and a backend may add what no input is configured of.
            if last(self.fields, "input").is_some() && last(self.fields, "sequence_batching").is_none() {
                let message = format!("warm-up input `{name}` is none of the model's");
                if self.runner.backend == PLANFORGE_BACKEND {
                    self.silent_error(self.at(entry), format!("{message}; {FAILED_RUN}"));
                } else {
                    self.warn(entry, message);
                }
            }
            return;
        };
        let Some(value) = entry.last("value") else { return };
        let data_type = |field: &Field| {
            field.last("data_type").map_or(DATA_TYPES[0], |field| field.word_of(&DATA_TYPES)).to_owned()
        };
        let (own, given) = (data_type(input), data_type(value));
        if own != given {
            let message = format!("warm-up input `{name}` has data type {given}, and the model's has {own}");
            self.error(entry, message, format!("inference input '{name}' data-type is"));
        }
        let is_random = value.last("random_data").is_some_and(Field::is_true);
        if own == given && own == "TYPE_BOOL" && is_random && self.runner.backend == PLANFORGE_BACKEND {
            let message =
                format!("warm-up input `{name}` has random bytes, and of TYPE_BOOL 0 and 1 alone; {FAILED_RUN}");
            self.silent_error(self.at(entry), message);
        }
        let (own, given) = (numbers(Some(input)), numbers(Some(value)));
        let is_like = |(own, given): (&i64, &i64)| *own == -1 || *given == -1 || own == given;
        let is_shape = input.last("is_shape_tensor").is_some_and(Field::is_true);
        if !is_shape && (own.len() != given.len() || !own.iter().zip(&given).all(is_like)) {
            let message = format!("warm-up input `{name}` has dims {given:?}, and the model's has {own:?}");
            self.error(entry, message, format!("unexpected shape for input '{name}'"));
        }
    }

    fn missing_inputs(&mut self, warmup: &Field) {
        let is_given = |input: &&Field| warmup.all("inputs").any(|entry| key(entry) == name_of(input));
        let is_needed = |input: &&Field| !input.last("optional").is_some_and(Field::is_true);
        let missing = all(self.fields, "input").filter(is_needed).find(|input| !is_given(input));
        if let Some(missing) = missing {
            let message = format!("a warm-up lacks input `{}`", name_of(missing));
            self.error(warmup, message, "missing required input(s)");
        }
    }
}

fn key(entry: &Field) -> &str {
    entry.last("key").map_or("", Field::text)
}

fn name_of(input: &Field) -> &str {
    input.last("name").map_or("", Field::text)
}

fn numbers(input: Option<&Field>) -> Vec<i64> {
    input.into_iter().flat_map(|input| input.all("dims")).filter_map(Field::number).collect()
}
