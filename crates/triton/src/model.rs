//! One model of the server: its configuration and its file.

use crate::config::ModelConfig;
use crate::native::RuntimePlaces;
use crate::{Error, Result};
use planforge_core::{ComputeCapability, METRICS_FILE, metrics_outputs};
use planforge_runtime::{Device, EngineModel, ExecutionOptions, Gpu, OnnxSession, SessionOptions, has_cuda_driver};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// File name of a graph, where the configuration names none.
const ONNX_FILE: &str = "model.onnx";
/// The file of a model's configuration, next to its version folder.
const CONFIG_FILE: &str = "config.pbtxt";
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
    /// Whether its configuration itself asks for GPUs.
    pub(crate) asks_for_gpus: bool,
    /// The ONNX Runtime library and its version.
    pub(crate) runtime: (PathBuf, String),
    /// The session on each device that an instance is on: instances share its weights and its threads.
    loaded: Mutex<Vec<(Device, OnnxSession)>>,
}

/// An engine, or several of which each GPU takes its own, and what runs it.
#[derive(Debug)]
pub(crate) struct Plan {
    files: Files,
    library: PathBuf,
    pub(crate) options: ExecutionOptions,
    /// The engine on each GPU that an instance is on: instances share its weights.
    loaded: Mutex<BTreeMap<usize, EngineModel>>,
}

impl Model {
    /// Finds the model's file in its version folder, and loads ONNX Runtime unless it is loaded.
    ///
    /// # Errors
    /// A file that is missing or cannot be run here, a bad parameter, no library to run it; for the metrics model a
    /// configuration that does not fit.
    pub(crate) fn open(config: ModelConfig, version_folder: &Path, places: &RuntimePlaces) -> Result<Self> {
        let (files, kind) = model_files(&config, version_folder)?;
        let parameters = config.parameters();
        let content = match kind {
            Kind::Metrics => {
                config.check(&[], &metrics_outputs())?;
                Content::Metrics
            }
            Kind::Engine if !has_cuda_driver() => return Err(no_driver(&files, parameters.get(ENGINE_TARGET))),
            Kind::Engine => {
                let options =
                    ExecutionOptions { cuda_graphs: config.wants_cuda_graphs(), ..ExecutionOptions::default() };
                let library = places.tensorrt.find(&parameters)?;
                Content::Plan(Plan { files, library, options, loaded: Mutex::default() })
            }
            Kind::Graph => {
                let options = parameters.session_options()?;
                let library = places.onnx_runtime.find(&parameters)?;
                let version = planforge_runtime::load_library(&library)?;
                let (path, asks_for_gpus) = (files.any().to_owned(), asks_for_gpus(version_folder));
                let (runtime, loaded) = ((library, version), Mutex::default());
                Content::Graph(Graph { path, options, asks_for_gpus, runtime, loaded })
            }
        };
        Ok(Self { config, content })
    }
}

impl Graph {
    /// The session on `device`, loaded when the first instance asks for it.
    ///
    /// # Errors
    /// Those of loading.
    pub(crate) fn on(&self, device: Device) -> Result<OnnxSession> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, session)) = loaded.iter().find(|(on, _)| *on == device) {
            return Ok(session.share());
        }
        let session = OnnxSession::load(&self.path, &SessionOptions { device, ..self.options.clone() })?;
        loaded.push((device, session.share()));
        Ok(session)
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
        let file = match &self.files {
            Files::One(file) => file,
            Files::ByCapability { .. } => {
                let gpu = Gpu::open(ordinal).map_err(planforge_runtime::Error::from)?;
                self.files.on_gpu(gpu.facts().compute_capability)?
            }
        };
        let engine = EngineModel::load(&self.library, file, ordinal)?;
        loaded.insert(ordinal, engine.clone());
        Ok(engine)
    }

    /// The file, or one of them.
    pub(crate) fn path(&self) -> &Path {
        self.files.any()
    }
}

/// The files of a model.
#[derive(Debug, PartialEq, Eq)]
enum Files {
    /// One for all devices.
    One(PathBuf),
    /// One for each compute capability, at least one, and perhaps one for all others.
    ByCapability { files: BTreeMap<String, PathBuf>, other: Option<PathBuf> },
}

impl Files {
    /// One of them, to be named in messages.
    fn any(&self) -> &Path {
        match self {
            Self::One(file) => file,
            Self::ByCapability { files, other } => {
                files.values().next().or(other.as_ref()).expect("there is a file for one of the GPUs")
            }
        }
    }

    /// All of them.
    fn all(&self) -> Vec<&Path> {
        match self {
            Self::One(file) => vec![file],
            Self::ByCapability { files, other } => files.values().chain(other).map(PathBuf::as_path).collect(),
        }
    }

    /// The one for a GPU of this compute capability.
    fn on_gpu(&self, gpu: ComputeCapability) -> Result<&Path> {
        match self {
            Self::One(file) => Ok(file),
            Self::ByCapability { files, other } => {
                files.get(&gpu.to_string()).or(other.as_ref()).map(PathBuf::as_path).ok_or_else(|| {
                    let known: Vec<_> = files.keys().map(String::as_str).collect();
                    Error::Config(format!(
                        "`cc_model_filenames` has engines for compute capability {}, and the GPU here has {gpu}; \
                         package one for it too",
                        known.join(", ")
                    ))
                })
            }
        }
    }
}

