//! What `infer` prints of a classifier's scores, for texts and pairs of texts, against the references
//! (`scripts/reference/tiny-scores.py`).

use crate::support::Workspace;
use planforge_testkit::repository;
use safetensors::SafeTensors;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Reference {
    configs: BTreeMap<String, Value>,
    cases: Vec<Case>,
}

/// A checkpoint with changed files, and the labels and numbers of each text.
#[derive(Deserialize)]
struct Case {
    name: String,
    checkpoint: String,
    files: BTreeMap<String, Value>,
    #[serde(default)]
    texts: Vec<String>,
    #[serde(default)]
    pairs: Vec<(String, String)>,
    key: String,
    guesses: Vec<Vec<(String, f64)>>,
}

const PIPELINE: &str = "name = \"m\"\ntask = \"text-classification\"\n[source]\npath = \"model\"\n\
     [[profiles]]\nbatch = [1, 1, 4]\nsequence = [4, 8, 20]\n";

fn reference() -> Reference {
    let file = repository().join("fixtures/scores/expected.json");
    serde_json::from_slice(&fs_err::read(file).unwrap()).unwrap()
}

/// A workspace with a checkpoint of fixtures/scores.
fn workspace(checkpoint: &str) -> Workspace {
    let workspace = Workspace::empty();
    fs_err::create_dir(workspace.path("model")).unwrap();
    workspace.write("model/config.json", &reference().configs[checkpoint].to_string());
    for file in ["model.safetensors", "tokenizer_config.json", "vocab.txt"] {
        let source = repository().join("fixtures/scores").join(checkpoint).join(file);
        fs_err::copy(source, workspace.path("model").join(file)).unwrap();
    }
    workspace.write("m.toml", PIPELINE);
    workspace
}

/// Adds the keys of `value` to a file of the checkpoint; writes a value of another kind as it is.
fn add(workspace: &Workspace, file: &str, value: &Value) {
    let path = workspace.path("model").join(file);
    let present = fs_err::read(&path).ok().map(|bytes| serde_json::from_slice::<Map<String, Value>>(&bytes).unwrap());
    let written = match (present, value) {
        (Some(mut present), Value::Object(keys)) => {
            present.extend(keys.clone());
            Value::Object(present)
        }
        _ => value.clone(),
    };
    fs_err::write(path, written.to_string()).unwrap();
}

fn infer(case: &Case) -> Value {
    let workspace = workspace(&case.checkpoint);
    for (file, value) in &case.files {
        add(&workspace, file, value);
    }
    let texts = case.texts.iter().chain(case.pairs.iter().map(|(first, _)| first));
    let texts = texts.map(|text| format!("--text={text}"));
    let contexts = case.pairs.iter().map(|(_, second)| format!("--text-pair={second}"));
    let given: Vec<String> = texts.chain(contexts).collect();
    let arguments: Vec<&str> = ["infer", "m.toml"].into_iter().chain(given.iter().map(String::as_str)).collect();
    workspace.json(&arguments)
}

#[test]
fn labels_have_the_numbers_of_the_reference() {
    for case in reference().cases {
        let found = infer(&case);
        let pairs: Vec<&String> = case.pairs.iter().map(|(_, second)| second).collect();
        assert_eq!(found.get("text_pairs"), (!pairs.is_empty()).then(|| serde_json::json!(pairs)).as_ref());
        let guesses = found["guesses"].as_array().unwrap();
        assert_eq!(guesses.len(), case.guesses.len(), "{}", case.name);
        for (found, expected) in guesses.iter().zip(&case.guesses) {
            let number = |guess: &Value| guess[&case.key].as_f64().unwrap_or_else(|| panic!("{}: {guess}", case.name));
            let texts: Vec<_> = found.as_array().unwrap().iter().map(|guess| guess["text"].as_str().unwrap()).collect();
            assert_eq!(texts, expected.iter().map(|(text, _)| text).collect::<Vec<_>>(), "{}", case.name);
            for (guess, (text, expected)) in found.as_array().unwrap().iter().zip(expected) {
                assert!((number(guess) - expected).abs() < 1e-5, "{} {text}: {guess}, not {expected}", case.name);
            }
        }
    }
}

