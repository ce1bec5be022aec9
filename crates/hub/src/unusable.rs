//! What a repository without usable weights has instead, and what can be done with it.

use planforge_core::onnx_route;

/// Endings of files of weights that other programs read.
const OTHER_ENDINGS: [&str; 13] = [
    ".safetensors",
    ".bin",
    ".pt",
    ".pth",
    ".ckpt",
    ".h5",
    ".keras",
    ".msgpack",
    ".npz",
    ".tflite",
    ".mlmodel",
    ".ot",
    ".pkl",
];
/// Most names that an error repeats.
const MOST_NAMES: usize = 5;

/// The ONNX files of a listing, sorted.
pub(crate) fn onnx_files(listing: &[String]) -> Vec<String> {
    let mut files: Vec<String> = listing.iter().filter(|path| path.ends_with(".onnx")).cloned().collect();
    files.sort();
    files
}

/// What the repository of a listing has instead of weights that are read, each with the next step; empty for nothing.
pub(crate) fn instead(listing: &[String]) -> String {
    let weights = other_weights(listing).map(|text| format!("; {text}")).unwrap_or_default();
    format!("{weights}{}", onnx_route(&onnx_files(listing)))
}

/// Weights that are not read.
fn other_weights(listing: &[String]) -> Option<String> {
    let with = |matches: &dyn Fn(&str) -> bool| -> Option<String> {
        let found: Vec<&str> = listing.iter().map(String::as_str).filter(|path| matches(path)).collect();
        (!found.is_empty()).then(|| names(found.into_iter()))
    };
    let file = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    if let Some(found) = with(&|path| path.ends_with(".gguf")) {
        return Some(format!(
            "its weights are in GGUF, for llama.cpp: {found}; use the repository that they were made from"
        ));
    }
    if let Some(found) = with(&|path| file(path).starts_with("tf_model") || file(path).starts_with("flax_model")) {
        return Some(format!(
            "its weights are those of TensorFlow or Flax: {found}; load them in Python with transformers before release 5 and \
             the class that `architectures` in its config.json names, `from_pretrained(FOLDER, from_tf=True)` or \
             `from_flax=True`, and save them with `save_pretrained(FOLDER)`"
        ));
    }
    let found = with(&|path| OTHER_ENDINGS.iter().any(|ending| path.ends_with(ending)))?;
    Some(format!("its other files of weights: {found}"))
}

/// The first names of a list, and how many more there are.
fn names<'a>(found: impl Iterator<Item = &'a str>) -> String {
    let mut found: Vec<&str> = found.collect();
    found.sort_unstable();
    let more = found.len().saturating_sub(MOST_NAMES);
    let shown: Vec<String> = found.iter().take(MOST_NAMES).map(|name| format!("`{name}`")).collect();
    let shown = shown.join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_repository_has_its_next_step() {
        for (listing, words) in [
            (
                &["model-Q4_K_M.gguf", "README.md"][..],
                "; its weights are in GGUF, for llama.cpp: `model-Q4_K_M.gguf`; use",
            ),
            (
                &["config.json", "tf_model.h5"],
                "TensorFlow or Flax: `tf_model.h5`; load them in Python with transformers before",
            ),
            (&["flax_model.msgpack"], "TensorFlow or Flax: `flax_model.msgpack`"),
            (
                &["open_clip_model.safetensors", "x.pt"],
                "; its other files of weights: `open_clip_model.safetensors`, `x.pt`",
            ),
            (
                &["onnx/b.onnx", "onnx/a.onnx"],
                "as they are: `onnx/a.onnx`, `onnx/b.onnx`; set `graph = \"onnx/a.onnx\"` in [source]",
            ),
            (&["1.pt", "2.pt", "3.pt", "4.pt", "5.pt", "6.pt", "7.pt"], "`5.pt` and 2 more"),
        ] {
            let listing: Vec<String> = listing.iter().map(|&path| path.to_owned()).collect();
            let found = instead(&listing);
            assert!(found.contains(words), "{found}");
        }
        assert_eq!(instead(&["config.json".to_owned(), "README.md".to_owned()]), "");
        let both = ["tf_model.h5", "model.onnx"].map(str::to_owned);
        assert!(instead(&both).contains("`save_pretrained(FOLDER)`; its ONNX files"));
    }
}
