//! ONNX files as other tools write them: every folder of `fixtures/graphs` goes through all steps or is refused.

use crate::support::Workspace;
use planforge_testkit::{CaseKind, FixtureCase, fixture_cases, repository};
use serde_json::Value;
use std::path::Path;

/// What the values of a fixture were computed for.
const TEXTS: [&str; 2] = ["the cat sat on the mat", "a dog ran"];

fn copy(from: &Path, to: &Path) {
    fs_err::create_dir_all(to).unwrap();
    for entry in fs_err::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs_err::copy(entry.path(), target).unwrap();
        }
    }
}

fn workspace(case: &FixtureCase) -> Workspace {
    let workspace = Workspace::empty();
    copy(&case.folder, workspace.folder.path());
    let tokenizer = repository().join("fixtures/graphs/tokenizer.json");
    fs_err::copy(tokenizer, workspace.path("model/tokenizer.json")).unwrap();
    fs_err::copy(repository().join("fixtures/graphs/ones.png"), workspace.path("ones.png")).unwrap();
    workspace
}

fn case(name: &str) -> FixtureCase {
    FixtureCase::read(&repository().join("fixtures/graphs").join(name), name).unwrap()
}

fn json(path: &Path) -> Option<Value> {
    Some(serde_json::from_slice(&fs_err::read(path).ok()?).unwrap())
}

#[test]
fn graphs_of_other_tools_go_through_all_steps_or_say_why_not() {
    for case in fixture_cases(CaseKind::Graph) {
        let name = case.name.as_str();
        let workspace = workspace(&case);
        if let Some(refused) = json(&case.folder.join("refused.json")) {
            let words: Vec<_> = refused.as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
            workspace.planforge(&["export", "own.toml"]).fails(2, &words);
            continue;
        }
        let report = workspace.json(&["run", "own.toml"]);
        let checks = report["checks"].as_array().unwrap();
        assert!(!checks.is_empty() && checks.iter().all(|check| check["passed"] == true), "{name}: {checks:?}");
        assert_eq!(report["load"]["total"]["failures"], 0, "{name}");
        let inspected = workspace.json(&["inspect", "own.toml"]);
        assert_eq!(inspected["parameter_count"], report["models"][0]["parameter_count"], "{name}");
    }
}

#[test]
fn graphs_of_other_tools_give_the_values_of_the_reference() {
    for case in fixture_cases(CaseKind::Graph) {
        let name = case.name.as_str();
        let Some(expected) = json(&case.folder.join("expected.json")) else { continue };
        let workspace = workspace(&case);
        let over_images = case.task.is_over_images();
        let given =
            if over_images { vec!["--image", "ones.png"] } else { vec!["--text", TEXTS[0], "--text", TEXTS[1]] };
        let ended = workspace.planforge(&[&["infer", "own.toml", "--json"], given.as_slice()].concat());
        if over_images && !case.folder.join("model/preprocessor_config.json").exists() {
            assert!(!ended.status.success(), "{name}");
            continue;
        }
        ended.succeeds();
        let found: Value = serde_json::from_str(&ended.stdout).unwrap();
        assert_eq!(found["output"], expected["output"], "{name}");
        let numbers = |value: &Value| -> Vec<Vec<f64>> { serde_json::from_value(value.clone()).unwrap() };
        let (found, expected) = (numbers(&found["values"]), numbers(&expected["values"]));
        assert_eq!(found.len(), expected.len(), "{name}");
        let tolerance = if name.ends_with("half-precision") { 2e-3 } else { 1e-5 };
        for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
            assert!((found - expected).abs() < tolerance, "{name}: {found} instead of {expected}");
        }
    }
}

#[test]
fn scores_of_a_graph_have_the_names_of_the_configuration_in_its_folder() {
    let workspace = workspace(&case("files-of-weights"));
    let found = workspace.json(&["infer", "own.toml", "--text", TEXTS[0]]);
    assert_eq!(found["labels"], serde_json::json!(["neg", "neu", "pos"]));
    workspace.planforge(&["package", "own.toml"]).succeeds();
    let files = workspace.files("planforge-out/own/export/onnx-fp32");
    assert_eq!(files, ["model.onnx", "weights", "weights/embeddings", "weights/head"]);
    // Names for other scores than the graph has are not its names.
    workspace.edit("model/onnx/config.json", "\"0\": \"neg\", ", "");
    let found = workspace.json(&["infer", "own.toml", "--text", TEXTS[0]]);
    assert!(found.get("labels").is_none(), "{found}");
}

#[test]
fn probabilities_of_a_graph_are_shown_as_they_are() {
    let workspace = workspace(&case("probabilities"));
    let found = workspace.json(&["infer", "own.toml", "--text", TEXTS[0]]);
    let sorted = |numbers: &mut Vec<f64>| numbers.sort_by(|a, b| b.total_cmp(a));
    let mut values: Vec<f64> = serde_json::from_value(found["values"][0].clone()).unwrap();
    sorted(&mut values);
    let guesses = found["guesses"][0].as_array().unwrap();
    let shown: Vec<f64> = guesses.iter().map(|guess| guess["probability"].as_f64().unwrap()).collect();
    assert!(shown.iter().zip(&values).all(|(shown, value)| (shown - value).abs() < 1e-7), "{shown:?} {values:?}");
    assert!((shown.iter().sum::<f64>() - 1.0).abs() < 1e-6, "{shown:?}");
    assert_eq!(found["labels"], serde_json::json!(["neg", "neu", "pos"]));
}

#[test]
fn a_model_with_a_fixed_batch_is_packaged_without_batching() {
    let workspace = workspace(&case("fixed-batch-of-two"));
    let report = workspace.json(&["package", "own.toml"]);
    assert!(report["archives"].as_array().unwrap().iter().all(|archive| archive["max_batch_size"] == 0), "{report}");
}

#[test]
fn a_file_that_git_lfs_did_not_fetch_is_told_from_a_damaged_one() {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12345\n";
    for file in ["model/onnx/model.onnx", "model/onnx/weights/head", "model/tokenizer.json"] {
        let workspace = workspace(&case("files-of-weights"));
        workspace.write(file, pointer);
        let name = file.rsplit_once('/').unwrap().1;
        let words = [name, "is a Git LFS pointer instead of the file itself", "`git lfs pull`"];
        workspace.planforge(&["export", "own.toml"]).fails(2, &words);
    }
    let workspace = Workspace::tiny();
    workspace.write("model/model.safetensors", pointer);
    workspace.planforge(&["export", "tiny.toml"]).fails(2, &["model.safetensors", "is a Git LFS pointer"]);
}
