//! Every architecture against what timm and transformers compute (scripts/reference/tiny-models.py).

use crate::support::Workspace;
use planforge_core::{
    Builder, BuilderOptions, Cache, CachedArtifact, DataType, DigestCache, Engine, EngineTarget, GpuCatalogue, Model,
    NoProgress, Precision, Profile, ProfileRange, Task, TensorSpec,
};
use planforge_engine::{
    BuildLimits, CompileJob, CompileOptions, EngineWorker, ExportOptions, compile_all, emulate_bf16, export,
};
use planforge_runtime::{OnnxSession, SessionOptions, Tensor, TensorValues, load_library};
use planforge_testkit::{CaseKind, FixtureCase, fixture_cases, native};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Largest difference of an fp32 output, relative to the largest value of the output.
pub(crate) const FP32_TOLERANCE: f64 = 1e-5;
/// The same where a row of the batch is run alone, without padding.
const PADDING_TOLERANCE: f64 = 1e-4;
/// Smallest cosine similarity of an fp16 output.
pub(crate) const FP16_COSINE_FLOOR: f64 = 0.999;
/// The same of a bf16 output.
pub(crate) const BF16_COSINE_FLOOR: f64 = 0.999;

/// `expected.json`.
#[derive(Deserialize)]
pub(crate) struct Expected {
    pub(crate) inputs: BTreeMap<String, Recorded>,
    pub(crate) outputs: BTreeMap<String, Recorded>,
}

/// A tensor of it.
#[derive(Deserialize)]
pub(crate) struct Recorded {
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Vec<f64>,
}

/// A checkpoint with expected values, exported.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) expected: Expected,
    pub(crate) model: CachedArtifact<Model>,
}

/// The checkpoints in safetensors.
pub(crate) fn checkpoints() -> Vec<FixtureCase> {
    fixture_cases(CaseKind::Checkpoint)
}

/// The checkpoint of this name.
pub(crate) fn checkpoint(name: &str) -> FixtureCase {
    let found = checkpoints().into_iter().find(|fixture| fixture.name == name);
    found.unwrap_or_else(|| panic!("no fixture `{name}`"))
}

/// The folder of the checkpoint of this name.
pub(crate) fn folder(name: &str) -> PathBuf {
    checkpoint(name).folder
}

pub(crate) fn try_export(
    workspace: &Workspace,
    fixture: &FixtureCase,
    precision: Precision,
) -> planforge_engine::Result<CachedArtifact<Model>> {
    let options = ExportOptions { image_size: fixture.image_size, ..ExportOptions::new(fixture.task, precision) };
    let snapshot = planforge_hub::local_snapshot(&fixture.folder, None, &DigestCache::default(), &NoProgress).unwrap();
    export(&snapshot, &options, &Cache::new(&workspace.path("cache")), &NoProgress)
}

pub(crate) fn case(workspace: &Workspace, name: &str, precision: Precision) -> Case {
    exported(workspace, &checkpoint(name), precision)
}

/// Exports the checkpoint, which has `expected.json` in its folder.
pub(crate) fn exported(workspace: &Workspace, fixture: &FixtureCase, precision: Precision) -> Case {
    let model = try_export(workspace, fixture, precision).unwrap();
    let names: Vec<_> = model.record.outputs.iter().map(|output| output.name.as_str()).collect();
    assert_eq!(names, fixture.outputs, "{}", fixture.name);
    let expected = serde_json::from_slice(&fs_err::read(fixture.folder.join("expected.json")).unwrap()).unwrap();
    Case { name: fixture.name.clone(), expected, model }
}

pub(crate) fn cases(workspace: &Workspace, precision: Precision) -> impl Iterator<Item = Case> {
    checkpoints().into_iter().map(move |fixture| exported(workspace, &fixture, precision))
}

impl Case {
    pub(crate) fn batch(&self) -> usize {
        self.expected.inputs.values().next().unwrap().shape[0]
    }

