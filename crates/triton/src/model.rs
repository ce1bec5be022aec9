//! One model of the server: its configuration and its file.

use crate::config::ModelConfig;
use crate::native::RuntimePlaces;
use crate::{Error, Result};
use planforge_core::{METRICS_FILE, metrics_outputs};
use planforge_runtime::SessionOptions;
use std::path::{Path, PathBuf};

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

impl Model {
    /// Finds the model's file in its version folder, and loads ONNX Runtime if nobody has.
    ///
    /// # Errors
    /// A file that is missing or cannot be run here, a bad parameter, no ONNX Runtime; for the metrics model a
    /// configuration that does not fit.
    pub(crate) fn open(config: ModelConfig, version_folder: &Path, places: &RuntimePlaces) -> Result<Self> {
        let path = model_file(&config, version_folder)?;
        if path.file_name().is_some_and(|name| name == METRICS_FILE) {
            config.check(&[], &metrics_outputs())?;
            return Ok(Self { config, content: Content::Metrics });
        }
        let parameters = config.parameters();
        let options = parameters.session_options()?;
        let library = places.find(&parameters)?;
        let version = planforge_runtime::load_library(&library)?;
        let graph = Graph { path, options, runtime: (library, version) };
        Ok(Self { config, content: Content::Graph(graph) })
    }
}

fn model_file(config: &ModelConfig, version_folder: &Path) -> Result<PathBuf> {
    let name = Some(config.default_model_filename.as_str()).filter(|name| !name.is_empty()).unwrap_or(ONNX_FILE);
    let path = version_folder.join(name);
    fs_err::metadata(&path)?;
    if name == METRICS_FILE {
        return Ok(path);
    }
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("onnx") => Ok(path),
        Some(ENGINE_EXTENSION) => Err(engine(path, config.parameters().get(ENGINE_TARGET))),
        _ => Err(Error::FileKind { path }),
    }
}

/// Why an engine cannot be run.
fn engine(path: PathBuf, compute_capability: Option<&str>) -> Error {
    let target = compute_capability.map_or_else(String::new, |target| format!(" for compute capability {target}"));
    let reason = if Path::new("/proc/driver/nvidia/version").exists() {
        "this version of the backend runs ONNX graphs only"
    } else {
        "it needs an NVIDIA GPU and its driver, and there is none here; besides, this version of the backend runs ONNX \
         graphs only"
    };
    Error::Engine { path, target, reason: format!("{reason}; package the model for platform `onnx`") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(file: &str, bytes: &[u8], config: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        fs_err::write(folder.path().join(file), bytes).unwrap();
        model_file(&ModelConfig::parse(config).unwrap(), folder.path()).unwrap_err().to_string()
    }

    #[test]
    fn the_file_is_the_one_that_the_configuration_names() {
        let folder = tempfile::tempdir().unwrap();
        fs_err::write(folder.path().join("a.onnx"), "").unwrap();
        let config = ModelConfig::parse(r#"{"default_model_filename":"a.onnx"}"#).unwrap();
        assert_eq!(model_file(&config, folder.path()).unwrap(), folder.path().join("a.onnx"));
        let missing = model_file(&ModelConfig::parse("{}").unwrap(), folder.path()).unwrap_err().to_string();
        assert!(missing.contains("/model.onnx"), "{missing}");
    }

    #[test]
    fn engines_and_strange_files_say_why_they_cannot_run() {
        let config = r#"{"default_model_filename":"model.plan",
            "parameters":{"planforge.compute_capability":{"string_value":"8.9"}}}"#;
        let message = fault("model.plan", b"plan", config);
        assert!(message.contains("model.plan` is a TensorRT-RTX engine for compute capability 8.9: "), "{message}");
        assert!(message.ends_with("package the model for platform `onnx`"), "{message}");
        let message = fault("model.pt", b"PK", r#"{"default_model_filename":"model.pt"}"#);
        assert!(message.ends_with("model.pt` is no ONNX graph: this backend runs `.onnx` files"), "{message}");
    }
}