/// What a file is, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Graph,
    Engine,
    Metrics,
}

fn model_files(config: &ModelConfig, version_folder: &Path) -> Result<(Files, Kind)> {
    let named = Some(config.default_model_filename.as_str()).filter(|name| !name.is_empty());
    let by_capability = &config.cc_model_filenames;
    let files = if by_capability.is_empty() {
        Files::One(version_folder.join(named.unwrap_or(ONNX_FILE)))
    } else {
        let files = by_capability.iter().map(|(gpu, name)| (gpu.clone(), version_folder.join(name))).collect();
        Files::ByCapability { files, other: named.map(|name| version_folder.join(name)) }
    };
    let mut kinds = Vec::new();
    for file in files.all() {
        fs_err::metadata(file)?;
        kinds.push(kind_of(file)?);
    }
    match kinds.as_slice() {
        [kind] => Ok((files, *kind)),
        kinds if kinds.iter().all(|kind| *kind == Kind::Engine) => Ok((files, Kind::Engine)),
        _ => Err(Error::Config("`cc_model_filenames` is for engines, and a file of it is none".to_owned())),
    }
}

fn kind_of(file: &Path) -> Result<Kind> {
    if file.file_name().is_some_and(|name| name == METRICS_FILE) {
        return Ok(Kind::Metrics);
    }
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("onnx") => Ok(Kind::Graph),
        Some(ENGINE_EXTENSION) => Ok(Kind::Engine),
        _ => Err(Error::FileKind { path: file.to_owned() }),
    }
}

/// Whether the file of a model's configuration names GPUs. The server's account of it does not tell: where there is a GPU,
/// that has one for each group of instances of which the file does not say what they run on.
fn asks_for_gpus(version_folder: &Path) -> bool {
    let file = version_folder.parent().map(|folder| folder.join(CONFIG_FILE));
    let text = file.and_then(|file| fs_err::read_to_string(file).ok()).unwrap_or_default();
    text.lines().any(|line| line.split('#').next().is_some_and(|line| line.contains("KIND_GPU")))
}

/// Why an engine cannot be run without a driver.
fn no_driver(files: &Files, compute_capability: Option<&str>) -> Error {
    let target = compute_capability.map_or_else(String::new, |target| format!(" for compute capability {target}"));
    let reason = "it needs an NVIDIA GPU and its driver, and there is none here; package the model for platform `onnx`";
    Error::Engine { path: files.any().to_owned(), target, reason: reason.to_owned() }
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
        assert_eq!(
            model_files(&config, folder.path()).unwrap(),
            (Files::One(folder.path().join("a.onnx")), Kind::Graph)
        );
        let missing = model_files(&ModelConfig::parse("{}").unwrap(), folder.path()).unwrap_err().to_string();
        assert!(missing.contains("/model.onnx"), "{missing}");
    }

    #[test]
    fn each_gpu_takes_the_engine_of_its_compute_capability() {
        let folder = folder_with("a.plan");
        fs_err::write(folder.path().join("b.plan"), "bytes").unwrap();
        let json = r#"{"cc_model_filenames":{"8.6":"a.plan","8.9":"b.plan"}}"#;
        let (files, kind) = model_files(&ModelConfig::parse(json).unwrap(), folder.path()).unwrap();
        assert_eq!(kind, Kind::Engine);
        assert_eq!(files.on_gpu(ComputeCapability::new(8, 6)).unwrap(), folder.path().join("a.plan"));
        assert_eq!(files.on_gpu(ComputeCapability::new(8, 9)).unwrap(), folder.path().join("b.plan"));
        let other = files.on_gpu(ComputeCapability::new(9, 0)).unwrap_err().to_string();
        assert!(
            other.ends_with(
                "has engines for compute capability 8.6, 8.9, and the GPU here has 9.0; package one for it too"
            ),
            "{other}"
        );
        let with = json.replace("{\"cc", "{\"default_model_filename\":\"a.plan\",\"cc");
        let (files, _) = model_files(&ModelConfig::parse(&with).unwrap(), folder.path()).unwrap();
        assert_eq!(files.on_gpu(ComputeCapability::new(9, 0)).unwrap(), folder.path().join("a.plan"));
        let fails =
            |json: &str| model_files(&ModelConfig::parse(json).unwrap(), folder.path()).unwrap_err().to_string();
        assert!(fails(&json.replace("b.plan", "c.plan")).contains("/c.plan"));
        fs_err::write(folder.path().join("c.onnx"), "bytes").unwrap();
        assert!(fails(&json.replace("b.plan", "c.onnx")).ends_with("is for engines, and a file of it is none"));
    }

    #[test]
    fn strange_files_say_why_they_cannot_run() {
        let folder = folder_with("model.pt");
        let config = ModelConfig::parse(r#"{"default_model_filename":"model.pt"}"#).unwrap();
        let message = model_files(&config, folder.path()).unwrap_err().to_string();
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
