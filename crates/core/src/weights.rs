//! Weights that were left out of an engine: how each is computed from the checkpoint's, and where those are.
//!
//! What is made of which weights belongs to the architecture, so that checkpoints share an engine ([`EngineWeights`]); where
//! the weights are belongs to the checkpoint ([`PlacedWeights`], a file next to the engine).

use crate::{DataType, Error, Result, WeightTransform};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Extension of the file next to an engine, in place of `plan`: `model.weights.json` for `model.plan`.
const EXTENSION: &str = "weights.json";
/// Raised when the file changes its meaning.
const FORMAT: u32 = 1;

/// Every weight that an engine lacks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineWeights {
    /// In the order of the graph.
    pub weights: Vec<EngineWeight<String>>,
}

/// A weight that an engine lacks. A source is the name of a weight of the graph, or the place of one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineWeight<S> {
    /// Its name in the engine.
    pub name: String,
    /// Its element type.
    pub data_type: DataType,
    /// Its number of elements.
    pub element_count: u64,
    /// How it is made of its sources.
    pub transform: WeightTransform,
    /// What it is made of.
    pub sources: Vec<S>,
}

/// Where the weights of one checkpoint are that an engine lacks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlacedWeights {
    format: u32,
    /// In the order of the graph.
    pub weights: Vec<EngineWeight<WeightPlace>>,
}

/// Bytes of a file next to the engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightPlace {
    /// Name of the file.
    pub file: String,
    /// Where they begin.
    pub offset: u64,
    /// How many they are.
    pub byte_count: u64,
}

impl EngineWeights {
    /// The weights of one checkpoint; `place` returns where a weight of the graph is.
    ///
    /// # Errors
    /// The first name that `place` does not know.
    pub fn placed(&self, place: impl Fn(&str) -> Option<WeightPlace>) -> std::result::Result<PlacedWeights, String> {
        let placed = |weight: &EngineWeight<String>| {
            let sources = weight.sources.iter().map(|name| place(name).ok_or_else(|| name.clone()));
            Ok(EngineWeight {
                name: weight.name.clone(),
                data_type: weight.data_type,
                element_count: weight.element_count,
                transform: weight.transform,
                sources: sources.collect::<std::result::Result<_, String>>()?,
            })
        };
        let weights = self.weights.iter().map(placed).collect::<std::result::Result<_, String>>()?;
        Ok(PlacedWeights { format: FORMAT, weights })
    }
}

impl PlacedWeights {
    /// The file for the engine at `plan`, next to it.
    #[must_use]
    pub fn path(plan: &Path) -> PathBuf {
        plan.with_extension(EXTENSION)
    }

    /// Whether a file of this name is one.
    #[must_use]
    pub fn is_file_name(name: &str) -> bool {
        name.strip_suffix(EXTENSION).is_some_and(|rest| rest.ends_with('.'))
    }

    /// The text of the file.
    ///
    /// # Panics
    /// Never: it is plain data.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let mut text = serde_json::to_vec(self).expect("names, places and numbers are plain data");
        text.push(b'\n');
        text
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    /// [`Error::Parse`] for another text, another format, and a file of weights that is not next to the engine.
    pub fn parse(text: &[u8], path: &Path) -> Result<Self> {
        let fail = |message: String| Error::Parse { what: "list of weights", path: path.to_owned(), message };
        let placed: Self = serde_json::from_slice(text).map_err(|error| fail(error.to_string()))?;
        if placed.format != FORMAT {
            return Err(fail(format!("it has format {}, this planforge reads {FORMAT}", placed.format)));
        }
        let is_elsewhere = |file: &&str| file.is_empty() || *file == ".." || file.contains(['/', '\\']);
        if let Some(file) = placed.files().into_iter().find(is_elsewhere) {
            return Err(fail(format!("invalid file of weights `{file}`; expected a name in the engine's folder")));
        }
        Ok(placed)
    }

    /// Reads the file next to the engine at `plan`; none where it does not exist.
    ///
    /// # Errors
    /// As [`Self::parse`], and I/O errors.
    pub fn beside(plan: &Path) -> Result<Option<Self>> {
        let path = Self::path(plan);
        match fs_err::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            text => Self::parse(&text?, &path).map(Some),
        }
    }

    /// The files of the weights.
    #[must_use]
    pub fn files(&self) -> BTreeSet<&str> {
        self.weights.iter().flat_map(|weight| &weight.sources).map(|place| place.file.as_str()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights() -> EngineWeights {
        let weight = |name: &str, transform, sources: &[&str]| EngineWeight {
            name: name.to_owned(),
            data_type: DataType::Fp16,
            element_count: 6,
            transform,
            sources: sources.iter().map(|&source| source.to_owned()).collect(),
        };
        let scale = WeightTransform::BatchNormScale { epsilon: 1e-5 };
        EngineWeights {
            weights: vec![
                weight("w", WeightTransform::Transposed { rows: 2 }, &["w"]),
                weight("tmp", scale, &["scale", "bias", "mean", "variance"]),
            ],
        }
    }

    fn place(name: &str) -> Option<WeightPlace> {
        Some(WeightPlace { file: "model.safetensors".to_owned(), offset: name.len() as u64, byte_count: 12 })
    }

    #[test]
    fn what_is_written_is_read() {
        let (folder, placed) = (tempfile::tempdir().unwrap(), weights().placed(place).unwrap());
        let plan = folder.path().join("model-sm89.plan");
        assert!(PlacedWeights::beside(&plan).unwrap().is_none());
        fs_err::write(folder.path().join("model-sm89.weights.json"), placed.to_json()).unwrap();
        assert_eq!(PlacedWeights::beside(&plan).unwrap(), Some(placed.clone()));
        assert_eq!(placed.files(), BTreeSet::from(["model.safetensors"]));
        assert!(PlacedWeights::is_file_name("model-sm89.weights.json") && !PlacedWeights::is_file_name("weights.json"));
    }

    #[test]
    fn what_cannot_be_right_is_refused() {
        let unknown = weights().placed(|name| place(name).filter(|_| name != "mean"));
        assert_eq!(unknown.unwrap_err(), "mean");
        let text = String::from_utf8(weights().placed(place).unwrap().to_json()).unwrap();
        let message = |from: &str, to: &str| {
            assert!(text.contains(from));
            PlacedWeights::parse(text.replace(from, to).as_bytes(), Path::new("m.weights.json"))
                .unwrap_err()
                .to_string()
        };
        assert!(message("\"format\":1", "\"format\":2").contains("it has format 2, this planforge reads 1"));
        assert!(
            message("model.safetensors", "../model").contains("invalid file of weights `../model`; expected a name")
        );
        assert!(message("transposed", "turned").contains("unknown variant `turned`"));
    }
}
