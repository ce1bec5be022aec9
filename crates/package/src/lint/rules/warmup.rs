//! Requests that warm a model up (triton-inference-server/core, `GenerateWarmupData`).

use super::Config;
use crate::text_format::{Field, all, last};

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
                    "a warm-up batch of {batch} is above `max_batch_size`, {}; it takes the whole server down",
                    self.max_batch_size
                );
                self.silent_error(self.at(warmup), message);
            }
            for entry in warmup.all("inputs") {
                self.warmup_input(entry);
            }
        }
    }

    fn warmup_input(&mut self, entry: &Field) {
        let name = entry.last("key").map_or("", Field::text);
        let input = entry.last("value");
        let part = |name: &str| input.and_then(|input| input.last(name));
        if input.is_some_and(|input| input.all("dims").filter_map(Field::number).any(|dim| dim == -1)) {
            let answer = "warmup setting expects all variable-size dimensions are specified";
            self.error(entry, format!("warm-up input `{name}` has a dimension of -1"), answer);
        }
        if ["zero_data", "random_data", "input_data_file"].into_iter().all(|name| part(name).is_none()) {
            let message =
                format!("warm-up input `{name}` has no data: it needs `zero_data`, `random_data` or `input_data_file`");
            self.error(entry, message, "to have input_data_type set");
        }
        let path = |file: &Field| self.model.path(&format!("warmup/{}", file.text()));
        if let Some(file) = part("input_data_file").filter(|file| !self.listing.has(&path(file))) {
            let message = format!("warm-up file `warmup/{}` is missing", file.text());
            self.error(file, message, "failed to open text file for read");
        }
        if last(self.fields, "sequence_batching").is_some() {
            // Its controls are inputs too.
            return;
        }
        let is_own = |input: &Field| input.last("name").map_or("", Field::text) == name;
        if last(self.fields, "input").is_some() && !all(self.fields, "input").any(is_own) {
            self.warn(entry, format!("warm-up input `{name}` is none of the model's"));
        }
    }
}
