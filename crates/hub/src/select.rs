//! Which files of a repository a checkpoint needs.

use crate::graph::GraphFiles;
use crate::named::{NamedFiles, WEIGHTS, WeightFormat, index, single};
use crate::path::stays_inside;
use crate::unusable::{instead, onnx_files};
use crate::{Error, Result};
use std::collections::BTreeMap;

/// With this file, transformers loads the model that it names and puts an adapter into it.
const ADAPTER: &str = "adapter_config.json";

/// Files that are taken when they are there: at the top of a repository, and in the folders of its modules.
const SMALL_FILES: [&str; 23] = [
    "added_tokens.json",
    "config.json",
    "config_sentence_transformers.json",
    "merges.txt",
    "modules.json",
    "preprocessor_config.json",
    "processor_config.json",
    "README.md",
    "sentence_albert_config.json",
    "sentence_bert_config.json",
    "sentence_camembert_config.json",
    "sentence_distilbert_config.json",
    "sentence_roberta_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
    "sentencepiece.bpe.model",
    "special_tokens_map.json",
    "spiece.model",
    "spm.model",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "vocab.txt",
];

/// The files that a checkpoint needs out of a listing, sorted: configuration, tokenizer, and the weights (one file, or an
/// index with the shards that it names) as safetensors, or as PyTorch files where there are no safetensors; the same in the
/// folders of a sentence-transformers model's modules, both as `named`. With `graph`, an ONNX file of the repository, the graph and the
/// files that hold its weights replace the weights, and the configuration may be missing.
///
/// # Errors
/// [`Error::Path`] for names that leave the snapshot, [`Error::Adapter`] for an adapter, [`Error::Incomplete`] without
/// configuration, [`Error::NoWeights`] without weights.
pub(crate) fn needed_files(
    repo: &str,
    graph: Option<&GraphFiles>,
    named: &NamedFiles,
    listing: impl IntoIterator<Item = String>,
) -> Result<Vec<String>> {
    let listing: Vec<String> = listing.into_iter().collect();
    if let Some(path) = listing.iter().find(|path| !stays_inside(path)) {
        return Err(Error::Path { repo: repo.to_owned(), path: path.clone() });
    }
    if let Some(graph) = graph {
        let needed = |path: &String| SMALL_FILES.contains(&path.as_str()) || graph.needs(path);
        return Ok(sorted(listing.into_iter().filter(needed).collect()));
    }
    if listing.iter().any(|path| path == ADAPTER) {
        return Err(Error::Adapter {
            repo: repo.to_owned(),
            instead: planforge_core::onnx_route(&onnx_files(&listing)),
        });
    }
    let folders: Vec<Folder<'_>> = folders(named, &listing).collect();
    // A model of before 2021 has its encoder in a folder.
    let of_model = folders.iter().find(|folder| folder.has("config.json") && folder.weights.is_some());
    if of_model.is_none() {
        let (repo, instead) = (repo.to_owned(), instead(&listing));
        // Other modules have a file of this name too, for settings of their own.
        let is_encoder = |folder: &Folder<'_>| folder.prefix.is_empty() || folder.has("sentence_bert_config.json");
        return Err(match folders.iter().any(|folder| is_encoder(folder) && folder.has("config.json")) {
            true => Error::NoWeights { repo, instead },
            false => Error::Incomplete { repo, file: "config.json".to_owned(), instead },
        });
    }
    let needed =
        |path: &&String| is_module_config(path) || folders.iter().any(|folder| folder.needs(path, &named.shards));
    Ok(sorted(listing.iter().filter(needed).cloned().collect()))
}

/// The indexes in a listing that name the weights of a checkpoint.
pub(crate) fn weight_indexes(named: &NamedFiles, listing: &[String]) -> Vec<String> {
    folders(named, listing).filter_map(|folder| folder.index()).collect()
}

/// The top of a repository, and the folders of its modules.
fn folders<'a>(named: &'a NamedFiles, listing: &'a [String]) -> impl Iterator<Item = Folder<'a>> {
    std::iter::once("").chain(named.modules.iter().map(String::as_str)).map(|path| Folder::new(path, listing))
}

/// A folder with a model, or a part of one.
struct Folder<'a> {
    /// What its files' paths start with: nothing, or the folder and a slash.
    prefix: String,
    /// Format of its weights and whether they are in several files; none without weights.
    weights: Option<(WeightFormat, bool)>,
    listing: &'a [String],
}

impl<'a> Folder<'a> {
    fn new(path: &str, listing: &'a [String]) -> Self {
        let prefix = if path.is_empty() { String::new() } else { format!("{path}/") };
        let mut folder = Self { prefix, weights: None, listing };
        let found = WEIGHTS.into_iter().find(|&format| folder.has(&single(format)) || folder.has(&index(format)));
        folder.weights = found.map(|format| (format, !folder.has(&single(format))));
        folder
    }

    fn has(&self, file: &str) -> bool {
        self.listing.iter().any(|path| path.strip_prefix(self.prefix.as_str()) == Some(file))
    }

    /// The index of its weights; none where they are in one file.
    fn index(&self) -> Option<String> {
        self.weights
            .filter(|(_, in_several)| *in_several)
            .map(|(format, _)| format!("{}{}", self.prefix, index(format)))
    }

