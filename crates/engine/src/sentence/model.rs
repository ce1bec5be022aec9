//! `config_sentence_transformers.json`: prompts, and what the model as a whole does.

use super::list::ModuleList;
use crate::json::{file_error, read_json_if_there};
use crate::{Error, Result};
use planforge_core::{Snapshot, Task};
use serde::Deserialize;
use std::collections::BTreeMap;

/// The file. `similarity_fn_name` and versions have no effect on a vector.
#[derive(Debug, Deserialize)]
#[serde(default)]
pub(crate) struct ModelSettings {
    prompts: Option<BTreeMap<String, Option<String>>>,
    default_prompt_name: Option<String>,
    truncate_dim: Option<i64>,
    /// The reference takes `null` for another kind of model, which it makes an embedding model of its own from.
    model_type: String,
    /// A cross encoder's, a class of torch.
    pub(crate) activation_fn: Option<String>,
}

impl Default for ModelSettings {
    fn default() -> Self {
        Self {
            prompts: None,
            default_prompt_name: None,
            truncate_dim: None,
            model_type: Self::EMBEDDING.to_owned(),
            activation_fn: None,
        }
    }
}

/// Prompts that every model has, empty where the file has none of the name.
const ALWAYS: [&str; 2] = ["query", "document"];

/// Refuses a cross encoder whose scores are not those of its encoder.
///
/// # Errors
/// [`Error::Task`] for one with further modules, and files of another shape.
pub(crate) fn check_cross_encoder(snapshot: &Snapshot) -> Result<()> {
    if ModelSettings::read(snapshot)?.model_type() != ModelSettings::CROSS_ENCODER {
        return Ok(());
    }
    let list = ModuleList::read(snapshot)?;
    let other = list.iter().flat_map(|list| &list.0).find(|module| module.class != "Transformer");
    match other {
        None => Ok(()),
        Some(module) => Err(Error::Task {
            task: Task::TextClassification.to_string(),
            repo: snapshot.repo.clone(),
            message: format!("the cross encoder has a module `{}`; expected `Transformer` alone", module.class),
        }),
    }
}

impl ModelSettings {
    /// Name of the file.
    pub(crate) const FILE: &str = "config_sentence_transformers.json";
    /// `model_type` of a model that gives a vector for each text.
    pub(crate) const EMBEDDING: &str = "SentenceTransformer";
    /// `model_type` of a model that gives scores for pairs of texts.
    pub(crate) const CROSS_ENCODER: &str = "CrossEncoder";

    /// The settings of a snapshot; the defaults where it has none.
    ///
    /// # Errors
    /// A file of another shape.
    pub(crate) fn read(snapshot: &Snapshot) -> Result<Self> {
        Ok(read_json_if_there(snapshot, Self::FILE)?.unwrap_or_default())
    }

    /// What the model is.
    pub(crate) fn model_type(&self) -> &str {
        &self.model_type
    }

    /// The text that is put before every text; empty for none.
    ///
    /// # Errors
    /// A default that is not among the prompts.
    pub(crate) fn default_prompt(&self, snapshot: &Snapshot) -> Result<String> {
        let Some(name) = &self.default_prompt_name else { return Ok(String::new()) };
        match self.prompts.as_ref().and_then(|prompts| prompts.get(name)) {
            Some(prompt) => Ok(prompt.clone().unwrap_or_default()),
            None if ALWAYS.contains(&name.as_str()) => Ok(String::new()),
            None => {
                let message = format!("`default_prompt_name` is `{name}`, which `prompts` does not have");
                Err(file_error(snapshot, Self::FILE, message))
            }
        }
    }

    /// Numbers that are kept of a vector; none for all.
    ///
    /// # Errors
    /// A value that is not a positive number.
    pub(super) fn truncate_dim(&self, snapshot: &Snapshot) -> Result<Option<usize>> {
        let Some(kept) = self.truncate_dim else { return Ok(None) };
        let number = usize::try_from(kept).ok().filter(|&kept| kept > 0);
        let message = format!("`truncate_dim` is {kept}, expected a positive number");
        number.map(Some).ok_or_else(|| file_error(snapshot, Self::FILE, message))
    }
}
