//! How requests reach a model: batches, sequences, instances, versions, and the cache (triton-inference-server/core,
//! `ValidateModelConfig` and `ValidateInstanceGroup`).

use super::super::layout::NO_VERSION;
use super::config::Config;
use crate::schema::{INSTANCE_KINDS, TIMEOUT_ACTIONS};
use crate::text_format::{Field, all, entries, integer, last};

impl Config<'_> {
    pub(super) fn scheduling(&mut self) {
        self.batches();
        self.cache();
        self.versions();
        self.instances();
        self.metrics();
        self.cuda();
    }

    fn batches(&mut self) {
        if let Some(field) = last(self.fields, "max_batch_size").filter(|_| self.max_batch_size < 0) {
            self.error(field, "it is below 0", "'max_batch_size' must be non-negative value");
        }
        let Some(batching) = last(self.fields, "dynamic_batching") else { return };
        if self.max_batch_size == 0 {
            self.warn(batching, "nothing is batched while `max_batch_size` is 0");
        }
        self.preferred_sizes(batching, "dynamic batching preferred size");
        let level_of = |field: Option<&Field>| field.and_then(|field| integer(field.text())).unwrap_or(0);
        let level = |name: &str| level_of(batching.last(name));
        let (levels, default) = (level("priority_levels"), level("default_priority_level"));
        if levels > 0 && !(1..=levels).contains(&default) {
            let message = format!("`default_priority_level` is {default}, and there are {levels} levels");
            self.error(batching, message, format!("default priority level must be in range [1, {levels}]"));
        }
        for policy in entries(batching.fields(), "priority_queue_policy").into_iter().filter(|_| levels > 0) {
            let level = level_of(policy.last("key"));
            if !(1..=levels).contains(&level) {
                let message = format!("there is a policy for level {level}, and there are {levels} levels");
                let answer = format!("priority queue policy must have priority level in range [1, {levels}]");
                self.error(policy, message, answer);
            }
        }
        if batching.last("preserve_ordering").is_some_and(Field::is_true) {
            self.order(batching, levels);
        }
    }

    /// Answers that keep the order of their requests.
    fn order(&mut self, batching: &Field, levels: i128) {
        if levels > 1 {
            let message = "with `preserve_ordering` there may be one priority level only";
            self.error(batching, message, "Only one priority level is allowed when 'preserve_ordering' is true");
        }
        let by_level = entries(batching.fields(), "priority_queue_policy");
        let by_level = by_level.into_iter().filter_map(|entry| entry.last("value"));
        for policy in batching.all("default_queue_policy").chain(by_level) {
            let delays =
                policy.last("timeout_action").is_some_and(|action| action.word_of(&TIMEOUT_ACTIONS) == "DELAY");
            let timeout = policy.last("default_timeout_microseconds").and_then(|timeout| integer(timeout.text()));
            if delays && timeout.unwrap_or(0) != 0 {
                let answer = "Queue policy can not have DELAY as timeout action when 'preserve_ordering' is true";
                self.error(policy, "with `preserve_ordering` no request may be delayed", answer);
            }
        }
    }

    /// Batches of dynamic batching, or of the oldest sequences.
    pub(super) fn preferred_sizes(&mut self, batching: &Field, response: &str) {
        let most = self.max_batch_size;
        for size in batching.all("preferred_batch_size") {
            match size.number() {
                Some(number) if number <= 0 => {
                    self.error(size, "a preferred batch must be 1 or more", format!("{response} must be positive"));
                }
                Some(number) if number > most => {
                    let message = format!("a preferred batch of {number} is above `max_batch_size`, {most}");
                    self.error(size, message, format!("{response} must be <= max batch size"));
                }
                _ => {}
            }
        }
    }

    fn cache(&mut self) {
        let is_on = |cache: &&Field| cache.last("enable").is_some_and(Field::is_true);
        let Some(cache) = last(self.fields, "response_cache").filter(is_on) else { return };
        let transaction = last(self.fields, "model_transaction_policy").and_then(|policy| policy.last("decoupled"));
        let answer = "Response Cache does not currently support model";
        if last(self.fields, "sequence_batching").is_some() {
            self.error(cache, "answers of sequences cannot be cached", answer);
        } else if transaction.is_some_and(Field::is_true) {
            self.error(cache, "answers of a decoupled model cannot be cached", answer);
        } else {
            self.warn(cache, "nothing is cached unless the server is started with `--cache-config`");
        }
    }

    fn versions(&mut self) {
        let policy = last(self.fields, "version_policy").filter(|_| self.served.is_empty());
        if let Some(policy) = policy {
            let message = match policy.last("specific") {
                Some(_) => "none of these versions is in the archive",
                None => "the latest 0 versions are served; `num_versions` must be 1 or more",
            };
            self.error(policy, message, NO_VERSION);
        }
    }

    fn instances(&mut self) {
        if self.is_ensemble() {
            return;
        }
        for group in all(self.fields, "instance_group") {
            let kind = group.last("kind").map_or(INSTANCE_KINDS[0], |kind| kind.word_of(&INSTANCE_KINDS));
            if !INSTANCE_KINDS.contains(&kind) {
                let message = format!("unknown kind {kind}; expected one of {}", INSTANCE_KINDS.join(", "));
                self.error(group, message, "has unexpected kind");
            }
            if ["KIND_CPU", "KIND_MODEL"].contains(&kind) && group.last("gpus").is_some() {
                let answer = format!("has kind {kind} but specifies one or more GPUs");
                self.error(group, format!("a group of kind {kind} names GPUs"), answer);
            }
            if kind == "KIND_CPU" && self.runner.backend == "tensorrt" {
                self.error(group, "TensorRT runs on GPUs only", "TensorRT backend supports only GPU device");
            }
            if let Some(profile) = group.last("profile").filter(|_| self.runner.platform != "tensorrt_plan") {
                let answer = "specifies profile field which is only supported for TensorRT models";
                self.error(profile, "profiles are for TensorRT's plans only", answer);
            }
            if group.last("count").and_then(Field::number).is_some_and(|count| count < 1) {
                self.warn(group, "a count below 1 is taken for 1");
            }
        }
    }

    /// Prometheus takes letters, digits and `_` in the name of a label.
    fn metrics(&mut self) {
        for tag in all(self.fields, "metric_tags") {
            let key = tag.last("key").map_or("", Field::text);
            let is_plain = key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            if !is_plain || key.starts_with("__") || key.is_empty() || key.starts_with(|c: char| c.is_ascii_digit()) {
                let message = format!(
                    "invalid Prometheus label name `{key}`; expected letters, digits and `_`; it crashes the whole server"
                );
                self.silent_error(self.at(tag), message);
            }
        }
    }

    fn cuda(&mut self) {
        let cuda = last(self.fields, "optimization").and_then(|optimization| optimization.last("cuda"));
        let Some(cuda) = cuda else { return };
        if !self.runner.runs_engine(self.fields) {
            self.warn(cuda, "only the TensorRT backend reads it, and planforge's for engines");
        }
        if self.runner.backend != "tensorrt" {
            return;
        }
        for spec in cuda.all("graph_spec") {
            let size = |spec: &Field| spec.last("batch_size").and_then(Field::number).unwrap_or(0);
            let most = self.max_batch_size;
            let is_good = |size: i64| if most == 0 { size == 0 } else { (1..=most).contains(&size) };
            let lower = spec.last("graph_lower_bound").map_or_else(|| size(spec), size);
            if !is_good(size(spec)) || !is_good(lower) {
                let message = format!("a graph's batch of {} does not go with `max_batch_size`, {most}", size(spec));
                self.error(spec, message, "graph spec");
            }
        }
    }
}