    fn needs(&self, path: &String, shards: &BTreeMap<String, Vec<String>>) -> bool {
        if let Some(index) = self.index()
            && (*path == index || shards.get(&index).is_some_and(|shards| shards.contains(path)))
        {
            return true;
        }
        let Some(file) = path.strip_prefix(self.prefix.as_str()) else { return false };
        let is_single = |(format, in_several): (WeightFormat, bool)| !in_several && file == single(format);
        self.weights.is_some_and(is_single) || SMALL_FILES.contains(&file)
    }
}

fn sorted(mut files: Vec<String>) -> Vec<String> {
    files.sort();
    files.dedup();
    files
}

/// `1_Pooling/config.json` and its like.
fn is_module_config(path: &str) -> bool {
    path.split_once('/').is_some_and(|(folder, file)| {
        file == "config.json" && folder.starts_with(|c: char| c.is_ascii_digit()) && folder.contains('_')
    })
}

/// Whether a choice of files has its weights as PyTorch files.
pub(crate) fn has_pytorch_weights(files: &[String]) -> bool {
    files.iter().any(|file| file.rsplit('/').next().is_some_and(|name| name.starts_with(WEIGHTS[1].0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(listing: &[&str]) -> Result<Vec<String>> {
        choose_named(listing, &NamedFiles::default())
    }

    fn choose_named(listing: &[&str], named: &NamedFiles) -> Result<Vec<String>> {
        needed_files("o/n", None, named, listing.iter().map(|&path| path.to_owned()))
    }

    fn named(index: &str, shards: &[&str]) -> NamedFiles {
        let shards = shards.iter().map(|&shard| shard.to_owned()).collect();
        NamedFiles { modules: Vec::new(), shards: BTreeMap::from([(index.to_owned(), shards)]) }
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
    fn shards_come_with_the_index_that_names_them() {
        let index = "model.safetensors.index.json";
        let listing = [
            "a/1.safetensors",
            "config.json",
            "model-00001-of-00002.safetensors",
            index,
            "second",
            "second.safetensors",
        ];
        let shards = named(index, &["a/1.safetensors", "second", "../x", "not-there"]);
        assert_eq!(choose_named(&listing, &shards).unwrap(), ["a/1.safetensors", "config.json", index, "second"]);
        let owned: Vec<String> = listing.map(str::to_owned).to_vec();
        assert_eq!(weight_indexes(&NamedFiles::default(), &owned), [index]);
        let with_single = [&owned[..], &["model.safetensors".to_owned()]].concat();
        assert!(weight_indexes(&shards, &with_single).is_empty());
        assert_eq!(choose(&listing).unwrap(), ["config.json", index]);
    }

    #[test]
    fn pytorch_files_are_taken_only_where_there_are_no_safetensors() {
        let index = "pytorch_model.bin.index.json";
        let pytorch =
            ["config.json", "pytorch_model-00001-of-00002.bin", "rest.bin", index, "training_args.bin", "tf_model.h5"];
        let shards = named(index, &pytorch[1..3]);
        let with = |more: &[&str]| choose_named(&[&pytorch[..], more].concat(), &shards).unwrap();
        assert_eq!(with(&[]), ["config.json", pytorch[1], index, "rest.bin"]);
        assert_eq!(with(&["pytorch_model.bin"]), ["config.json", "pytorch_model.bin"]);
        assert_eq!(with(&["pytorch_model.bin", "model.safetensors"]), ["config.json", "model.safetensors"]);
        let sharded = with(&["model-00001-of-00001.safetensors", "model.safetensors.index.json"]);
        assert_eq!(sharded, ["config.json", "model.safetensors.index.json"]);
    }

    #[test]
    fn modules_come_with_their_configuration_and_weights() {
        let listing = [
            "0_Transformer/config.json",
            "0_Transformer/pytorch_model.bin",
            "0_Transformer/sentence_roberta_config.json",
            "0_Transformer/vocab.txt",
            "1_Pooling/config.json",
            "dense/config.json",
            "dense/model.safetensors",
            "dense/pytorch_model.bin",
            "modules.json",
            "checkpoint-500/model.safetensors",
            "onnx/config.json",
        ];
        let modules = ["0_Transformer", "1_Pooling", "dense"].map(str::to_owned).to_vec();
        let chosen = choose_named(&listing, &NamedFiles { modules, ..NamedFiles::default() }).unwrap();
        let expected: Vec<_> = listing[..7].iter().chain(&["modules.json"]).copied().collect();
        assert_eq!(chosen, expected);
        let error = choose(&listing).unwrap_err().to_string();
        assert!(error.contains("config.json"), "{error}");
    }

    #[test]
    fn names_that_leave_the_snapshot_are_refused() {
        for hostile in ["../x", "/etc/passwd", "a/../../b", "a\\..\\b", "", "a//b", "a/", "./a", "a/./b", "a\0"] {
            let error = choose(&["config.json", "model.safetensors", hostile]).unwrap_err();
            assert!(matches!(error, Error::Path { .. }), "{hostile}");
        }
    }

    #[test]
    fn a_repository_without_weights_is_refused() {
        let error = choose(&["config.json", "model-00001-of-00002.safetensors"]).unwrap_err().to_string();
        assert!(error.contains("expected `model.safetensors` or `pytorch_model.bin`"), "{error}");
        assert!(choose(&["model.safetensors"]).unwrap_err().to_string().contains("config.json"));
    }
}