    /// Rows of the recorded batch, in the order of the model's inputs.
    pub(crate) fn inputs(&self, rows: &std::ops::Range<usize>) -> Vec<Tensor> {
        let input = |spec: &TensorSpec| {
            let given = &self.expected.inputs[&spec.name];
            let row = given.values.len() / given.shape[0];
            let values = given.values[rows.start * row..rows.end * row].iter();
            let shape = [&[rows.len()], &given.shape[1..]].concat();
            let values = match spec.data_type {
                DataType::Int64 => TensorValues::Int64(values.map(|&value| value as i64).collect()),
                _ => TensorValues::Fp32(values.map(|&value| value as f32).collect()),
            };
            Tensor::new(&spec.name, &shape, values).unwrap()
        };
        self.model.record.inputs.iter().map(input).collect()
    }
}

/// Runs the exported graph.
pub(crate) fn run_on(model: &CachedArtifact<Model>, inputs: &[Tensor]) -> Vec<Tensor> {
    run_graph(&model.path(&model.record.graph), model.record.precision, inputs)
}

/// In bf16, which ONNX Runtime does not compute in on the CPU, each operator runs in binary32 and has its result rounded.
fn run_graph(graph: &Path, precision: Precision, inputs: &[Tensor]) -> Vec<Tensor> {
    load_library(&native().join("onnxruntime/libonnxruntime.so")).unwrap();
    let options = SessionOptions { intra_op_threads: 2, ..SessionOptions::default() };
    let session = match precision {
        Precision::Bf16 => OnnxSession::load_instead(graph, &emulate_bf16(graph).unwrap(), &options),
        Precision::Fp32 | Precision::Fp16 => OnnxSession::load(graph, &options),
    };
    session.unwrap().run(inputs, &[]).unwrap()
}

/// Runs the exported graph on rows of the batch.
pub(crate) fn run(case: &Case, rows: std::ops::Range<usize>) -> Vec<Tensor> {
    run_on(&case.model, &case.inputs(&rows))
}

pub(crate) fn floats(tensor: &Tensor) -> &[f32] {
    match &tensor.values {
        TensorValues::Fp32(values) => values,
        other => panic!("`{}` is {:?}", tensor.name, other.data_type()),
    }
}

/// Largest difference, relative to the largest expected value.
pub(crate) fn relative_difference(found: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let scale = expected.iter().fold(0.0, |most: f64, value| most.max(value.abs()));
    found.iter().zip(expected).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max) / scale
}

/// Cosine similarity.
pub(crate) fn cosine(found: &[f32], expected: &[f64]) -> f64 {
    let found: Vec<f64> = found.iter().copied().map(f64::from).collect();
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    dot(&found, expected) / (dot(&found, &found) * dot(expected, expected)).sqrt()
}

/// Asserts that an fp32 export gives what is expected, for the batch and for each row of it alone.
pub(crate) fn agrees_in_fp32(case: &Case) {
    for output in run(case, 0..case.batch()) {
        let expected = &case.expected.outputs[&output.name];
        assert_eq!(output.shape, expected.shape, "{} {}", case.name, output.name);
        let difference = relative_difference(floats(&output), &expected.values);
        assert!(difference <= FP32_TOLERANCE, "{} {}: {difference:e}", case.name, output.name);
    }
    for row in 0..case.batch() {
        for output in run(case, row..row + 1) {
            let count = floats(&output).len();
            let expected = &case.expected.outputs[&output.name].values[row * count..(row + 1) * count];
            let difference = relative_difference(floats(&output), expected);
            assert!(difference <= PADDING_TOLERANCE, "{} {} {row}: {difference:e}", case.name, output.name);
        }
    }
}

/// Asserts that an fp16 export gives about what is expected.
pub(crate) fn agrees_in_fp16(case: &Case) {
    for output in run(case, 0..case.batch()) {
        let expected = &case.expected.outputs[&output.name].values;
        let similarity = cosine(floats(&output), expected);
        assert!(similarity >= FP16_COSINE_FLOOR, "{} {}: {similarity}", case.name, output.name);
    }
}

