//! The head of a model card: keys between two lines `---` at the top of `README.md`.
//!
//! The Hub's own `cardData` is made from it, but is not there for what comes from the cache. Of YAML, only what the Hub
//! documents for these keys is read: a word, a list of words in brackets, or one on lines of their own.

use planforge_core::{MAX_DOCUMENT_BYTE_COUNT, ModelCard, Snapshot, read_text};
use std::collections::BTreeMap;

/// The model card of a snapshot; `None` without a `README.md` that starts with one.
#[must_use]
pub fn model_card(snapshot: &Snapshot) -> Option<ModelCard> {
    let readme = read_text(&snapshot.path("README.md")?, MAX_DOCUMENT_BYTE_COUNT).ok()?;
    let mut keys = keys(&readme)?;
    let mut take = |key: &str| keys.remove(key).unwrap_or_default();
    let licenses = [take("license"), take("license_name")].concat();
    // With `other`, the name is in `license_name`.
    let license = licenses.iter().find(|name| *name != "other").or(licenses.first()).cloned();
    Some(ModelCard { license, base_models: take("base_model"), tags: take("tags") })
}

/// Keys of the head with their values; nothing without a head.
fn keys(readme: &str) -> Option<BTreeMap<&str, Vec<String>>> {
    let mut lines = readme.trim_start_matches('\u{feff}').lines();
    lines.next().filter(|line| line.trim_end() == "---")?;
    let mut keys: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut current = "";
    for line in lines {
        if line.trim_end() == "---" {
            return Some(keys);
        }
        if let Some(item) = line.trim_start().strip_prefix("- ") {
            keys.entry(current).or_default().extend(word(item));
        } else if let Some((key, value)) = line.split_once(':').filter(|(key, _)| !key.starts_with([' ', '#'])) {
            current = key.trim_end();
            let value = value.trim();
            let list = value.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
            let words = list.map_or_else(|| vec![value], |list| list.split(',').collect());
            keys.entry(current).or_default().extend(words.into_iter().filter_map(word));
        }
    }
    None
}

/// A word without quotation marks and comment, if anything is left.
fn word(text: &str) -> Option<String> {
    let text = text.split_once(" #").map_or(text, |(before, _)| before).trim();
    let text = ['"', '\''].iter().find_map(|&mark| text.strip_prefix(mark)?.strip_suffix(mark)).unwrap_or(text);
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use planforge_core::{ArtifactFile, digest_bytes};

    fn card(readme: &str) -> Option<ModelCard> {
        let folder = tempfile::tempdir().unwrap();
        fs_err::write(folder.path().join("README.md"), readme).unwrap();
        let file = ArtifactFile { path: "README.md".to_owned(), byte_count: 0, sha256: digest_bytes(b"") };
        model_card(&Snapshot {
            repo: "o/n".to_owned(),
            revision: "main".to_owned(),
            commit: planforge_core::Commit::Local,
            directory: folder.path().to_owned(),
            files: vec![file],
            graphs: Vec::new(),
        })
    }

    #[test]
    fn words_and_both_kinds_of_lists_are_read() {
        let found = card(
            "---\nlanguage:\n- en\nlicense: \"apache-2.0\"  # ours\ntags: [bert, 'fill mask']\nbase_model:\n  - a/b\n  - c/d\n\
             model-index:\n- name: x\n  results: []\n---\n# Title\nlicense: mit\n",
        );
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        let expected = ModelCard {
            license: Some("apache-2.0".to_owned()),
            base_models: words(&["a/b", "c/d"]),
            tags: words(&["bert", "fill mask"]),
        };
        assert_eq!(found, Some(expected.clone()));
        assert_eq!(expected.to_string(), "license apache-2.0, made from a/b, c/d, tags bert, fill mask");
    }

    #[test]
    fn a_license_may_have_a_custom_name_or_be_missing() {
        let license = |head: &str| card(&format!("---\n{head}\n---\n")).unwrap().to_string();
        assert_eq!(license("license: other\nlicense_name: llama3"), "license llama3");
        assert_eq!(license("license_name: llama3\nlicense: other"), "license llama3");
        assert_eq!(license("license: other"), "license other");
        assert_eq!(license("language: en"), "license not stated");
    }

    #[test]
    fn a_readme_without_a_head_has_no_card() {
        assert_eq!(card("# Title\nlicense: mit\n"), None);
        assert_eq!(card("---\nlicense: mit\n"), None);
        assert_eq!(card(""), None);
    }
}
