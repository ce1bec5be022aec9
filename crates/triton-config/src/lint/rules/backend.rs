//! The backend of a model and its files (triton-inference-server/core, `ValidateModelConfig`).

use super::super::finding::Finding;
use super::super::runner::KNOWN;
use super::config::Config;
use crate::text_format::{Field, all, last};
use planforge_types::ComputeCapability;

/// Findings after which no more files are looked for.
const MOST_FINDINGS: usize = 1000;

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
        self.files_by_gpu();
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
        if file.is_empty() || last(self.fields, "cc_model_filenames").is_some() {
            return;
        }
        for version in self.served {
            let path = self.model.path(&format!("{version}/{file}"));
            if self.listing.has(&path) {
                continue;
            }
            let message = "the model's file is missing";
            if self.runner.backend == "python" {
                // It waits for a process that cannot start.
                self.silent_error(path, message.to_owned());
            } else {
                self.findings.push(Finding::error(path, message, file.as_str()));
            }
        }
    }

    /// Files for GPUs of one compute capability each; others take the default.
    fn files_by_gpu(&mut self) {
        for item in all(self.fields, "cc_model_filenames") {
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
                if !self.listing.has(&path) {
                    let message = format!("the model's file for GPUs of compute capability {gpu} is missing");
                    self.silent_error(path, message);
                }
            }
        }
    }
}
