//! A checkpoint: configuration and tensors of a snapshot, checked before anything uses them.

mod elements;
mod pytorch;
mod safetensors;
mod tensors;

pub(crate) use self::safetensors::{StoredTensor, StoredType, TensorFile, TensorIdentity};
pub(crate) use self::tensors::{Parameters, TensorRef};

pub(crate) use crate::json::read_json;

use crate::json::{file_error, in_folder, required};
use crate::sentence::{SentenceModules, encoder_folder};
use crate::undescribed::with_onnx_route;
use crate::{Error, Result};
use planforge_core::{Snapshot, Task};
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
    /// Folder of `config.json` and the weights; empty for the top of the snapshot.
    folder: String,
    /// The modules after the encoder, for sentence embeddings.
    pub(crate) sentence: Option<SentenceModules>,
    /// The files of weights, sorted by name, and those of `sentence`, whose tensors are named after their folders.
    pub(crate) files: Vec<TensorFile>,
}

impl Checkpoint {
    /// Reads `config.json` and the headers of all files of weights that `task` needs: safetensors where the
    /// snapshot has them, else what `torch.save` wrote.
    ///
    /// # Errors
    /// Missing files, JSON of another shape, damaged or hostile headers and pickles, and for sentence embeddings modules
    /// that are not supported.
    pub fn read(snapshot: &Snapshot, task: Task) -> Result<Self> {
        with_onnx_route(snapshot, Self::read_files(snapshot, task))
    }

    fn read_files(snapshot: &Snapshot, task: Task) -> Result<Self> {
        let folder = encoder_folder(snapshot, task)?;
        let config = read_json(snapshot, &in_folder(&folder, "config.json"))?;
        let checkpoint = Self::in_folder(snapshot, &folder, config)?;
        let mut files = read_weights(snapshot, &folder)?;
        let sentence = if task == Task::SentenceEmbedding { Some(SentenceModules::read(snapshot)?) } else { None };
        for scope in sentence.iter().flat_map(SentenceModules::weight_folders) {
            for mut file in read_weights(snapshot, scope)? {
                file.tensors.iter_mut().for_each(|tensor| tensor.name = format!("{scope}.{}", tensor.name));
                files.push(file);
            }
        }
        Ok(Self { sentence, files, ..checkpoint })
    }

    /// A checkpoint with the configuration `config`, without its tensors.
    ///
    /// # Errors
    /// A configuration that does not name its model.
    pub(crate) fn of_config(snapshot: &Snapshot, config: Value) -> Result<Self> {
        Self::in_folder(snapshot, "", config)
    }

    fn in_folder(snapshot: &Snapshot, folder: &str, config: Value) -> Result<Self> {
        let name = |key: &str| config.get(key).and_then(Value::as_str).map(str::to_owned);
        let model_type = name("model_type").or_else(|| name("architecture")).ok_or_else(|| {
            let message = "it has neither `model_type` (transformers) nor `architecture` (timm); if the model is of a known \
                           family, add for example `\"model_type\": \"bert\"`";
            file_error(snapshot, &in_folder(folder, "config.json"), message.to_owned())
        })?;
        let (snapshot, folder) = (snapshot.clone(), folder.to_owned());
        Ok(Self { snapshot, model_type, config, folder, sentence: None, files: Vec::new() })
    }

    /// Whether `config.json` is timm's rather than transformers'.
    #[must_use]
    pub(crate) fn is_timm(&self) -> bool {
        self.config.get("model_type").is_none()
    }

    /// The error for a value of `config.json` that is not supported.
    pub(crate) fn config_error(&self, message: String) -> Error {
        file_error(&self.snapshot, &in_folder(&self.folder, "config.json"), message)
    }
}

/// Files of weights by preference: the one file, and the index that names its shards otherwise.
const WEIGHTS: [(&str, &str); 2] =
    [("model.safetensors", "model.safetensors.index.json"), ("pytorch_model.bin", "pytorch_model.bin.index.json")];

/// The headers of the files of weights in `folder`.
fn read_weights(snapshot: &Snapshot, folder: &str) -> Result<Vec<TensorFile>> {
    let read = |name: String| {
        let path = required(snapshot, &name)?;
        if name.ends_with(".bin") { TensorFile::read_pytorch(&name, &path) } else { TensorFile::read(&name, &path) }
    };
    weight_files(snapshot, folder)?.into_iter().map(read).collect()
}

/// The file of weights in `folder`, or the shards that an index names.
fn weight_files(snapshot: &Snapshot, folder: &str) -> Result<Vec<String>> {
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: std::collections::BTreeMap<String, String>,
    }
    for (single, index) in WEIGHTS {
        let [single, index] = [single, index].map(|file| in_folder(folder, file));
        if snapshot.file(&single).is_some() {
            return Ok(vec![single]);
        }
        if snapshot.file(&index).is_some() {
            let index: Index = read_json(snapshot, &index)?;
            let shards: std::collections::BTreeSet<String> = index.weight_map.into_values().collect();
            return Ok(shards.iter().map(|shard| in_folder(folder, shard)).collect());
        }
    }
    // A folder of a repository is written like a repository.
    let repo = [snapshot.repo.as_str(), folder].join("/");
    Err(Error::MissingWeights { repo: repo.trim_end_matches('/').to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use planforge_core::{ArtifactFile, digest_bytes};

    fn chosen(files: &[&str]) -> Result<Vec<String>> {
        let file = |path: &&str| ArtifactFile { path: (*path).to_owned(), byte_count: 0, sha256: digest_bytes(b"") };
        let snapshot = Snapshot {
            repo: "o/n".to_owned(),
            revision: "local".to_owned(),
            commit: planforge_core::Commit::Local,
            directory: "/nowhere".into(),
            files: files.iter().map(file).collect(),
            graphs: Vec::new(),
        };
        weight_files(&snapshot, "")
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
