//! What the fields of a configuration say to each other and to the archive.

use super::layout::{Listing, ModelFolder, NO_VERSION};
use super::{Finding, Severity};
use crate::text_format::{Field, all, last};
use planforge_core::ComputeCapability;
use std::collections::HashSet;

/// Platforms, their backends, and the usual names of their files.
const PLATFORMS: [(&str, &str, &str); 3] = [
    ("tensorrt_plan", "tensorrt", "model.plan"),
    ("pytorch_libtorch", "pytorch", "model.pt"),
    ("onnxruntime_onnx", "onnxruntime", "model.onnx"),
];
/// Backends without a platform, and the usual names of their files.
const BACKENDS: [(&str, &str); 2] = [("python", "model.py"), ("planforge", "model.onnx")];

/// A configuration under examination.
struct Config<'a> {
    fields: &'a [Field],
    model: &'a ModelFolder,
    listing: &'a Listing,
    place: String,
    max_batch_size: i64,
    backend: String,
    findings: Vec<Finding>,
}

/// Everything that is wrong with a configuration whose fields are Triton's.
pub(super) fn check(fields: &[Field], model: &ModelFolder, listing: &Listing) -> Vec<Finding> {
    let text = |name: &str| last(fields, name).map_or("", Field::text);
    let platform = PLATFORMS.iter().find(|(platform, ..)| *platform == text("platform"));
    let backend = if text("backend").is_empty() { platform.map_or("", |platform| platform.1) } else { text("backend") };
    let mut config = Config {
        fields,
        model,
        listing,
        place: model.path("config.pbtxt"),
        max_batch_size: last(fields, "max_batch_size").and_then(Field::number).unwrap_or(0),
        backend: backend.to_owned(),
        findings: Vec::new(),
    };
    config.platform(text("platform"), text("backend"));
    if text("platform") != "ensemble" {
        config.model_file(text("default_model_filename"));
        config.files_by_gpu();
    }
    config.batching();
    config.tensors();
    config.instances();
    config.warmup();
    config.version_policy();
    config.silent();
    config.findings
}

