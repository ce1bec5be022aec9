//! Which files of a repository a checkpoint needs.

use crate::{Error, Result};

/// Formats of weights by preference: name and ending of the one file. Shards have a number between the
/// two, and an index next to them.
const WEIGHTS: [(&str, &str); 2] = [("model", ".safetensors"), ("pytorch_model", ".bin")];

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
/// a sentence-transformers model, and the weights (one file, or an index with its shards) as safetensors, or as
/// PyTorch files where there are no safetensors. With `graph`, an ONNX file of the repository, the graph and the
/// files that may hold its weights replace the weights, and the configuration may be missing.
///
/// # Errors
/// [`Error::Path`] for names that leave the snapshot, [`Error::Incomplete`] without configuration,
/// [`Error::NoWeights`] without weights, [`Error::NoGraph`] without the graph.
pub(crate) fn needed_files(
    repo: &str,
    graph: Option<&str>,
    listing: impl IntoIterator<Item = String>,
) -> Result<Vec<String>> {
    let listing: Vec<String> = listing.into_iter().collect();
    if let Some(path) = listing.iter().find(|path| !stays_inside(path)) {
        return Err(Error::Path { repo: repo.to_owned(), path: path.clone() });
    }
    let has = |name: &str| listing.iter().any(|path| path == name);
    if let Some(graph) = graph {
        return graph_files(repo, graph, listing);
    }
    if !has("config.json") {
        return Err(Error::Incomplete { repo: repo.to_owned(), file: "config.json".to_owned() });
    }
    let names = WEIGHTS.map(|(name, ending)| (format!("{name}{ending}"), format!("{name}{ending}.index.json")));
    let found = names.iter().zip(WEIGHTS).find(|((single, index), _)| has(single) || has(index));
    let ((single, index), format) = found.ok_or_else(|| Error::NoWeights { repo: repo.to_owned() })?;
    let sharded = !has(single);
    let needed = |path: &String| {
        SMALL_FILES.contains(&path.as_str())
            || is_module_config(path)
            || if sharded { path == index || is_shard(path, format) } else { path == single }
    };
    let mut files: Vec<String> = listing.into_iter().filter(needed).collect();
    files.sort();
    files.dedup();
    Ok(files)
}

/// A graph, the files in its folder that are named after it, and the small files.
fn graph_files(repo: &str, graph: &str, listing: Vec<String>) -> Result<Vec<String>> {
    if !listing.iter().any(|path| path == graph) {
        let others: Vec<_> = listing.iter().filter(|path| path.ends_with(".onnx")).cloned().collect();
        return Err(Error::NoGraph { repo: repo.to_owned(), graph: graph.to_owned(), others: others.join(", ") });
    }
    let stem = graph.strip_suffix(".onnx").unwrap_or(graph);
    let beside = ["data", "bin", "safetensors"].map(|ending| format!("{stem}.{ending}"));
    let needed = |path: &String| {
        SMALL_FILES.contains(&path.as_str()) || path.starts_with(graph) || beside.iter().any(|file| file == path)
    };
    let mut files: Vec<String> = listing.into_iter().filter(needed).collect();
    files.sort();
    Ok(files)
}

/// `1_Pooling/config.json` and its like.
fn is_module_config(path: &str) -> bool {
    path.split_once('/').is_some_and(|(folder, file)| {
        file == "config.json" && folder.starts_with(|c: char| c.is_ascii_digit()) && folder.contains('_')
    })
}

/// `model-00001-of-00002.safetensors` for the format of `model` and `.safetensors`.
fn is_shard(path: &str, (name, ending): (&str, &str)) -> bool {
    let rest = path.strip_prefix(name).and_then(|rest| rest.strip_suffix(ending)?.strip_prefix('-'));
    rest.and_then(|rest| rest.split_once("-of-"))
        .is_some_and(|(part, of)| [part, of].iter().all(|text| text.chars().all(|c| c.is_ascii_digit())))
}

/// Whether a choice of files has its weights as PyTorch files.
pub(crate) fn has_pytorch_weights(files: &[String]) -> bool {
    files.iter().any(|file| file.starts_with(WEIGHTS[1].0))
}

/// Whether a path that others gave leads nowhere but down.
pub(crate) fn stays_inside(path: &str) -> bool {
    !path.contains(['\\', '\0']) && path.split('/').all(|part| !["", ".", ".."].contains(&part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(listing: &[&str]) -> Result<Vec<String>> {
        needed_files("o/n", None, listing.iter().map(|&path| path.to_owned()))
    }

    #[test]
    fn a_graph_of_the_repository_comes_with_its_data_and_without_the_weights() {
        let listing =
            ["model.safetensors", "config.json", "onnx/model.onnx", "onnx/model.onnx_data", "onnx/model_int8.onnx"];
        let choose = |graph| needed_files("o/n", Some(graph), listing.iter().map(|&path| path.to_owned()));
        assert_eq!(choose("onnx/model.onnx").unwrap(), ["config.json", "onnx/model.onnx", "onnx/model.onnx_data"]);
        let error = choose("model.onnx").unwrap_err().to_string();
        assert!(error.contains("`model.onnx`") && error.contains("onnx/model.onnx, onnx/model_int8.onnx"), "{error}");
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
    fn pytorch_files_are_taken_only_where_there_are_no_safetensors() {
        let pytorch = [
            "config.json",
            "pytorch_model-00001-of-00002.bin",
            "pytorch_model-00002-of-00002.bin",
            "pytorch_model-of-x.bin",
            "pytorch_model.bin.index.json",
            "training_args.bin",
            "tf_model.h5",
        ];
        let shards = [pytorch[0], pytorch[1], pytorch[2], pytorch[4]];
        assert_eq!(choose(&pytorch).unwrap(), shards);
        assert_eq!(
            choose(&[&pytorch[..], &["pytorch_model.bin"]].concat()).unwrap(),
            ["config.json", "pytorch_model.bin"]
        );
        let with = |more: &[&str]| choose(&[&pytorch[..], &["pytorch_model.bin"], more].concat()).unwrap();
        assert_eq!(with(&["model.safetensors"]), ["config.json", "model.safetensors"]);
        let sharded = ["model-00001-of-00001.safetensors", "model.safetensors.index.json"];
        assert_eq!(with(&sharded), [&["config.json"][..], &sharded].concat());
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
