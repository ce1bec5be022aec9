//! Tokenizers against what transformers makes of the same lines (`scripts/reference/tiny-tokenizers.py`).

use crate::{TextSample, tokenize, tokenize_pairs};
use planforge_core::{ArtifactFile, Commit, Snapshot, Task, digest_bytes};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const TASK: Task = Task::FeatureExtraction;

#[derive(Deserialize)]
struct Reference {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    files: BTreeMap<String, String>,
    settings: BTreeMap<String, Value>,
    padding_side: String,
    lines: String,
    pairs: String,
    examples: BTreeMap<usize, Vec<i64>>,
}

fn fixtures() -> PathBuf {
    planforge_testkit::repository().join("fixtures/tokenizers")
}

fn read<T: serde::de::DeserializeOwned>(file: &str) -> T {
    serde_json::from_slice(&fs_err::read(fixtures().join(file)).unwrap()).unwrap()
}

fn cases() -> Vec<Case> {
    read::<Reference>("cases.json").cases
}

/// A snapshot of the files in `folder`.
fn snapshot(folder: &Path) -> Snapshot {
    let file = |path: String| ArtifactFile { path, byte_count: 0, sha256: digest_bytes(b"") };
    let names = fs_err::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut files: Vec<ArtifactFile> = names.map(file).collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let local = || "local".to_owned();
    let (directory, graphs) = (folder.to_owned(), Vec::new());
    Snapshot { repo: local(), revision: local(), commit: Commit::Local, directory, files, graphs }
}

impl Case {
    fn write(&self, folder: &Path) -> Snapshot {
        for (file, value) in &self.settings {
            fs_err::write(folder.join(file), value.to_string()).unwrap();
        }
        for (file, source) in &self.files {
            fs_err::copy(fixtures().join(source), folder.join(file)).unwrap();
        }
        snapshot(folder)
    }
}