#[test]
fn pairs_of_a_pipeline_are_its_samples() {
    let workspace = workspace("three");
    let pairs = "[[\"the cat sat\", \"a dog\"], [\"a\", \"a dog ran and slept\"]]";
    workspace
        .write("m.toml", &format!("{PIPELINE}[export]\nprecisions = [\"fp32\", \"fp16\"]\nsample_pairs = {pairs}\n"));
    let pairs = ["--text", "the cat sat", "--text-pair", "a dog", "--text", "a", "--text-pair", "a dog ran and slept"];
    let found = workspace.json(&["infer", "m.toml"]);
    assert_eq!(found, workspace.json(&[&["infer", "m.toml"][..], &pairs].concat()));
    assert_eq!(found["text_pairs"], serde_json::json!(["a dog", "a dog ran and slept"]));
    let checks = workspace.json(&["check", "m.toml"])["checks"].clone();
    let is_good = |check: &Value| check["samples"] == 2 && check["passed"] == true;
    assert!(checks.as_array().is_some_and(|checks| !checks.is_empty() && checks.iter().all(is_good)), "{checks}");
}

#[test]
fn values_that_decide_what_scores_mean_are_refused_where_they_are_not_described() {
    let tanh = "torch.nn.modules.activation.Tanh";
    for (file, key, value, words) in [
        ("config.json", "problem_type", Value::from("ranking"), "key `problem_type`: unsupported value \"ranking\""),
        (
            "config.json",
            "sbert_ce_default_activation_function",
            tanh.into(),
            "key `activation_fn`: unsupported value `torch.nn.modules.activation.Tanh`; expected Sigmoid, Identity",
        ),
        ("config_sentence_transformers.json", "activation_fn", tanh.into(), "config_sentence_transformers.json"),
    ] {
        let workspace = workspace("one");
        let model_type = if file == "config.json" { "bert" } else { "CrossEncoder" };
        add(&workspace, file, &serde_json::json!({ key: value, "model_type": model_type }));
        workspace.planforge(&["infer", "m.toml", "--text", "a cat"]).fails(2, &[file, words]);
        // The graph does not depend on it.
        workspace.planforge(&["export", "m.toml"]).succeeds();
    }
}

#[test]
fn a_value_of_a_regression_is_no_share() {
    let workspace = workspace("one");
    add(&workspace, "config.json", &serde_json::json!({ "problem_type": "regression" }));
    let texts = ["infer", "m.toml", "--text", "the cat", "--context", "a dog", "--context", "a mat"];
    let shown = workspace.planforge(&texts);
    shown.succeeds();
    let lines: Vec<&str> = shown.stdout.lines().collect();
    assert_eq!(lines.len(), 7, "{}", shown.stdout);
    assert_eq!([lines[1], lines[2], lines[5]], ["  the cat", "  + a dog", "  + a mat"]);
    assert!(lines[3].ends_with("relevance") && !shown.stdout.contains('%'), "{}", shown.stdout);
    let uneven =
        ["infer", "m.toml", "--text", "a", "--text", "the", "--context", "a", "--context", "a", "--context", "a"];
    workspace.planforge(&uneven).fails(2, &["invalid number of --context: 3; expected 1 or 2, as of --text"]);
}

/// The checkpoint with other names for the tensors of its head.
fn rename_head(workspace: &Workspace, scope: &str) {
    let path = workspace.path("model/model.safetensors");
    let bytes = fs_err::read(&path).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let name = |name: String| name.strip_prefix("classifier").map(|rest| format!("{scope}{rest}")).unwrap_or(name);
    let renamed = tensors.tensors().into_iter().map(|(old, tensor)| (name(old), tensor));
    fs_err::write(path, safetensors::serialize(renamed, None).unwrap()).unwrap();
}

#[test]
fn heads_for_other_tasks_are_refused_with_the_task_that_fits() {
    for (class, scope, expected) in [
        ("BertForNextSentencePrediction", "cls.seq_relationship", "expected task `feature-extraction`"),
        ("BertForMultipleChoice", "classifier", "expected task `feature-extraction`"),
        ("BertForTokenClassification", "classifier", "expected task `token-classification` or `feature-extraction`"),
        ("BertForPreTraining", "cls.predictions.transform.dense", "expected task `fill-mask` or `feature-extraction`"),
    ] {
        let workspace = workspace("one");
        rename_head(&workspace, scope);
        add(&workspace, "config.json", &serde_json::json!({ "architectures": [class] }));
        let head = format!("its head is that of `{class}`");
        let words = ["unsupported task `text-classification`", &head, expected];
        workspace.planforge(&["export", "m.toml"]).fails(2, &words);
    }
}
