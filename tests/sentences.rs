//! Each key of the small files next to a model of sentence-transformers set to other values: vectors change when and as the
//! reference's do (scripts/reference/tiny-files.py), or the value is refused.

use crate::parity::{floats, relative_difference, run_on};
use crate::support::Workspace;
use planforge_core::{Cache, DigestCache, NoProgress, Precision, Snapshot, Task};
use planforge_engine::{ExportOptions, export};
use planforge_runtime::{Tensor, TensorValues};
use planforge_testkit::{CaseKind, check_generated, fixture_cases};
use planforge_validate::Samples;
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::Path;

/// Largest difference, relative to the largest value.
const TOLERANCE: f64 = 1e-4;

/// `mutations.json`.
#[derive(Deserialize)]
struct Recorded {
    texts: Vec<String>,
    unchanged: Vec<Vec<f64>>,
    mutations: Vec<Mutation>,
}

/// A file with other content, and what becomes of the reference's vectors.
#[derive(Deserialize)]
struct Mutation {
    file: String,
    content: Value,
    /// The first numbers of each; `null` where they are as before, `"mistake"` where the reference fails.
    outcome: Value,
}

/// What is different from the content before, in short.
fn change(before: &Value, after: &Value) -> String {
    if let (Value::Array(before), Value::Array(after)) = (before, after) {
        let new: Vec<String> = after.iter().filter(|entry| !before.contains(entry)).map(Value::to_string).collect();
        return if new.is_empty() { format!("with {} of its entries", after.len()) } else { new.join(", ") };
    }
    let (Value::Object(before), Value::Object(after)) = (before, after) else { return after.to_string() };
    let changed = after.iter().filter(|(key, value)| before.get(*key) != Some(value));
    let set = changed.map(|(key, value)| format!("{key} {value}"));
    let left_out = before.keys().filter(|key| !after.contains_key(*key)).map(|key| format!("{key} left out"));
    set.chain(left_out).collect::<Vec<_>>().join(", ")
}

/// A copy of the checkpoint in `folder`; weights are linked.
fn copy(from: &Path, folder: &Path) {
    fs_err::create_dir_all(folder).unwrap();
    for item in fs_err::read_dir(from).unwrap() {
        let (path, target) = (item.as_ref().unwrap().path(), folder.join(item.unwrap().file_name()));
        if path.is_dir() {
            copy(&path, &target);
        } else if path.extension().is_some_and(|end| end == "safetensors") {
            fs_err::hard_link(&path, &target).unwrap();
        } else {
            fs_err::copy(&path, &target).unwrap();
        }
    }
}

/// The vector of each text, which goes through the model alone.
fn vectors(workspace: &Workspace, snapshot: &Snapshot, texts: &[String]) -> Result<Vec<Vec<f32>>, String> {
    let options = ExportOptions::new(Task::SentenceEmbedding, Precision::Fp32);
    let cache = Cache::new(&workspace.path("cache"));
    let model = export(snapshot, &options, &cache, &NoProgress).map_err(|error| error.to_string())?;
    let samples = Samples::Texts(texts.to_vec());
    let singles = samples.singles(snapshot, &model.record).map_err(|error| error.to_string())?;
    let of_text = |sample: &planforge_engine::Sample| {
        let input = |name: &String| {
            let (shape, values) = sample.input(name).unwrap();
            let planforge_engine::SampleValues::Int64(values) = values else { panic!("`{name}` is not a text") };
            Tensor::new(name, &shape, TensorValues::Int64(values.to_vec())).unwrap()
        };
        let inputs: Vec<Tensor> = model.record.inputs.iter().map(|spec| input(&spec.name)).collect();
        let outputs = run_on(&model, &inputs);
        floats(outputs.iter().find(|output| output.name == "sentence_embedding").unwrap()).to_vec()
    };
    Ok(singles.iter().map(of_text).collect())
}

#[test]
fn vectors_change_when_and_as_those_of_the_reference_do() {
    let [case] = fixture_cases(CaseKind::SmallFiles).try_into().unwrap();
    let fixture = case.folder;
    let recorded: Recorded = serde_json::from_slice(&fs_err::read(fixture.join("mutations.json")).unwrap()).unwrap();
    let workspace = Workspace::empty();
    let folder = workspace.path("model");
    let mut differences = String::new();
    for Mutation { file, content, outcome } in &recorded.mutations {
        copy(&fixture, &folder);
        fs_err::write(folder.join(file), content.to_string()).unwrap();
        let before: Value = serde_json::from_slice(&fs_err::read(fixture.join(file)).unwrap()).unwrap();
        let what = format!("{file} {}", change(&before, content));
        let snapshot = planforge_hub::local_snapshot(&folder, None, &DigestCache::default(), &NoProgress);
        let found =
            snapshot.map_err(|error| error.to_string()).and_then(|it| vectors(&workspace, &it, &recorded.texts));
        match found {
            Ok(_) if *outcome == json!("mistake") => differences += &format!("{what}: taken\n"),
            Ok(found) => {
                let expected: Option<Vec<Vec<f64>>> = serde_json::from_value(outcome.clone()).unwrap();
                for (found, expected) in found.iter().zip(expected.as_ref().unwrap_or(&recorded.unchanged)) {
                    let difference = relative_difference(&found[..expected.len()], expected);
                    assert!(difference <= TOLERANCE, "{what}: {difference:e}");
                }
            }
            Err(_) if *outcome == json!("mistake") => {}
            Err(error) => {
                let error = error.replace(&format!("{}/", folder.display()), "");
                let error = error.replace(&folder.display().to_string(), "model");
                differences += &format!("{what}: refused: {}\n", error.lines().next().unwrap_or_default());
            }
        }
        fs_err::remove_dir_all(&folder).unwrap();
    }
    let head = "Content of small files that planforge refuses though the reference takes it, and that it takes though the \
                reference does not (tests/sentences.rs).\n\n";
    check_generated(&fixture.join("mutations.txt"), &format!("{head}{differences}"));
}
