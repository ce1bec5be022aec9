//! One model of the server: its configuration and its file.

use crate::config::ModelConfig;
use crate::native::RuntimePlaces;
use crate::{Error, Result};
use planforge_core::{METRICS_FILE, metrics_outputs};
use planforge_runtime::{EngineModel, ExecutionOptions, SessionOptions, has_cuda_driver};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// File name of a graph, where the configuration names none.
const ONNX_FILE: &str = "model.onnx";
/// What the name of an engine's file ends in.
const ENGINE_EXTENSION: &str = "plan";
/// Parameter in which planforge's packages tell what an engine was built for.
const ENGINE_TARGET: &str = "planforge.compute_capability";

/// A model that can be instantiated.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) config: ModelConfig,
    pub(crate) content: Content,
}

/// What is in its version folder.
#[derive(Debug)]
pub(crate) enum Content {
    /// A graph for ONNX Runtime.
    Graph(Graph),
    /// An engine for TensorRT-RTX.
    Plan(Plan),
    /// The word that the server is to be measured.
    Metrics,
}

/// An ONNX graph, and what runs it.
#[derive(Debug)]
pub(crate) struct Graph {
    pub(crate) path: PathBuf,
    pub(crate) options: SessionOptions,
    /// The ONNX Runtime library and its version.
    pub(crate) runtime: (PathBuf, String),
}

/// An engine, and what runs it.
#[derive(Debug)]
pub(crate) struct Plan {
    path: PathBuf,
    library: PathBuf,
    pub(crate) options: ExecutionOptions,
    /// The engine on each GPU that an instance is on: instances share its weights.
    loaded: Mutex<BTreeMap<usize, EngineModel>>,
}

impl Model {
    /// Finds the model's file in its version folder, and loads ONNX Runtime if nobody has.
    ///
    /// # Errors
    /// A file that is missing or cannot be run here, a bad parameter, no library to run it; for the metrics model a
    /// configuration that does not fit.
    pub(crate) fn open(config: ModelConfig, version_folder: &Path, places: &RuntimePlaces) -> Result<Self> {
        let (path, kind) = model_file(&config, version_folder)?;
        let parameters = config.parameters();
        let content = match kind {
            Kind::Metrics => {
                config.check(&[], &metrics_outputs())?;
                Content::Metrics
            }
            Kind::Engine if !has_cuda_driver() => return Err(no_driver(path, parameters.get(ENGINE_TARGET))),
            Kind::Engine => {
                let options =
                    ExecutionOptions { cuda_graphs: config.wants_cuda_graphs(), ..ExecutionOptions::default() };
                let library = places.tensorrt.find(&parameters)?;
                Content::Plan(Plan { path, library, options, loaded: Mutex::default() })
            }
            Kind::Graph => {
                let options = parameters.session_options()?;
                let library = places.onnx_runtime.find(&parameters)?;
                let version = planforge_runtime::load_library(&library)?;
                Content::Graph(Graph { path, options, runtime: (library, version) })
            }
        };
        Ok(Self { config, content })
    }
}

impl Plan {
    /// The engine on the GPU of this number, loaded when the first instance asks for it.
    ///
    /// # Errors
    /// Those of loading.
    pub(crate) fn on_gpu(&self, ordinal: usize) -> Result<EngineModel> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(engine) = loaded.get(&ordinal) {
            return Ok(engine.clone());
        }
        let engine = EngineModel::load(&self.library, &self.path, ordinal)?;
        loaded.insert(ordinal, engine.clone());
        Ok(engine)
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// What a file is, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Graph,
    Engine,
    Metrics,
}

fn model_file(config: &ModelConfig, version_folder: &Path) -> Result<(PathBuf, Kind)> {
    let name = Some(config.default_model_filename.as_str()).filter(|name| !name.is_empty()).unwrap_or(ONNX_FILE);
    let path = version_folder.join(name);
    fs_err::metadata(&path)?;
    if name == METRICS_FILE {
        return Ok((path, Kind::Metrics));
    }
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("onnx") => Ok((path, Kind::Graph)),
        Some(ENGINE_EXTENSION) => Ok((path, Kind::Engine)),
        _ => Err(Error::FileKind { path }),
    }
}

/// Why an engine cannot be run without a driver.
fn no_driver(path: PathBuf, compute_capability: Option<&str>) -> Error {
    let target = compute_capability.map_or_else(String::new, |target| format!(" for compute capability {target}"));
    let reason = "it needs an NVIDIA GPU and its driver, and there is none here; package the model for platform `onnx`";
    Error::Engine { path, target, reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::BackendSettings;

    fn folder_with(file: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs_err::write(folder.path().join(file), "bytes").unwrap();
        folder
    }

    #[test]
    fn the_file_is_the_one_that_the_configuration_names() {
        let folder = folder_with("a.onnx");
        let config = ModelConfig::parse(r#"{"default_model_filename":"a.onnx"}"#).unwrap();
        assert_eq!(model_file(&config, folder.path()).unwrap(), (folder.path().join("a.onnx"), Kind::Graph));
        let missing = model_file(&ModelConfig::parse("{}").unwrap(), folder.path()).unwrap_err().to_string();
        assert!(missing.contains("/model.onnx"), "{missing}");
    }

    #[test]
    fn strange_files_say_why_they_cannot_run() {
        let folder = folder_with("model.pt");
        let config = ModelConfig::parse(r#"{"default_model_filename":"model.pt"}"#).unwrap();
        let message = model_file(&config, folder.path()).unwrap_err().to_string();
        let words = "model.pt` is neither an ONNX graph nor an engine: this backend runs `.onnx` and `.plan` files";
        assert!(message.ends_with(words), "{message}");
    }

    #[test]
    fn an_engine_says_what_is_missing_to_run_it() {
        let folder = folder_with("model.plan");
        let config = ModelConfig::parse(
            r#"{"default_model_filename":"model.plan",
                "parameters":{"planforge.compute_capability":{"string_value":"8.9"}}}"#,
        );
        let places = RuntimePlaces::new(&BackendSettings::default(), |_| None, folder.path());
        let message = Model::open(config.unwrap(), folder.path(), &places).unwrap_err().to_string();
        if has_cuda_driver() {
            assert!(message.starts_with("TensorRT-RTX was not found; searched "), "{message}");
        } else {
            assert!(message.contains("model.plan` is a TensorRT-RTX engine for compute capability 8.9: "), "{message}");
            assert!(message.ends_with("package the model for platform `onnx`"), "{message}");
        }
    }
}