#[test]
fn fp32_exports_agree_with_the_references() {
    let workspace = Workspace::empty();
    cases(&workspace, Precision::Fp32).for_each(|case| agrees_in_fp32(&case));
}

#[test]
fn fp16_exports_agree_with_the_references() {
    let workspace = Workspace::empty();
    cases(&workspace, Precision::Fp16).for_each(|case| agrees_in_fp16(&case));
}

/// A file of its own gives what a graph over the checkpoint's files gives, to the bit.
#[test]
fn self_contained_exports_are_the_same_models() {
    let workspace = Workspace::empty();
    for (name, precision) in [
        ("bert", Precision::Fp32),
        ("roberta", Precision::Fp16),
        ("timm-resnet18", Precision::Fp16),
        ("vit", Precision::Bf16),
    ] {
        let case = case(&workspace, name, precision);
        let folder = checkpoint(name).folder;
        let snapshot = planforge_hub::local_snapshot(&folder, None, &DigestCache::default(), &NoProgress).unwrap();
        let options = ExportOptions { self_contained: true, ..ExportOptions::new(case.model.record.task, precision) };
        let model = export(&snapshot, &options, &Cache::new(&workspace.path("cache")), &NoProgress).unwrap();
        assert_eq!(model.files.len(), 1, "{name}");
        assert!(model.record.weights.is_empty());
        assert_eq!(model.record.weight_byte_count, case.model.record.weight_byte_count);
        let alone = workspace.path(&format!("{name}.onnx"));
        fs_err::copy(model.path("model.onnx"), &alone).unwrap();
        let inputs = case.inputs(&(0..case.batch()));
        for (one, other) in run_graph(&alone, precision, &inputs).iter().zip(run_on(&case.model, &inputs)) {
            assert_eq!(floats(one), floats(&other), "{name}");
        }
        engine_for(&workspace, &model, "l4", 24);
    }
}

#[test]
fn labels_are_those_of_the_configuration() {
    let workspace = Workspace::empty();
    let labels = |name| case(&workspace, name, Precision::Fp32).model.record.labels;
    assert_eq!(labels("bert-classifier"), ["bad", "so so", "good"]);
    assert_eq!(labels("distilbert-classifier"), ["LABEL_0", "LABEL_1"]);
    assert_eq!(labels("vit"), ["bad", "so so", "good"]);
    // Three classes are not ImageNet's, in spite of the tag.
    assert!(labels("timm-vit").is_empty());
    assert!(labels("bert").is_empty());
}

/// Every family's parameters under both namings; statistics of BatchNorm are none.
#[test]
fn parameters_are_counted_once() {
    let workspace = Workspace::empty();
    let count = |name| case(&workspace, name, Precision::Fp32).model.record.parameter_count;
    for (name, expected) in [("bert-masked", 5_384), ("timm-resnet18", 15_131), ("vit", 7_379)] {
        assert_eq!(count(name), expected, "{name}");
    }
}

/// Builds an engine with the outputs that the task is about.
pub(crate) fn build_engine(workspace: &Workspace, case: &Case, gpu: &str) {
    let longest = case.model.record.max_sequence.map_or(24, |longest| longest.min(24));
    let engine = engine_for(workspace, &case.model, gpu, longest);
    assert_eq!(engine.record.outputs.len(), case.model.record.task.main_outputs().len(), "{}", case.name);
}

