//! The backend of a model and its files (triton-inference-server/core, `ValidateModelConfig`).

use super::super::finding::{Finding, Severity};
use super::super::listing::Found;
use super::super::runner::KNOWN;
use super::config::Config;
use crate::files::PLANFORGE_BACKEND;
use crate::text_format::{Field, entries, last};
use planforge_types::ComputeCapability;

/// Findings after which no more files are looked for.
const MOST_FINDINGS: usize = 1000;

/// The repository agent that the server brings along.
const SERVERS_AGENT: &str = "checksum";
/// The backend of scripts.
const PYTHON: &str = "python";

impl Config<'_> {
    pub(super) fn backend(&mut self) {
        let place = |config: &Self, name: &str| last(config.fields, name).map(|field| config.at(field));
        let at = place(self, "platform").or_else(|| place(self, "backend")).unwrap_or_else(|| self.place.clone());
        let (backend, platform) = (self.runner.backend.clone(), self.runner.platform.clone());
        if self.is_ensemble() {
            if !backend.is_empty() {
                let answer = "must have platform type 'ensemble' and empty backend type";
                self.findings.push(Finding::error(at, "an ensemble has no backend", answer));
            }
            return;
        }
        if backend.is_empty() {
            let finding = self.nothing_runs_it(at);
            self.findings.push(finding);
            return;
        }
        let platforms: Vec<_> = KNOWN.iter().filter(|(known, ..)| *known == backend).map(|known| known.1).collect();
        if !platforms.is_empty() && !platforms.contains(&"") && !platforms.contains(&platform.as_str()) {
            let message = match KNOWN.iter().find(|(_, known, _)| !platform.is_empty() && *known == platform) {
                Some((expected, ..)) => format!("platform `{platform}` belongs to backend `{expected}`"),
                None => format!("backend `{backend}` takes platform {} only", platforms.join(" or ")),
            };
            let answer = format!("unexpected 'platform' and 'backend' pair, got:{platform}, {backend}");
            self.findings.push(Finding::error(at, message, answer));
        }
        self.model_file();
        if backend != PYTHON {
            self.files_by_gpu();
        }
        self.library();
        self.brought_along();
    }

    /// Neither a field nor a file tells the backend.
    fn nothing_runs_it(&self, at: String) -> Finding {
        let platform = &self.runner.platform;
        let named = last(self.fields, "default_model_filename").map_or("", Field::text);
        if platform.is_empty() && named.is_empty() {
            let message = "the backend is unknown; set `backend`";
            // It takes one from the archive's name.
            return Finding::error(at, message, "unable to find backend library for backend");
        }
        let message = if platform.is_empty() {
            format!("the server knows no backend for `{named}`; set `backend`")
        } else {
            let known: Vec<_> = KNOWN.iter().map(|known| known.1).filter(|known| !known.is_empty()).collect();
            format!("unknown platform `{platform}`; expected one of {}, or `backend`", known.join(", "))
        };
        Finding::error(at, message, format!("unexpected platform type '{platform}'"))
    }

    fn model_file(&mut self) {
        let file = self.runner.file.clone();
        // A backend that knows the field takes the usual file for other GPUs only.
        let is_by_gpu = last(self.fields, "cc_model_filenames").is_some() && self.runner.backend != PYTHON;
        if file.is_empty() || is_by_gpu && last(self.fields, "default_model_filename").is_none() {
            return;
        }
        if self.runner.backend == PYTHON && file.split('/').any(|part| part == "..") {
            let place = self.place.clone();
            let message = format!("`{file}` leads out of the version's folder, where no Python module is found");
            self.findings.push(Finding::error(place, message, "ModuleNotFoundError"));
            return;
        }
        for version in self.served {
            let path = self.model.path(&format!("{version}/{file}"));
            // A Python model's server waits for a process that cannot start.
            let answer = Some(file.clone()).filter(|_| self.runner.backend != PYTHON && !is_by_gpu);
            self.whole_file(path, "the model's file", answer);
        }
    }

    /// A library that the configuration names is one of the backend's, or in the archive.
    fn library(&mut self) {
        let Some(field) = last(self.fields, "runtime").filter(|field| !field.text().is_empty()) else { return };
        let (name, backend) = (field.text(), &self.runner.backend);
        let is_backends = name == "model.py" || name == format!("libtriton_{backend}.so") || name.contains('/');
        let in_version = |version: &i64| self.listing.has(&self.model.path(&format!("{version}/{name}")));
        let is_brought = self.listing.has(&self.model.path(name)) || self.served.iter().all(in_version);
        if self.runs_known_backend() && !is_backends && !is_brought {
            let message = format!("`{name}` is neither a library of backend `{backend}` nor in the archive");
            self.error(field, message, format!("unable to find backend library '{name}'"));
        }
    }

    fn runs_known_backend(&self) -> bool {
        let backend = &self.runner.backend;
        backend == PLANFORGE_BACKEND || KNOWN.iter().any(|(name, ..)| name == backend)
    }

    /// A file of a version is there, and not empty.
    fn whole_file(&mut self, path: String, what: &str, answer: Option<String>) {
        let is_known = self.runs_known_backend();
        let (message, answer) = match self.listing.find(&path) {
            Found::File(file) if file.byte_count == 0 && is_known => (format!("{what} is empty"), None),
            // A graph may be a folder with a file of the same name.
            Found::Folder if self.runner.backend == PYTHON => (format!("{what} is a folder"), None),
            Found::File(_) | Found::Folder => return,
            Found::Nothing => (format!("{what} is missing"), answer),
            Found::Broken(broken) => (format!("{what} is {broken}"), None),
        };
        self.findings.push(Finding { severity: Severity::Error, place: path, message, answer });
    }

    /// Libraries and environments that a configuration brings along.
    fn brought_along(&mut self) {
        for parameter in entries(self.fields, "parameters") {
            let value = parameter.last("value").and_then(|value| value.last("string_value")).map_or("", Field::text);
            let key = parameter.last("key").map_or("", Field::text);
            let own = value.strip_prefix("$$TRITON_MODEL_DIRECTORY");
            if key == "EXECUTION_ENV_PATH"
                && self.runner.backend == PYTHON
                && let Some(own) = own
                && !self.listing.has(&self.model.path(own.trim_start_matches('/')))
            {
                self.error(parameter, format!("environment `{value}` is missing"), "Failed to get the canonical path");
            }
            if key == "TRITON_BATCH_STRATEGY_PATH" && last(self.fields, "sequence_batching").is_some() {
                let answer = "TRITON_BATCH_STRATEGY_PATH cannot be specified with sequence batcher";
                self.error(parameter, "sequences take no custom batching strategy", answer);
            }
        }
        for agent in last(self.fields, "model_repository_agents").into_iter().flat_map(|agents| agents.all("agents")) {
            let name = agent.last("name").map_or("", Field::text);
            if name != SERVERS_AGENT {
                let message = format!("unknown repository agent `{name}`; the server has `{SERVERS_AGENT}` alone");
                self.error(agent, message, format!("unable to find 'libtritonrepoagent_{name}.so'"));
            }
        }
    }

    /// Files for GPUs of one compute capability each; others take the default.
    fn files_by_gpu(&mut self) {
        for item in entries(self.fields, "cc_model_filenames") {
            let text = |name: &str| item.last(name).map(Field::text).unwrap_or_default();
            let (gpu, file) = (text("key"), text("value"));
            if gpu.parse::<ComputeCapability>().is_err() {
                self.warn(
                    item,
                    format!("invalid compute capability `{gpu}`; expected e.g. `8.6`; no GPU takes `{file}`"),
                );
            }
            for version in self.served {
                if self.findings.len() > MOST_FINDINGS {
                    return;
                }
                let path = self.model.path(&format!("{version}/{file}"));
                self.whole_file(path, &format!("the model's file for GPUs of compute capability {gpu}"), None);
            }
        }
    }
}
