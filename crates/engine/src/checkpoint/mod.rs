//! A checkpoint: configuration and tensors of a snapshot, checked before anything uses them.

mod safetensors;
mod tensors;

pub(crate) use self::safetensors::{StoredTensor, StoredType, TensorFile};
pub(crate) use self::tensors::{Parameters, TensorRef};

use crate::{Error, Result};
use planforge_core::Snapshot;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A snapshot whose configuration and tensor headers have been read.
#[derive(Debug)]
pub struct Checkpoint {
    /// The snapshot.
    pub snapshot: Snapshot,
    /// `model_type` of `config.json`, or `architecture` where timm wrote it.
    pub model_type: String,
    /// `config.json`.
    pub config: Value,
    /// The safetensors files, sorted by name.
    pub(crate) files: Vec<TensorFile>,
}

impl Checkpoint {
    /// Reads `config.json` and the headers of all safetensors files the checkpoint consists of.
    ///
    /// # Errors
    /// Missing files, JSON of another shape, damaged or hostile safetensors headers.
    pub fn read(snapshot: &Snapshot) -> Result<Self> {
        let config: Value = read_json(snapshot, "config.json")?;
        let name = |key: &str| config.get(key).and_then(Value::as_str).map(str::to_owned);
        let model_type = name("model_type").or_else(|| name("architecture")).ok_or_else(|| Error::Config {
            path: snapshot.directory.join("config.json"),
            message: "it has neither `model_type` (transformers) nor `architecture` (timm)".to_owned(),
        })?;
        let files = weight_files(snapshot)?
            .into_iter()
            .map(|name| {
                let path = required(snapshot, &name)?;
                TensorFile::read(&name, &path)
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Self { snapshot: snapshot.clone(), model_type, config, files })
    }

    /// Whether `config.json` is timm's rather than transformers'.
    #[must_use]
    pub(crate) fn is_timm(&self) -> bool {
        self.config.get("model_type").is_none()
    }

    /// `config.json` as the type of one architecture.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key.
    pub(crate) fn config<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_value(self.config.clone()).map_err(|error| self.config_error(error.to_string()))
    }

    /// The error for a value of `config.json` that is not supported.
    pub(crate) fn config_error(&self, message: String) -> Error {
        Error::Config { path: self.snapshot.directory.join("config.json"), message }
    }
}

/// A JSON file of the snapshot.
///
/// # Errors
/// When it is not there or has another shape.
pub(crate) fn read_json<T: DeserializeOwned>(snapshot: &Snapshot, file: &str) -> Result<T> {
    let path = required(snapshot, file)?;
    let bytes = fs_err::read(&path)?;
    serde_json::from_slice(&bytes).map_err(|error| Error::Config { path, message: error.to_string() })
}

fn required(snapshot: &Snapshot, file: &str) -> Result<std::path::PathBuf> {
    snapshot.path(file).ok_or_else(|| Error::MissingFile { repo: snapshot.repo.clone(), file: file.to_owned() })
}

/// `model.safetensors`, or the shards that `model.safetensors.index.json` names.
fn weight_files(snapshot: &Snapshot) -> Result<Vec<String>> {
    const SINGLE: &str = "model.safetensors";
    const INDEX: &str = "model.safetensors.index.json";
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: std::collections::BTreeMap<String, String>,
    }
    if snapshot.file(SINGLE).is_some() || snapshot.file(INDEX).is_none() {
        return Ok(vec![SINGLE.to_owned()]);
    }
    let index: Index = read_json(snapshot, INDEX)?;
    let shards: std::collections::BTreeSet<String> = index.weight_map.into_values().collect();
    Ok(shards.into_iter().collect())
}
