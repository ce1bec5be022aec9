//! Files of a repository that name further files: the list of a model's modules, and indexes of weights.

use crate::path::stays_inside;
use planforge_core::{MAX_DOCUMENT_BYTE_COUNT, read_file};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::path::Path;

/// A format of weights: name and ending of the one file. Shards have an index in its place, which names them.
pub(crate) type WeightFormat = (&'static str, &'static str);

/// Formats of weights by preference.
pub(crate) const WEIGHTS: [WeightFormat; 2] = [("model", ".safetensors"), ("pytorch_model", ".bin")];

/// The list of a sentence-transformers model's modules.
pub(crate) const MODULES: &str = "modules.json";

/// Kinds of modules with weights in a folder of their own.
const WITH_WEIGHTS: [&str; 2] = ["Dense", "LayerNorm"];

/// What is named; nothing by a damaged file, which the export reports.
#[derive(Debug, Default)]
pub(crate) struct NamedFiles {
    /// Folders of modules, but the top.
    pub(crate) modules: Vec<String>,
    /// Paths of the shards that an index names, by its path.
    pub(crate) shards: BTreeMap<String, Vec<String>>,
}

/// An index of weights.
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// An entry of `modules.json`.
#[derive(Deserialize)]
struct Module {
    path: String,
    #[serde(rename = "type", default)]
    kind: String,
}

impl NamedFiles {
    /// What the files of a snapshot name.
    pub(crate) fn read(snapshot: &Path) -> Self {
        let modules: Vec<String> =
            modules(snapshot).iter().map(Module::folder).filter(|path| stays_inside(path)).collect();
        let prefixes = std::iter::once(String::new()).chain(modules.iter().map(|folder| format!("{folder}/")));
        let indexes = prefixes.flat_map(|prefix| WEIGHTS.map(|format| (prefix.clone(), index(format))));
        let shards = indexes.filter_map(|(prefix, index)| {
            let path = format!("{prefix}{index}");
            let Index { weight_map } = read(&snapshot.join(&path))?;
            let mut shards: Vec<String> = weight_map.values().map(|shard| format!("{prefix}{shard}")).collect();
            shards.sort();
            shards.dedup();
            Some((path, shards))
        });
        let shards = shards.collect();
        Self { modules, shards }
    }
}

impl Module {
    /// Its folder, without a slash at the end.
    fn folder(&self) -> String {
        let parts = self.path.split('/').filter(|part| !["", "."].contains(part));
        parts.collect::<Vec<_>>().join("/")
    }
}

/// Name of the file of weights that are in one.
pub(crate) fn single((name, ending): WeightFormat) -> String {
    format!("{name}{ending}")
}

/// Name of the file that names the shards of weights.
pub(crate) fn index((name, ending): WeightFormat) -> String {
    format!("{name}{ending}.index.json")
}

/// Whether a snapshot lacks the weights of a module, as one may that was fetched by another program.
pub(crate) fn lacks_module_weights(snapshot: &Path) -> bool {
    let lacks = |module: &Module| {
        let kind = module.kind.rsplit('.').next().unwrap_or_default();
        let folder = snapshot.join(module.folder());
        WITH_WEIGHTS.contains(&kind) && !WEIGHTS.iter().any(|&format| folder.join(single(format)).exists())
    };
    modules(snapshot).iter().any(lacks)
}

fn modules(snapshot: &Path) -> Vec<Module> {
    read(&snapshot.join(MODULES)).unwrap_or_default()
}

fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&read_file(path, MAX_DOCUMENT_BYTE_COUNT).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_modules_are_read_as_paths() {
        let folder = tempfile::tempdir().unwrap();
        assert!(NamedFiles::read(folder.path()).modules.is_empty() && !lacks_module_weights(folder.path()));
        let list = r#"[{"path": "0_Transformer/"}, {"path": "./a/b"}, {"path": "../x"}, {"path": ""}]"#;
        fs_err::write(folder.path().join(MODULES), list).unwrap();
        assert_eq!(NamedFiles::read(folder.path()).modules, ["0_Transformer", "a/b"]);
        let list = r#"[{"path": "2_Dense", "type": "sentence_transformers.models.Dense"}]"#;
        fs_err::write(folder.path().join(MODULES), list).unwrap();
        assert!(lacks_module_weights(folder.path()));
        fs_err::create_dir(folder.path().join("2_Dense")).unwrap();
        fs_err::write(folder.path().join("2_Dense/pytorch_model.bin"), b"").unwrap();
        assert!(!lacks_module_weights(folder.path()));
    }

    #[test]
    fn shards_have_the_names_that_their_index_gives() {
        let folder = tempfile::tempdir().unwrap();
        fs_err::write(folder.path().join(MODULES), r#"[{"path": "0_Transformer"}]"#).unwrap();
        fs_err::create_dir(folder.path().join("0_Transformer")).unwrap();
        let index = r#"{"weight_map": {"b": "second.safetensors", "a": "parts/1", "c": "parts/1"}}"#;
        fs_err::write(folder.path().join("0_Transformer/model.safetensors.index.json"), index).unwrap();
        fs_err::write(folder.path().join("pytorch_model.bin.index.json"), "{").unwrap();
        let shards = NamedFiles::read(folder.path()).shards;
        let expected = ["0_Transformer/parts/1", "0_Transformer/second.safetensors"].map(str::to_owned).to_vec();
        assert_eq!(shards, BTreeMap::from([("0_Transformer/model.safetensors.index.json".to_owned(), expected)]));
    }
}
