//! Every architecture against what transformers computes (scripts/reference/tiny-models.py).

use crate::support::Workspace;
use planforge_core::{
    Builder, Cache, GpuCatalogue, Model, NoProgress, Precision, Profile, ProfileRange, Snapshot, Stored, Task,
};
use planforge_engine::{CompileOptions, ExportOptions, Worker, compile, export};
use planforge_runtime::{OnnxSession, SessionOptions, Tensor, TensorValues, load_library};
use planforge_testkit::{native, repository};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// Largest difference of an fp32 output, relative to the largest value of the output.
const FP32_TOLERANCE: f32 = 1e-5;
/// Smallest cosine similarity of an fp16 output.
const FP16_COSINE_FLOOR: f64 = 0.999;

/// `expected.json`.
#[derive(Deserialize)]
struct Expected {
    batch: usize,
    sequence: usize,
    inputs: BTreeMap<String, Vec<i64>>,
    outputs: BTreeMap<String, Output>,
}

#[derive(Deserialize)]
struct Output {
    shape: Vec<usize>,
    values: Vec<f32>,
}

/// A checkpoint with expected values, exported.
pub(crate) struct Case {
    name: &'static str,
    expected: Expected,
    pub(crate) model: Stored<Model>,
}

/// Folder below fixtures, task, names of the outputs.
pub(crate) type Checkpoint = (&'static str, Task, &'static [&'static str]);

/// Those of fixtures/models.
const CASES: [Checkpoint; 8] = [
    ("bert", Task::FeatureExtraction, &["last_hidden_state", "pooler_output"]),
    ("bert-classifier", Task::TextClassification, &["logits"]),
    ("roberta", Task::FeatureExtraction, &["last_hidden_state", "pooler_output"]),
    ("xlm-roberta-classifier", Task::TextClassification, &["logits"]),
    ("distilbert", Task::FeatureExtraction, &["last_hidden_state"]),
    ("distilbert-classifier", Task::TextClassification, &["logits"]),
    ("distilbert-tokens", Task::TokenClassification, &["logits"]),
    ("bert-tokens", Task::TokenClassification, &["logits"]),
];

fn snapshot(name: &str) -> Snapshot {
    planforge_hub::local_snapshot(&repository().join("fixtures/models").join(name), &NoProgress).unwrap()
}

fn case(workspace: &Workspace, index: usize, precision: Precision) -> Case {
    exported(workspace, &repository().join("fixtures/models").join(CASES[index].0), CASES[index], precision)
}

/// Exports the checkpoint in `folder`, which has `expected.json` beside it.
pub(crate) fn exported(workspace: &Workspace, folder: &Path, checkpoint: Checkpoint, precision: Precision) -> Case {
    let (name, task, outputs) = checkpoint;
    let cache = Cache::new(&workspace.path("cache"));
    let snapshot = planforge_hub::local_snapshot(folder, &NoProgress).unwrap();
    let model = export(&snapshot, ExportOptions { task, precision }, &cache, &NoProgress).unwrap();
    let names: Vec<_> = model.record.outputs.iter().map(|output| output.name.as_str()).collect();
    assert_eq!(names, outputs, "{name}");
    let file = folder.join("expected.json");
    Case { name, expected: serde_json::from_slice(&fs_err::read(file).unwrap()).unwrap(), model }
}

/// Runs the exported graph on rows of the batch.
fn run(case: &Case, rows: std::ops::Range<usize>) -> Vec<Tensor> {
    load_library(&native().join("onnxruntime/libonnxruntime.so")).unwrap();
    let mut session =
        OnnxSession::load(&case.model.path(&case.model.record.graph), &SessionOptions::default()).unwrap();
    let sequence = case.expected.sequence;
    let inputs: Vec<_> = case
        .expected
        .inputs
        .iter()
        .map(|(name, values)| {
            let values = values[rows.start * sequence..rows.end * sequence].to_vec();
            Tensor::new(name, &[rows.len(), sequence], TensorValues::Int64(values)).unwrap()
        })
        .collect();
    session.run(&inputs, &[]).unwrap()
}

fn floats(tensor: &Tensor) -> &[f32] {
    match &tensor.values {
        TensorValues::Fp32(values) => values,
        other => panic!("`{}` is {:?}", tensor.name, other.data_type()),
    }
}

/// Asserts that an fp32 export gives what is expected, for the batch and for each row of it alone.
pub(crate) fn agrees_in_fp32(case: &Case) {
    for output in run(case, 0..case.expected.batch) {
        let expected = &case.expected.outputs[&output.name];
        assert_eq!(output.shape, expected.shape, "{} {}", case.name, output.name);
        let scale = expected.values.iter().fold(0.0, |most: f32, value| most.max(value.abs()));
        let pairs = floats(&output).iter().zip(&expected.values);
        let difference = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / scale;
        assert!(difference <= FP32_TOLERANCE, "{} {}: {difference:e}", case.name, output.name);
    }
    for row in 0..case.expected.batch {
        for output in run(case, row..row + 1) {
            let expected = &case.expected.outputs[&output.name].values;
            let expected = &expected[row * floats(&output).len()..(row + 1) * floats(&output).len()];
            let difference = floats(&output).iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(difference <= 1e-4, "{} {} {row}: {difference:e}", case.name, output.name);
        }
    }
}

/// Asserts that an fp16 export gives about what is expected.
pub(crate) fn agrees_in_fp16(case: &Case) {
    for output in run(case, 0..case.expected.batch) {
        let expected = &case.expected.outputs[&output.name].values;
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        let found = floats(&output);
        let cosine = dot(found, expected) / (dot(found, found) * dot(expected, expected)).sqrt();
        assert!(cosine >= FP16_COSINE_FLOOR, "{} {}: {cosine}", case.name, output.name);
    }
}

#[test]
fn fp32_exports_agree_with_transformers() {
    let workspace = Workspace::empty();
    (0..CASES.len()).for_each(|index| agrees_in_fp32(&case(&workspace, index, Precision::Fp32)));
}

#[test]
fn fp16_exports_agree_with_transformers() {
    let workspace = Workspace::empty();
    (0..CASES.len()).for_each(|index| agrees_in_fp16(&case(&workspace, index, Precision::Fp16)));
}

#[test]
fn labels_are_those_of_the_configuration() {
    let workspace = Workspace::empty();
    assert_eq!(case(&workspace, 1, Precision::Fp32).model.record.labels, ["bad", "so so", "good"]);
    assert_eq!(case(&workspace, 5, Precision::Fp32).model.record.labels, ["LABEL_0", "LABEL_1"]);
    assert!(case(&workspace, 0, Precision::Fp32).model.record.labels.is_empty());
}

/// Builds an engine with one output, so that its worker reads the weights where the export has them.
pub(crate) fn build_engine(workspace: &Workspace, case: &Case, gpu: &str) {
    let range = |min, opt, max| ProfileRange { min, opt, max };
    let options = CompileOptions {
        gpu: GpuCatalogue::built_in().find(gpu).unwrap().clone(),
        builder: Builder::Rtx,
        profiles: vec![Profile { batch: range(1, 2, 4), sequence: Some(range(1, 8, 24)) }],
        outputs: vec![case.model.record.task.main_output().to_owned()],
        libraries: native().join("tensorrt-rtx"),
        library_version: "test".to_owned(),
        worker: Worker {
            program: env!("CARGO_BIN_EXE_planforge").into(),
            arguments: vec!["internal".to_owned(), "build-engine".to_owned()],
        },
        timeout: Duration::from_secs(120),
    };
    let engine = compile(&case.model, &options, &Cache::new(&workspace.path("cache")), &NoProgress).unwrap();
    assert_eq!(engine.record.outputs.len(), 1, "{}", case.name);
}

#[test]
fn engines_are_built_from_every_architecture() {
    let workspace = Workspace::empty();
    for index in 0..CASES.len() {
        for (gpu, precision) in [("t4", Precision::Fp16), ("l4", Precision::Fp32)] {
            build_engine(&workspace, &case(&workspace, index, precision), gpu);
        }
    }
}

#[test]
fn a_sequence_beyond_the_positions_of_roberta_is_refused() {
    let workspace = Workspace::empty();
    // 26 rows, of which those up to the padding token's number 1 belong to no token.
    assert_eq!(case(&workspace, 2, Precision::Fp32).model.record.max_sequence, Some(24));
}

#[test]
fn a_task_without_its_head_names_the_missing_tensor() {
    let workspace = Workspace::empty();
    for (name, tensor) in
        [("bert", "classifier.weight"), ("roberta", "classifier.dense.weight"), ("distilbert", "pre_classifier.weight")]
    {
        let options = ExportOptions { task: Task::TextClassification, precision: Precision::Fp32 };
        let error = export(&snapshot(name), options, &Cache::new(&workspace.path("cache")), &NoProgress).unwrap_err();
        assert_eq!(error.to_string(), format!("tensor `{tensor}` is missing from the checkpoint"));
    }
}
