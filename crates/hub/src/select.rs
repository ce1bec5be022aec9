//! Which files of a repository a checkpoint needs.

use crate::{Error, Result};
use std::path::{Component, Path};

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// Files at the top of a repository that are taken when they are there.
const SMALL_FILES: [&str; 13] = [
    "config.json",
    "config_sentence_transformers.json",
    "merges.txt",
    "modules.json",
    "preprocessor_config.json",
    "README.md",
    "sentence_bert_config.json",
    "sentencepiece.bpe.model",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "vocab.txt",
];

/// The files that a checkpoint needs out of a listing, sorted: configuration, tokenizer, the modules of
/// a sentence-transformers model, and the weights as safetensors (one file, or an index with its shards).
///
/// # Errors
/// [`Error::Path`] for names that leave the snapshot, [`Error::Incomplete`] without configuration or weights.
pub(crate) fn needed_files(repo: &str, listing: impl IntoIterator<Item = String>) -> Result<Vec<String>> {
    let listing: Vec<String> = listing.into_iter().collect();
    if let Some(path) = listing.iter().find(|path| !stays_inside(path)) {
        return Err(Error::Path { repo: repo.to_owned(), path: path.clone() });
    }
    let has = |name: &str| listing.iter().any(|path| path == name);
    let missing = |file: &str| Error::Incomplete { repo: repo.to_owned(), file: file.to_owned() };
    if !has("config.json") {
        return Err(missing("config.json"));
    }
    let sharded = !has(SINGLE);
    if sharded && !has(INDEX) {
        return Err(missing(SINGLE));
    }
    let needed = |path: &String| {
        SMALL_FILES.contains(&path.as_str())
            || is_module_config(path)
            || if sharded { path == INDEX || is_shard(path) } else { path == SINGLE }
    };
    let mut files: Vec<String> = listing.into_iter().filter(needed).collect();
    files.sort();
    files.dedup();
    Ok(files)
}

/// `1_Pooling/config.json` and its like.
fn is_module_config(path: &str) -> bool {
    path.split_once('/').is_some_and(|(folder, file)| {
        file == "config.json" && folder.starts_with(|c: char| c.is_ascii_digit()) && folder.contains('_')
    })
}

/// `model-00001-of-00002.safetensors`.
fn is_shard(path: &str) -> bool {
    path.strip_prefix("model-").and_then(|rest| rest.strip_suffix(".safetensors")).is_some_and(|rest| {
        rest.split_once("-of-")
            .is_some_and(|(part, of)| [part, of].iter().all(|text| text.chars().all(|c| c.is_ascii_digit())))
    })
}

fn stays_inside(path: &str) -> bool {
    !path.is_empty()
        && !path.contains('\\')
        && Path::new(path).components().all(|component| matches!(component, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(listing: &[&str]) -> Result<Vec<String>> {
        needed_files("o/n", listing.iter().map(|&path| path.to_owned()))
    }

    #[test]
    fn one_weights_file_is_enough_and_other_formats_stay_away() {
        let listing = [
            "pytorch_model.bin",
            "model.safetensors",
            "config.json",
            "onnx/model.onnx",
            "tokenizer.json",
            "1_Pooling/config.json",
            "model-00001-of-00002.safetensors",
        ];
        assert_eq!(
            choose(&listing).unwrap(),
            ["1_Pooling/config.json", "config.json", "model.safetensors", "tokenizer.json"]
        );
    }

    #[test]
    fn shards_come_with_their_index() {
        let listing = [
            "config.json",
            "model.safetensors.index.json",
            "model-00001-of-00002.safetensors",
            "model-00002-of-00002.safetensors",
        ];
        assert_eq!(choose(&listing).unwrap().len(), 4);
    }

    #[test]
    fn names_that_leave_the_snapshot_are_refused() {
        for hostile in ["../x", "/etc/passwd", "a/../../b", "a\\..\\b"] {
            let error = choose(&["config.json", "model.safetensors", hostile]).unwrap_err();
            assert!(matches!(error, Error::Path { .. }), "{hostile}");
        }
    }

    #[test]
    fn a_repository_without_weights_is_told_so() {
        assert!(choose(&["config.json"]).unwrap_err().to_string().contains("model.safetensors"));
        assert!(choose(&["model.safetensors"]).unwrap_err().to_string().contains("config.json"));
    }
}