/// Builds an engine for batches up to 4, of texts up to `max_sequence`; one for several GPU types, separated by commas.
pub(crate) fn engine_for(
    workspace: &Workspace,
    model: &CachedArtifact<Model>,
    gpus: &str,
    max_sequence: u64,
) -> CachedArtifact<Engine> {
    let range = |min, opt, max| ProfileRange { min, opt, max };
    let task = model.record.task;
    let catalogue = GpuCatalogue::built_in();
    let found: Vec<_> = gpus.split(',').map(|gpu| catalogue.find(gpu).unwrap().clone()).collect();
    let sequence = (!task.is_over_images()).then(|| range(1, max_sequence / 2, max_sequence));
    let options = CompileOptions {
        subject: gpus.to_owned(),
        target: match found.as_slice() {
            [gpu] => EngineTarget::single(model.record.precision, gpu),
            _ => EngineTarget::multi_target(model.record.precision, found),
        },
        builder: Builder::Rtx,
        builder_options: BuilderOptions::default(),
        profiles: vec![Profile { batch: range(1, 2, 4), sequence }],
        outputs: task.main_outputs().iter().map(|&name| name.to_owned()).collect(),
        libraries: native().join("tensorrt-rtx"),
        trtexec: None,
        library_version: "test".to_owned(),
        timeout: Duration::from_secs(120),
    };
    let limits = BuildLimits { memory_byte_count: 16 << 30, processes: 1 };
    let jobs = [CompileJob { model, options }];
    let worker = EngineWorker::new(env!("CARGO_BIN_EXE_planforge-engine-worker").into());
    compile_all(&jobs, &worker, limits, &Cache::new(&workspace.path("cache")), &NoProgress).unwrap().remove(0)
}

fn engines_are_built(takes: impl Fn(&FixtureCase) -> bool) {
    let workspace = Workspace::empty();
    for fixture in checkpoints().iter().filter(|fixture| takes(fixture)) {
        for (gpu, precision) in [("t4", Precision::Fp16), ("l4", Precision::Fp32)] {
            build_engine(&workspace, &exported(&workspace, fixture, precision), gpu);
        }
    }
}

#[test]
fn engines_are_built_from_every_architecture_over_texts() {
    engines_are_built(|fixture| !fixture.task.is_over_images());
}

#[test]
fn engines_are_built_from_every_architecture_over_images() {
    engines_are_built(|fixture| fixture.task.is_over_images());
}

#[test]
fn a_sequence_beyond_the_positions_of_roberta_and_mpnet_is_refused() {
    let workspace = Workspace::empty();
    // 26 rows, of which those up to the padding token's number 1 belong to no token.
    for name in ["roberta", "mpnet"] {
        assert_eq!(case(&workspace, name, Precision::Fp32).model.record.max_sequence, Some(24));
    }
}

/// A configuration may name any length; nothing is made for it before a tensor of that length is found.
#[test]
fn an_absurd_length_is_found_out_by_the_position_table() {
    let workspace = Workspace::empty();
    let original = checkpoint("mpnet");
    let copy = FixtureCase { folder: workspace.path("mpnet"), ..original.clone() };
    fs_err::create_dir(&copy.folder).unwrap();
    for file in ["config.json", "model.safetensors"] {
        fs_err::copy(original.folder.join(file), copy.folder.join(file)).unwrap();
    }
    let keys = ["\"max_position_embeddings\": 26", "\"max_position_embeddings\": 2000000000000"];
    workspace.edit("mpnet/config.json", keys[0], keys[1]);
    let error = try_export(&workspace, &copy, Precision::Fp32).unwrap_err();
    let words =
        "invalid shape of tensor `embeddings.position_embeddings.weight`: [26, 16]; expected [2000000000000, 16]";
    assert_eq!(error.to_string(), words);
    workspace.edit("mpnet/config.json", keys[1], keys[0]);
    workspace.edit("mpnet/config.json", "attention_num_buckets\": 32", "attention_num_buckets\": 31");
    let error = try_export(&workspace, &copy, Precision::Fp32).unwrap_err();
    assert!(error.to_string().contains("`relative_attention_num_buckets` is 31, expected at least 32"), "{error}");
}

#[test]
fn a_task_without_its_head_names_the_missing_tensor() {
    let workspace = Workspace::empty();
    for (name, tensor) in
        [("bert", "classifier.weight"), ("roberta", "classifier.dense.weight"), ("distilbert", "pre_classifier.weight")]
    {
        let fixture = FixtureCase { task: Task::TextClassification, ..checkpoint(name) };
        let error = try_export(&workspace, &fixture, Precision::Fp32).unwrap_err();
        let start = format!("missing tensor in the checkpoint: `{tensor}`; ");
        assert!(error.to_string().starts_with(&start), "{error}");
    }
}