/// What the reference keeps of token numbers: see the script.
fn hash(numbers: &[i64]) -> String {
    let text: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    let mut value: u32 = 0x811c_9dc5;
    for byte in text.join(",").bytes() {
        value = (value ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    }
    format!("{:04x}", value >> 16 ^ value & 0xffff)
}

/// The numbers of line `index` without padding.
fn line(sample: &TextSample, index: usize) -> Vec<i64> {
    sample.one(index).input_ids
}

#[test]
fn a_thousand_lines_of_many_scripts_have_the_tokens_of_the_reference() {
    let lines: Vec<String> = read("lines.json");
    assert_eq!(lines.len(), 1000);
    for case in cases() {
        let folder = tempfile::tempdir().unwrap();
        let sample = tokenize(&case.write(folder.path()), TASK, &lines, u64::MAX).unwrap();
        for (&index, expected) in &case.examples {
            assert_eq!(&line(&sample, index), expected, "{}: {:?}", case.name, lines[index]);
        }
        for (index, text) in lines.iter().enumerate() {
            let found = hash(&line(&sample, index));
            assert_eq!(found, case.lines[4 * index..4 * index + 4], "{}: {text:?}", case.name);
        }
        let first_is_padded = sample.attention_mask[0] == 0;
        assert_eq!(first_is_padded, case.padding_side == "left", "{}", case.name);
    }
}

#[test]
fn null_is_taken_as_the_reference_takes_it_or_refused() {
    let case = cases().into_iter().find(|case| case.name == "xlm-roberta-spaces").unwrap();
    let lines: Vec<String> = read("lines.json");
    let folder = tempfile::tempdir().unwrap();
    let snapshot = case.write(folder.path());
    let with = |settings: &str| {
        fs_err::write(folder.path().join("tokenizer_config.json"), settings).unwrap();
        tokenize(&snapshot, TASK, &lines[..100], u64::MAX)
    };
    let sample = with(r#"{"add_prefix_space": null}"#).unwrap();
    let found: String = (0..100).map(|index| hash(&line(&sample, index))).collect();
    assert_eq!(found, case.lines[..400]);
    for role in ["mask_token", "unk_token"] {
        let refused = with(&format!("{{\"{role}\": null}}")).unwrap_err().to_string();
        assert!(refused.contains(&format!("key `{role}`: unsupported value null")), "{refused}");
    }
}

#[test]
fn a_limit_below_what_frames_a_text_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let snapshot = cases().iter().find(|case| case.name == "bert").unwrap().write(folder.path());
    let text = || "the cats".to_owned();
    let of_text = |limit| tokenize(&snapshot, TASK, &[text()], limit);
    let of_pair = |limit| tokenize_pairs(&snapshot, TASK, &[(text(), text())], limit);
    assert_eq!((of_text(2).unwrap().sequence, of_pair(3).unwrap().sequence), (2, 3));
    let refused = [of_text(1), of_text(0), of_pair(2)].map(|found| found.unwrap_err().to_string());
    assert!(refused.iter().all(|error| error.contains("invalid limit of ")), "{refused:?}");
    assert!(refused[2].contains("invalid limit of 2 tokens; expected at least 3"), "{refused:?}");
}

#[test]
fn pairs_have_the_tokens_and_segments_of_the_reference() {
    let lines: Vec<String> = read("lines.json");
    let pairs: Vec<(String, String)> = lines.iter().zip(&lines[1..]).map(|(a, b)| (a.clone(), b.clone())).collect();
    for case in cases() {
        let folder = tempfile::tempdir().unwrap();
        let sample = tokenize_pairs(&case.write(folder.path()), TASK, &pairs, u64::MAX).unwrap();
        for (place, index) in (0..pairs.len()).step_by(10).enumerate() {
            let one = sample.one(index);
            let found = hash(&[one.input_ids, one.token_type_ids].concat());
            assert_eq!(found, case.pairs[4 * place..4 * place + 4], "{}: {:?}", case.name, pairs[index]);
        }
    }
}

#[test]
fn a_snapshot_without_a_tokenizer_names_the_files_that_would_do() {
    let expected = [
        ("bert", "expected `tokenizer.json` or `vocab.txt`"),
        ("roberta", "expected `tokenizer.json` or `vocab.json` and `merges.txt`"),
        ("camembert", "expected `tokenizer.json` or `sentencepiece.bpe.model`"),
        ("something", "expected `tokenizer.json`"),
    ];
    for (model_type, message) in expected {
        let folder = tempfile::tempdir().unwrap();
        let config = format!(r#"{{"model_type": "{model_type}"}}"#);
        fs_err::write(folder.path().join("config.json"), config).unwrap();
        let snapshot = snapshot(folder.path());
        assert_eq!(crate::missing_tokenizer(&snapshot, TASK).unwrap().as_deref(), Some(message));
        let error = tokenize(&snapshot, TASK, &["a".to_owned()], 8).unwrap_err().to_string();
        assert_eq!(error, format!("no usable tokenizer in the snapshot of `local`: {message}"));
    }
}

#[test]
fn a_vocabulary_of_another_class_is_refused_with_the_way_to_one_that_is_read() {
    let written = "expected `tokenizer.json`, which transformers writes: `AutoTokenizer.from_pretrained(FOLDER)";
    for (config, settings, file) in [
        (r#"{"model_type": "deberta-v2"}"#, "{}", "spm.model"),
        (r#"{"model_type": "deberta-v2"}"#, r#"{"tokenizer_class": "DebertaV2Tokenizer"}"#, "spm.model"),
        (r#"{"model_type": "albert"}"#, r#"{"tokenizer_class": "AlbertTokenizer"}"#, "spiece.model"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| fs_err::write(folder.path().join(file), text).unwrap();
        write("config.json", config);
        write("tokenizer_config.json", settings);
        write(file, "");
        let error = tokenize(&snapshot(folder.path()), TASK, &["a".to_owned()], 8).unwrap_err().to_string();
        assert!(error.contains(&format!("unsupported file `{file}`; {written}")), "{error}");
    }
}

#[test]
fn classes_that_are_written_in_python_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let write = |file: &str, text: &str| fs_err::write(folder.path().join(file), text).unwrap();
    write("config.json", r#"{"model_type": "bert"}"#);
    write("tokenizer_config.json", r#"{"tokenizer_class": "BertJapaneseTokenizer"}"#);
    fs_err::copy(fixtures().join("vocab.txt"), folder.path().join("vocab.txt")).unwrap();
    let error = tokenize(&snapshot(folder.path()), TASK, &["a".to_owned()], 8).unwrap_err().to_string();
    assert!(error.contains("`BertJapaneseTokenizer` is not supported"), "{error}");
}

#[test]
fn a_file_with_other_steps_than_its_class_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let write = |file: &str, value: &Value| fs_err::write(folder.path().join(file), value.to_string()).unwrap();
    let special = json!({ "SpecialToken": { "id": "</s>", "type_id": 0 } });
    let text = json!({ "Sequence": { "id": "A", "type_id": 0 } });
    let read = |class: &str, single: Value| {
        write("tokenizer_config.json", &json!({ "tokenizer_class": class }));
        let spaces = json!({ "type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true });
        let tokenizer = json!({
            "version": "1.0",
            "pre_tokenizer": { "type": "Sequence", "pretokenizers": [{ "type": "WhitespaceSplit" }, spaces] },
            "post_processor": {
                "type": "TemplateProcessing",
                "single": single,
                "pair": [],
                "special_tokens": { "</s>": { "id": "</s>", "ids": [1], "tokens": ["</s>"] } },
            },
            "model": { "type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0.0], ["</s>", 0.0], ["▁a", -1.0]] },
            "added_tokens": [],
        });
        write("tokenizer.json", &tokenizer);
        tokenize(&snapshot(folder.path()), TASK, &["a".to_owned()], 8).map(|tokens| tokens.tokens.join(" "))
    };
    let framed = || json!([special, text, special]);
    assert_eq!(read("T5TokenizerFast", json!([text, special])).unwrap(), "▁a </s>");
    assert_eq!(read("PreTrainedTokenizerFast", framed()).unwrap(), "</s> ▁a </s>");
    assert_eq!(read("OfACompany", framed()).unwrap(), "</s> ▁a </s>");
    let error = read("T5Tokenizer", framed()).unwrap_err().to_string();
    assert!(error.contains("`T5Tokenizer` has steps of its own, unlike `tokenizer.json`"), "{error}");
    assert!(
        error.contains("`post_processor` is special token + text + special token, expected text + special token"),
        "{error}"
    );
    let error = read("DebertaV2Tokenizer", framed()).unwrap_err().to_string();
    assert!(error.contains("`pre_tokenizer` is WhitespaceSplit + Metaspace, expected Metaspace"), "{error}");
    let error = read("GPT2Tokenizer", framed()).unwrap_err().to_string();
    assert!(error.contains("`model` is Unigram, expected BPE"), "{error}");
}

#[test]
fn texts_are_cut_where_the_settings_say() {
    let folder = tempfile::tempdir().unwrap();
    let write = |file: &str, text: &str| fs_err::write(folder.path().join(file), text).unwrap();
    write("config.json", r#"{"model_type": "bert"}"#);
    fs_err::copy(fixtures().join("vocab.txt"), folder.path().join("vocab.txt")).unwrap();
    let tokens = |settings: &str, limit| {
        write("tokenizer_config.json", settings);
        tokenize(&snapshot(folder.path()), TASK, &["the cats hello world".to_owned()], limit).unwrap().tokens.join(" ")
    };
    assert_eq!(tokens("{}", u64::MAX), "[CLS] the cats hello world [SEP]");
    assert_eq!(tokens(r#"{"model_max_length": 5}"#, u64::MAX), "[CLS] the cats hello [SEP]");
    assert_eq!(tokens(r#"{"model_max_length": 5}"#, 4), "[CLS] the cats [SEP]");
    assert_eq!(tokens(r#"{"max_len": 4, "truncation_side": "left"}"#, 9), "[CLS] hello world [SEP]");
    assert_eq!(tokens(r#"{"model_max_length": 1e30}"#, 9), "[CLS] the cats hello world [SEP]");
}
