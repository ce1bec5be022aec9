//! The keys that the reference implementations read of a checkpoint's configuration, with their defaults, as
//! `scripts/reference/config-keys.py` finds them in transformers, sentence-transformers and timm.

use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// `reference-keys.json`: keys and their defaults, `null` for those without.
#[derive(Debug, Deserialize)]
pub(crate) struct Reference {
    /// Of `config.json` for every model of transformers.
    #[cfg(test)]
    pub(crate) base: Map<String, Value>,
    /// Of `config.json` by `model_type`.
    models: BTreeMap<String, ModelKeys>,
    /// Arguments of timm's models.
    timm_arguments: BTreeMap<String, Map<String, Value>>,
    /// Of timm's `pretrained_cfg`.
    pub(crate) pretrained_cfg: Map<String, Value>,
    /// Of `preprocessor_config.json` for every class.
    pub(crate) image_processor_keys: Map<String, Value>,
    /// Of `preprocessor_config.json` by class: those classes that resize, crop, rescale and normalise.
    pub(crate) image_processors: BTreeMap<String, Map<String, Value>>,
    /// Of the small files next to a text model.
    #[cfg(test)]
    pub(crate) files: FileKeys,
    /// Classes of tokenizers that do not take the steps of `tokenizer.json`, by the names that files have for them.
    pub(crate) tokenizer_classes: BTreeMap<String, TokenizerClassRecord>,
    /// The class of a `model_type` for a file that names none.
    pub(crate) image_processor_of: BTreeMap<String, String>,
}

/// Keys of the small files next to a text model, by class.
#[cfg(test)]
#[derive(Debug, Deserialize)]
pub(crate) struct FileKeys {
    /// Of a module of sentence-transformers.
    pub(crate) modules: BTreeMap<String, Map<String, Value>>,
    /// Of `config_sentence_transformers.json`.
    #[serde(rename = "config_sentence_transformers.json")]
    pub(crate) model: Map<String, Value>,
    /// Of an entry of `modules.json`.
    #[serde(rename = "modules.json")]
    pub(crate) list: Map<String, Value>,
    /// Of `tokenizer_config.json`.
    #[serde(rename = "tokenizer_config.json")]
    pub(crate) tokenizers: BTreeMap<String, Map<String, Value>>,
}

/// A class of tokenizers.
#[derive(Debug, Deserialize)]
pub(crate) struct TokenizerClassRecord {
    /// Its own name.
    pub(crate) class: String,
    /// What it builds; none for classes in Python.
    pub(crate) steps: Option<TokenizerSteps>,
}

/// The steps that a class of tokenizers builds, by their names in `tokenizer.json`.
#[derive(Debug, Deserialize)]
pub(crate) struct TokenizerSteps {
    /// How words become tokens.
    pub(crate) model: String,
    /// How texts become words.
    pub(crate) pre_tokenizers: Vec<String>,
    /// Special tokens (`S`) around one text (`T`); none where the class takes those of the file.
    pub(crate) frame: Option<String>,
}

/// The keys of one `model_type`.
#[derive(Debug, Deserialize)]
pub(crate) struct ModelKeys {
    /// Those that it does not share with every model.
    pub(crate) keys: Map<String, Value>,
    /// Other names of keys.
    pub(crate) aliases: BTreeMap<String, String>,
}

static REFERENCE: LazyLock<Reference> = LazyLock::new(|| {
    serde_json::from_str(include_str!("reference-keys.json")).expect("the script writes what `Reference` describes")
});

/// What the references read.
pub(crate) fn reference() -> &'static Reference {
    &REFERENCE
}

impl Reference {
    /// The keys of `model_type`, where transformers describes it.
    pub(crate) fn model(&self, model_type: &str) -> Option<&ModelKeys> {
        self.models.get(model_type)
    }

    /// The arguments of a kind of timm's models, by the name of their file.
    pub(crate) fn timm_arguments(&self, kind: &str) -> Option<&Map<String, Value>> {
        self.timm_arguments.get(kind)
    }
}

impl ModelKeys {
    /// `config` with the defaults of the keys that it leaves out. A value under a key's other name replaces the key's.
    pub(crate) fn complete(&self, config: &Map<String, Value>) -> Map<String, Value> {
        let mut complete = self.keys.clone();
        let is_alias = |key: &str| self.aliases.contains_key(key);
        complete
            .extend(config.iter().filter(|(key, _)| !is_alias(key)).map(|(key, value)| (key.clone(), value.clone())));
        for (alias, key) in &self.aliases {
            if let Some(value) = config.get(alias) {
                complete.insert(key.clone(), value.clone());
            }
        }
        complete
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keys_left_out_have_the_defaults_of_their_model_type() {
        let complete = |model_type: &str, config: Value| {
            Value::Object(reference().model(model_type).unwrap().complete(config.as_object().unwrap()))
        };
        let bert = complete("bert", json!({ "hidden_size": 16, "is_decoder": null }));
        assert_eq!((&bert["hidden_size"], &bert["layer_norm_eps"]), (&json!(16), &json!(1e-12)));
        assert_eq!(bert["is_decoder"], Value::Null);
        assert_eq!(complete("roberta", json!({}))["pad_token_id"], json!(1));
        let distilbert = complete("distilbert", json!({ "dim": 16, "hidden_size": 32 }));
        assert_eq!(distilbert["dim"], json!(32));
    }
}