impl Config<'_> {
    fn at(&self, field: &Field) -> String {
        format!("{}:{}", self.place, field.line)
    }

    fn error(&mut self, field: &Field, message: impl Into<String>, answer: impl Into<String>) {
        let place = self.at(field);
        self.findings.push(Finding::error(place, message, answer));
    }

    fn warn(&mut self, field: &Field, message: impl Into<String>) {
        let place = self.at(field);
        self.findings.push(Finding::warning(place, message));
    }

    fn platform(&mut self, platform: &str, backend: &str) {
        let Some(field) = last(self.fields, "platform").filter(|_| !platform.is_empty()) else { return };
        match PLATFORMS.iter().find(|(known, ..)| *known == platform) {
            Some((_, expected, _)) if !backend.is_empty() && backend != *expected => {
                let answer = format!("unexpected 'platform' and 'backend' pair, got:{platform}, {backend}");
                self.error(field, format!("platform `{platform}` belongs to backend `{expected}`"), answer);
            }
            None if backend.is_empty() && platform != "ensemble" => {
                let known: Vec<_> = PLATFORMS.iter().map(|(known, ..)| *known).collect();
                let message = format!("`{platform}` is no platform; use one of {}, or `backend`", known.join(", "));
                let answer = match self.guessed_backend() {
                    Some(backend) => format!("unexpected 'platform' and 'backend' pair, got:{platform}, {backend}"),
                    None => format!("unexpected platform type '{platform}'"),
                };
                self.error(field, message, answer);
            }
            _ => {}
        }
    }

    /// The backend that the server takes where none is named: that of the file that is, or lies in the version folder.
    fn guessed_backend(&self) -> Option<&'static str> {
        let version = self.model.versions.last().copied().unwrap_or(1);
        let has = |file: &str| self.listing.has(&self.model.path(&format!("{version}/{file}")));
        let named = last(self.fields, "default_model_filename").map(Field::text);
        let is_it = |file: &str| named.map_or_else(|| has(file), |named| named == file);
        PLATFORMS.iter().find(|(_, _, file)| is_it(file)).map(|(_, backend, _)| *backend)
    }

    fn model_file(&mut self, named: &str) {
        let usual = PLATFORMS.iter().map(|(_, backend, file)| (*backend, *file)).chain(BACKENDS);
        let usual = usual.into_iter().find(|(backend, _)| *backend == self.backend).map(|(_, file)| file);
        let Some(file) = Some(named).filter(|name| !name.is_empty()).or(usual) else { return };
        let version = self.model.versions.last().copied().unwrap_or(1);
        let path = self.model.path(&format!("{version}/{file}"));
        if self.listing.has(&path) || last(self.fields, "cc_model_filenames").is_some() {
            return;
        }
        let finding = Finding::error(path, "the model's file is missing", file);
        // The Python backend waits for a process that cannot start.
        let answer = finding.answer.filter(|_| self.backend != "python");
        self.findings.push(Finding { answer, ..finding });
    }

    /// Files for GPUs of one compute capability each; others take the default.
    fn files_by_gpu(&mut self) {
        let version = self.model.versions.last().copied().unwrap_or(1);
        for item in all(self.fields, "cc_model_filenames") {
            let text = |name: &str| item.last(name).map(Field::text).unwrap_or_default();
            let (gpu, file) = (text("key"), text("value"));
            if gpu.parse::<ComputeCapability>().is_err() {
                self.warn(item, format!("`{gpu}` is no compute capability such as `8.6`, so no GPU takes `{file}`"));
            }
            let path = self.model.path(&format!("{version}/{file}"));
            if !self.listing.has(&path) {
                let message = format!("the model's file for GPUs of compute capability {gpu} is missing");
                self.findings.push(Finding { severity: Severity::Error, place: path, message, answer: None });
            }
        }
    }

    fn batching(&mut self) {
        let most = self.max_batch_size;
        if let Some(field) = last(self.fields, "max_batch_size").filter(|_| most < 0) {
            self.error(field, "it is below 0", "'max_batch_size' must be non-negative value");
        }
        let Some(batching) = last(self.fields, "dynamic_batching") else { return };
        for size in batching.all("preferred_batch_size") {
            match size.number() {
                Some(number) if number <= 0 => {
                    self.error(
                        size,
                        "a preferred batch must be 1 or more",
                        "dynamic batching preferred size must be positive",
                    );
                }
                Some(number) if number > most => {
                    let message = format!("a preferred batch of {number} is above `max_batch_size`, {most}");
                    self.error(size, message, "dynamic batching preferred size must be <= max batch size");
                }
                _ => {}
            }
        }
        let level = |name: &str| batching.last(name).and_then(Field::number).unwrap_or(0);
        let (levels, default) = (level("priority_levels"), level("default_priority_level"));
        if levels > 0 && !(1..=levels).contains(&default) {
            let message = format!("`default_priority_level` is {default}, and there are {levels} levels");
            self.error(batching, message, format!("default priority level must be in range [1, {levels}]"));
        }
    }

    fn tensors(&mut self) {
        for kind in ["input", "output"] {
            let mut names = HashSet::new();
            let tensors: Vec<&Field> = all(self.fields, kind).collect();
            for tensor in tensors {
                let name = tensor.last("name").map_or("", Field::text);
                if name.is_empty() {
                    self.error(tensor, format!("an {kind} has no name"), format!("model {kind} must specify 'name'"));
                } else if !names.insert(name) {
                    self.warn(tensor, format!("{kind} `{name}` is there twice"));
                }
                self.dims((kind, name), tensor);
            }
        }
    }

    fn dims(&mut self, (kind, name): (&str, &str), tensor: &Field) {
        let numbers = |field: &Field, of: &str| -> Vec<i64> { field.all(of).filter_map(Field::number).collect() };
        let dims = numbers(tensor, "dims");
        if name.is_empty() {
            return;
        }
        if dims.is_empty() {
            let answer = format!("model {kind} '{name}' must specify 'dims'");
            self.error(tensor, format!("{kind} `{name}` has no dims"), answer);
        } else if let Some(dim) = dims.iter().find(|dim| **dim == 0 || **dim < -1) {
            let answer = format!("model {kind} '{name}' dimension must be integer >= 1, or -1");
            self.error(tensor, format!("{kind} `{name}` has dimension {dim}"), answer);
        }
        let format = tensor.last("format").map_or("", Field::text);
        if ["FORMAT_NCHW", "FORMAT_NHWC"].contains(&format) && dims.len() != 3 {
            let message = format!("input `{name}` has {format} and {} dims", dims.len());
            self.error(tensor, message, "model input NHWC/NCHW require 3 dims");
        }
        if let Some(reshape) = tensor.last("reshape") {
            let shape = numbers(reshape, "shape");
            let size = |dims: &[i64]| dims.iter().filter(|dim| **dim > 0).product::<i64>();
            if !dims.is_empty() && size(&dims) != size(&shape) {
                let answer = format!("model {kind} '{name}' has different size for dims and reshape");
                self.error(tensor, format!("{kind} `{name}` is reshaped to another number of elements"), answer);
            }
        }
        self.output_name((kind, name), tensor);
        let label = tensor.last("label_filename").filter(|label| !self.listing.has(&self.model.path(label.text())));
        if let Some(label) = label {
            let message = format!("label file `{}` is missing", label.text());
            self.error(label, message, "failed to open text file for read");
        }
    }

    /// The PyTorch backend finds outputs by the number in their names.
    fn output_name(&mut self, (kind, name): (&str, &str), tensor: &Field) {
        let number = name.split_once("__").map(|(_, number)| number.parse::<u32>().is_ok());
        if self.backend == "pytorch" && kind == "output" && number != Some(true) {
            let message = format!("output `{name}` of a PyTorch model must be called `<name>__<number>`");
            let finding = Finding::error(self.at(tensor), message, "naming convention");
            self.findings.push(finding);
        }
    }

    fn instances(&mut self) {
        let groups: Vec<&Field> = all(self.fields, "instance_group").collect();
        for group in groups {
            let kind = group.last("kind").map_or("KIND_AUTO", Field::text);
            if kind == "KIND_CPU" && group.last("gpus").is_some() {
                self.error(
                    group,
                    "a group of kind KIND_CPU names GPUs",
                    "has kind KIND_CPU but specifies one or more GPUs",
                );
            }
            if kind == "KIND_CPU" && self.backend == "tensorrt" {
                self.error(group, "TensorRT runs on GPUs only", "TensorRT backend supports only GPU device");
            }
            if group.last("count").and_then(Field::number).is_some_and(|count| count < 1) {
                self.warn(group, "a count below 1 is taken for 1");
            }
        }
    }

    fn warmup(&mut self) {
        let warmups: Vec<&Field> = all(self.fields, "model_warmup").collect();
        for warmup in warmups {
            let batch = warmup.last("batch_size").and_then(Field::number).unwrap_or(0);
            if batch > self.max_batch_size.max(1) {
                let message = format!(
                    "a warm-up batch of {batch} is above `max_batch_size`, {}; it takes the whole server down",
                    self.max_batch_size
                );
                let finding = Finding { severity: Severity::Error, place: self.at(warmup), message, answer: None };
                self.findings.push(finding);
            }
            for entry in warmup.all("inputs") {
                let file = entry.last("value").and_then(|value| value.last("input_data_file"));
                let path = |file: &Field| self.model.path(&format!("warmup/{}", file.text()));
                if let Some(file) = file.filter(|file| !self.listing.has(&path(file))) {
                    let message = format!("warm-up file `warmup/{}` is missing", file.text());
                    self.error(file, message, "failed to open text file for read");
                }
            }
        }
    }

    fn version_policy(&mut self) {
        let Some(specific) = last(self.fields, "version_policy").and_then(|policy| policy.last("specific")) else {
            return;
        };
        let wanted: Vec<u64> = specific.all("versions").filter_map(|version| version.text().parse().ok()).collect();
        if !wanted.iter().any(|version| self.model.versions.contains(version)) {
            self.error(specific, "none of these versions is in the archive", NO_VERSION);
        }
    }

    /// What the server takes without a word, and then does not do.
    fn silent(&mut self) {
        let is_ensemble = last(self.fields, "platform").is_some_and(|platform| platform.text() == "ensemble");
        for kind in ["input", "output"] {
            if last(self.fields, kind).is_none() && !is_ensemble {
                self.findings.push(Finding::warning(self.place.clone(), format!("no {kind} is configured")));
            }
        }
        if let Some(batching) = last(self.fields, "dynamic_batching").filter(|_| self.max_batch_size == 0) {
            self.warn(batching, "nothing is batched while `max_batch_size` is 0");
        }
        if let Some(cache) = last(self.fields, "response_cache") {
            self.warn(cache, "nothing is cached unless the server is started with `--cache-config`");
        }
        let cuda = last(self.fields, "optimization").and_then(|optimization| optimization.last("cuda"));
        if let Some(cuda) = cuda.filter(|_| self.backend != "tensorrt") {
            self.warn(cuda, "only the TensorRT backend reads it");
        }
    }
}
