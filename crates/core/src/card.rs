//! What a model's authors say of it.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The head of a model card. It is shown to people and part of no artifact.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelCard {
    /// Name of the licence.
    pub license: Option<String>,
    /// Models that this one was made from.
    pub base_models: Vec<String>,
    /// What it is filed under.
    pub tags: Vec<String>,
}

impl fmt::Display for ModelCard {
    /// `license apache-2.0, made from a/b`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "license {}", self.license.as_deref().unwrap_or("not stated"))?;
        if !self.base_models.is_empty() {
            write!(f, ", made from {}", self.base_models.join(", "))?;
        }
        if !self.tags.is_empty() {
            write!(f, ", tags {}", self.tags.join(", "))?;
        }
        Ok(())
    }
}
