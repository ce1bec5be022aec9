//! `modules.json`: names, classes and folders of the modules.

use crate::Result;
use crate::json::{file_error, in_folder, read_json_if_there};
use planforge_core::{Snapshot, Task};
use serde::Deserialize;
use std::collections::BTreeSet;

pub(super) const FILE: &str = "modules.json";

/// The package whose classes are meant; others are code that a repository brings.
const PACKAGE: &str = "sentence_transformers.";

/// The modules of a model, in order.
#[derive(Debug, Clone)]
pub(crate) struct ModuleList(pub(crate) Vec<ListedModule>);

/// An entry of `modules.json`.
#[derive(Debug, Clone)]
pub(crate) struct ListedModule {
    /// Name of its class without that of the package; the whole name for a class of another package.
    pub(crate) class: String,
    /// Folder of its files; empty for the top of the snapshot.
    pub(crate) folder: String,
}

#[derive(Debug, Deserialize)]
struct Entry {
    #[serde(default)]
    name: Option<String>,
    path: String,
    #[serde(rename = "type")]
    kind: String,
}

impl ModuleList {
    /// The modules of a snapshot; none where it has no `modules.json`.
    ///
    /// # Errors
    /// A file of another shape, a folder outside the snapshot, and two modules of one name.
    pub(crate) fn read(snapshot: &Snapshot) -> Result<Option<Self>> {
        let Some(entries) = read_json_if_there::<Vec<Entry>>(snapshot, FILE)? else { return Ok(None) };
        let mut names = BTreeSet::new();
        if let Some(name) = entries.iter().filter_map(|entry| entry.name.as_ref()).find(|name| !names.insert(*name)) {
            return Err(file_error(snapshot, FILE, format!("two modules have the `name` `{name}`")));
        }
        let listed = |entry: Entry| {
            let folder = folder(&entry.path)
                .ok_or_else(|| file_error(snapshot, FILE, format!("`path` is `{}`, expected a folder", entry.path)))?;
            Ok(ListedModule { class: class(&entry.kind), folder })
        };
        Ok(Some(Self(entries.into_iter().map(listed).collect::<Result<_>>()?)))
    }

    /// The folder of the module that turns texts into vectors.
    pub(crate) fn encoder(&self) -> Option<&str> {
        self.0.iter().find(|module| module.class == "Transformer").map(|module| module.folder.as_str())
    }
}

/// The folder of a model's configuration, weights and tokenizer: for sentence embeddings that of the module `Transformer`,
/// for other tasks the top of the snapshot where it has a model.
///
/// # Errors
/// As [`ModuleList::read`].
pub(crate) fn encoder_folder(snapshot: &Snapshot, task: Task) -> Result<String> {
    if task != Task::SentenceEmbedding && snapshot.file("config.json").is_some() {
        return Ok(String::new());
    }
    let list = ModuleList::read(snapshot)?;
    let folder = list.as_ref().and_then(ModuleList::encoder).unwrap_or_default();
    let has_model = snapshot.file(&in_folder(folder, "config.json")).is_some();
    Ok(if has_model { folder.to_owned() } else { String::new() })
}

/// The last part of a class's full name, old as in `sentence_transformers.models.Pooling` or new as in
/// `sentence_transformers.sentence_transformer.modules.pooling.Pooling`.
fn class(kind: &str) -> String {
    match kind.strip_prefix(PACKAGE).and_then(|name| name.rsplit('.').next()) {
        Some(class) => class.to_owned(),
        None => kind.to_owned(),
    }
}

/// A folder within the snapshot, without a slash at its end.
fn folder(path: &str) -> Option<String> {
    let stays_inside = !path.starts_with('/') && !path.contains('\\');
    let parts: Vec<&str> = path.split('/').filter(|part| !["", "."].contains(part)).collect();
    (stays_inside && !parts.contains(&"..")).then(|| parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_known_by_their_old_and_new_names() {
        for name in [
            "sentence_transformers.models.Pooling",
            "sentence_transformers.models.Pooling.Pooling",
            "sentence_transformers.sentence_transformer.modules.pooling.Pooling",
        ] {
            assert_eq!(class(name), "Pooling");
        }
        assert_eq!(class("custom_st.Transformer"), "custom_st.Transformer");
    }

    #[test]
    fn folders_are_within_the_snapshot() {
        let folders = ["", "./", "0_Transformer/", "a//b"].map(|path| folder(path).unwrap());
        assert_eq!(folders, ["", "", "0_Transformer", "a/b"]);
        assert!(["..", "/a", "a/../b", "a\\b"].iter().all(|path| folder(path).is_none()));
    }
}
