//! A checkpoint: configuration and tensors of a snapshot, checked before anything uses them.

mod pytorch;
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
    /// The files of weights, sorted by name.
    pub(crate) files: Vec<TensorFile>,
}

impl Checkpoint {
    /// Reads `config.json` and the headers of all files of weights the checkpoint consists of: safetensors
    /// where it has them, else what `torch.save` wrote.
    ///
    /// # Errors
    /// Missing files, JSON of another shape, damaged or hostile headers and pickles.
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
                if name.ends_with(".bin") {
                    TensorFile::read_pytorch(&name, &path)
                } else {
                    TensorFile::read(&name, &path)
                }
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

/// Files of weights by preference: the one file, and the index that names its shards otherwise.
const WEIGHTS: [(&str, &str); 2] =
    [("model.safetensors", "model.safetensors.index.json"), ("pytorch_model.bin", "pytorch_model.bin.index.json")];

/// The file of weights, or the shards that an index names.
fn weight_files(snapshot: &Snapshot) -> Result<Vec<String>> {
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: std::collections::BTreeMap<String, String>,
    }
    for (single, index) in WEIGHTS {
        if snapshot.file(single).is_some() {
            return Ok(vec![single.to_owned()]);
        }
        if snapshot.file(index).is_some() {
            let index: Index = read_json(snapshot, index)?;
            let shards: std::collections::BTreeSet<String> = index.weight_map.into_values().collect();
            return Ok(shards.into_iter().collect());
        }
    }
    Err(Error::MissingWeights { repo: snapshot.repo.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use planforge_core::{ArtifactFile, digest_bytes};

    fn chosen(files: &[&str]) -> Result<Vec<String>> {
        let file = |path: &&str| ArtifactFile { path: (*path).to_owned(), byte_count: 0, sha256: digest_bytes(b"") };
        weight_files(&Snapshot {
            repo: "o/n".to_owned(),
            revision: "local".to_owned(),
            commit: planforge_core::Commit::Local,
            directory: "/nowhere".into(),
            files: files.iter().map(file).collect(),
        })
    }

    #[test]
    fn safetensors_come_before_what_torch_save_wrote() {
        let index = "pytorch_model.bin.index.json";
        assert_eq!(chosen(&["model.safetensors", "pytorch_model.bin"]).unwrap(), ["model.safetensors"]);
        assert_eq!(chosen(&[index, "pytorch_model.bin"]).unwrap(), ["pytorch_model.bin"]);
        let error = chosen(&["pytorch_model.bin", "model.safetensors.index.json"]).unwrap_err().to_string();
        assert!(error.contains("/nowhere/model.safetensors.index.json"), "{error}");
        assert!(chosen(&[index]).unwrap_err().to_string().contains(index));
        let error = chosen(&["config.json"]).unwrap_err().to_string();
        assert!(error.contains("`model.safetensors`") && error.contains("`pytorch_model.bin`"), "{error}");
    }
}
