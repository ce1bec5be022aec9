//! What runs a model, and from which files, by the server's rules (triton-inference-server/core,
//! `AutoCompleteBackendFields` and `ValidateModelConfig`).

use super::super::Finding;
use super::super::layout::{Listing, ModelFolder};
use super::Config;
use crate::files::{MODULE_FILE, ONNX_FILE, PLAN_FILE, PLANFORGE_BACKEND};
use crate::text_format::{Field, all, last};
use planforge_core::ComputeCapability;

/// Backends that the server finds by platform or by file, in its order: name, platform, and the usual name of the file.
const KNOWN: [(&str, &str, &str); 8] = [
    (TENSORFLOW, "tensorflow_savedmodel", "model.savedmodel"),
    (TENSORFLOW, "tensorflow_graphdef", "model.graphdef"),
    ("tensorrt", "tensorrt_plan", PLAN_FILE),
    ("onnxruntime", "onnxruntime_onnx", ONNX_FILE),
    ("openvino", "", "model.xml"),
    ("pytorch", "pytorch_libtorch", MODULE_FILE),
    ("pytorch", "torch_aoti", "model.pt2"),
    ("python", "", PYTHON_FILE),
];
/// Findings after which no more files are looked for.
const MOST_FINDINGS: usize = 1000;
const TENSORFLOW: &str = "tensorflow";
const PYTHON_FILE: &str = "model.py";

/// What runs a model, as far as it is known; what is not is empty.
pub(super) struct Runner {
    pub(super) backend: String,
    pub(super) platform: String,
    /// The file that it is made from.
    file: String,
}

impl Runner {
    pub(super) fn of(fields: &[Field], model: &ModelFolder, listing: &Listing) -> Self {
        let text = |name: &str| last(fields, name).map_or("", Field::text);
        let (mut backend, mut platform) = (text("backend"), text("platform"));
        let named = text("default_model_filename");
        // The server looks into the first folder, whichever that is.
        let folder = listing.folders_in(model.folder()).first().map_or_else(String::new, |folder| model.path(folder));
        let lies = |file: &str| named.is_empty() && listing.has(&format!("{folder}/{file}"));
        if platform.is_empty() && ["", TENSORFLOW].contains(&backend) {
            let tensorflow = KNOWN.iter().filter(|(known, ..)| *known == TENSORFLOW);
            let found = tensorflow.rev().find(|(_, _, file)| named == *file || lies(file));
            platform = found.map_or("", |(_, platform, _)| *platform);
        }
        if backend.is_empty() {
            let fits = |known: &&(&str, &'static str, &str)| {
                let (known_backend, known_platform, file) = **known;
                let by_file = named == file || platform.is_empty() && lies(file);
                (!platform.is_empty() && platform == known_platform) || (known_backend != TENSORFLOW && by_file)
            };
            backend = KNOWN.iter().find(fits).map_or("", |(backend, ..)| *backend);
        }
        let own = KNOWN.iter().find(|(known, known_platform, _)| {
            let is_any = platform.is_empty() && backend != TENSORFLOW;
            *known == backend && (is_any || platform == *known_platform || known_platform.is_empty())
        });
        if platform.is_empty() {
            platform = own.map_or("", |(_, platform, _)| *platform);
        }
        let file = match own {
            _ if !named.is_empty() => named,
            // The backend's own script runs it.
            Some(("pytorch", ..)) if text("runtime") == PYTHON_FILE => "",
            Some((_, _, file)) => file,
            None if backend == PLANFORGE_BACKEND => ONNX_FILE,
            None => "",
        };
        Self { backend: backend.to_owned(), platform: platform.to_owned(), file: file.to_owned() }
    }

    /// Whether it runs an engine of TensorRT's, planforge's own among them.
    pub(super) fn runs_engine(&self, fields: &[Field]) -> bool {
        let is_engine = |file: &str| file.ends_with(".plan");
        let by_gpu = |item: &Field| item.last("value").is_some_and(|file| is_engine(file.text()));
        let is_own = self.backend == PLANFORGE_BACKEND
            && (is_engine(&self.file) || all(fields, "cc_model_filenames").any(by_gpu));
        self.backend == "tensorrt" || is_own
    }
}

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
            let message = "nothing says what runs the model: name its `backend`";
            // It takes one from the archive's name.
            return Finding::error(at, message, "unable to find backend library for backend");
        }
        let message = if platform.is_empty() {
            format!("of `{named}` the server does not know what runs it: name the `backend`")
        } else {
            let known: Vec<_> = KNOWN.iter().map(|known| known.1).filter(|known| !known.is_empty()).collect();
            format!("`{platform}` is no platform; use one of {}, or `backend`", known.join(", "))
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
                self.warn(item, format!("`{gpu}` is no compute capability such as `8.6`, so no GPU takes `{file}`"));
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
