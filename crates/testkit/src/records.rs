//! Records of small artifacts: a model, an engine, and artifacts of given files.

use planforge_core::{
    ArtifactFile, Builder, BuilderFigures, BuilderOptions, CachedArtifact, DataType, Dim, Engine, EngineHeader, Model,
    ModelFormat, ModelName, Precision, Profile, ProfileRange, Task, TensorSpec, digest_bytes,
};
use std::path::Path;
use std::time::Duration;

/// The model name `tiny`.
///
/// # Panics
/// Never.
#[must_use]
pub fn model_name() -> ModelName {
    ModelName::try_from("tiny".to_owned()).expect("it is valid")
}

/// One profile: batches of 1 to 8 of 1 to 16 tokens.
#[must_use]
pub fn profiles() -> Vec<Profile> {
    let batch = ProfileRange { min: 1, opt: 4, max: 8 };
    vec![Profile { batch, sequence: Some(ProfileRange { min: 1, opt: 8, max: 16 }) }]
}

fn inputs() -> Vec<TensorSpec> {
    let dims = || vec![Dim::dynamic("batch"), Dim::dynamic("sequence")];
    vec![TensorSpec::new("ids", DataType::Int64, dims()), TensorSpec::new("mask", DataType::Int64, dims())]
}

fn outputs() -> Vec<TensorSpec> {
    vec![
        TensorSpec::new("sums", DataType::Fp32, vec![Dim::dynamic("batch"), Dim::Fixed(4)]),
        TensorSpec::new("tokens", DataType::Int64, vec![Dim::dynamic("batch")]),
    ]
}

/// The model of `fixtures/tiny-onnx/embed`.
#[must_use]
pub fn model_record() -> Model {
    Model {
        architecture: "embed".to_owned(),
        task: Task::FeatureExtraction,
        precision: Precision::Fp32,
        format: ModelFormat::Onnx,
        graph: "graph.onnx".to_owned(),
        weights: vec!["model.safetensors".to_owned()],
        opset: Some(20),
        inputs: inputs(),
        outputs: outputs(),
        parameter_count: 64,
        weight_byte_count: 256,
        max_sequence: None,
        unused_tensors: Vec::new(),
        keep_fp32: Vec::new(),
        prebuilt: false,
        labels: Vec::new(),
    }
}

/// An fp16 engine of [`model_record`] for an L4.
///
/// # Panics
/// Never.
#[must_use]
pub fn engine_record() -> Engine {
    Engine {
        gpu: "l4".to_owned(),
        gpus: vec!["l4".to_owned()],
        compute_capabilities: vec!["8.9".parse().expect("it is valid")],
        precision: Precision::Fp16,
        builder: Builder::Rtx,
        builder_options: BuilderOptions::default(),
        profiles: profiles(),
        plan: "engine.plan".to_owned(),
        log: "build.log".to_owned(),
        weights: None,
        graph: None,
        header: EngineHeader {
            version: "1.7.1.116".to_owned(),
            compute_capabilities: vec!["8.9".parse().expect("it is valid")],
        },
        inputs: inputs(),
        outputs: outputs(),
        layer_counts: std::collections::BTreeMap::new(),
        layer_count: 1,
        figures: BuilderFigures::default(),
        build_peak_byte_count: 1,
        build_duration: Duration::ZERO,
        builder_duration: Duration::ZERO,
    }
}

/// An artifact of `files` in `folder`.
///
/// # Panics
/// When a file cannot be written.
pub fn stored<T>(folder: &Path, record: T, files: &[(&str, &[u8])]) -> CachedArtifact<T> {
    fs_err::create_dir_all(folder).expect("the folder can be made");
    let files = files
        .iter()
        .map(|(path, bytes)| {
            fs_err::write(folder.join(path), bytes).expect("the file can be written");
            ArtifactFile { path: (*path).to_owned(), byte_count: bytes.len() as u64, sha256: digest_bytes(bytes) }
        })
        .collect();
    CachedArtifact { directory: folder.to_owned(), record, files, cache_hit: false, elapsed: Duration::ZERO }
}
