//! planforge's packages and its backend in a real Triton Inference Server, by the calls that SageMaker makes.

mod answers;
mod archives;
mod lifecycle;
mod lints;
mod metrics;
mod refusals;
mod serving;
mod speed;

use crate::parity::{checkpoint, try_export};
use crate::support::{Workspace, triton_backend};
use planforge_core::{
    Cache, CachedArtifact, DataType, Dim, InferRequest, InferTensor, Model, ModelName, NoProgress, OnnxBackend,
    Precision, Profile, ProfileRange, RequestBody, Task, TensorData, TensorSpec, Variant,
};
use planforge_package::{PackageOptions, package};
use planforge_runtime::{OnnxSession, SessionOptions, Tensor, TensorValues, load_library};
use planforge_testkit::{Answer, FixtureCase, TritonOptions, TritonServer, isolated, native};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// Set where a server can be started, so that none of these tests may be skipped.
const REQUIRED: &str = "PLANFORGE_REQUIRE_TRITON";
/// Largest difference from ONNX Runtime's own output, relative to the largest value where that is above 1.
const TOLERANCE: f32 = 1e-6;
/// The largest batch of all packages here.
const MAX_BATCH: usize = 8;

/// Runs `body` against a server that has planforge's backend installed.
fn with_server(test: &str, body: impl FnOnce(&TritonServer)) {
    with_options(test, &TritonOptions::default(), body);
}

/// The same with further options.
fn with_options(test: &str, options: &TritonOptions, body: impl FnOnce(&TritonServer)) {
    with_own_server(test, options, |server| {
        body(&server);
        server.stop();
    });
}

/// The same for a body that ends the server itself.
fn with_own_server(test: &str, options: &TritonOptions, body: impl FnOnce(TritonServer)) {
    isolated(test, REQUIRED, || {
        let backends = tempfile::tempdir().unwrap();
        let installed = backends.path().join("planforge");
        fs_err::create_dir(&installed).unwrap();
        let link = |file: &Path, name: &str| std::os::unix::fs::symlink(file, installed.join(name)).unwrap();
        link(&triton_backend(), "libtriton_planforge.so");
        link(&native().join("onnxruntime/libonnxruntime.so"), "libonnxruntime.so");
        link(&native().join("tensorrt-rtx/libtensorrt_rtx.so.1"), "libtensorrt_rtx.so.1");
        let options = TritonOptions { backends: Some(backends.path().to_owned()), ..options.clone() };
        body(TritonServer::start(&options));
    });
}

/// A model exported and packaged.
struct Packaged {
    workspace: Workspace,
    model: CachedArtifact<Model>,
    archive: PathBuf,
}

impl Packaged {
    /// A checkpoint of `fixtures/models` for planforge's backend.
    fn fixture(name: &str, task: Task) -> Self {
        let workspace = Workspace::empty();
        let fixture = FixtureCase { task, ..checkpoint(name) };
        let model = try_export(&workspace, &fixture, Precision::Fp32).unwrap();
        let mut packaged = Self { workspace, model, archive: PathBuf::new() };
        let own = ModelName::try_from(name.to_owned()).unwrap();
        packaged.archive =
            packaged.packed(&PackageOptions { onnx_backend: OnnxBackend::Planforge, ..PackageOptions::new(&own) });
        packaged
    }

    /// The same in another form.
    fn packed(&self, options: &PackageOptions<'_>) -> PathBuf {
        let cache = Cache::new(&self.workspace.path("cache"));
        let variant = Variant::onnx(Precision::Fp32);
        let archive =
            package(options, &variant, &self.model, &[], &profiles(&self.model.record), &cache, &NoProgress).unwrap();
        archive.path(&archive.record.file)
    }

    /// ONNX Runtime over the export.
    fn session(&self) -> OnnxSession {
        load_library(&native().join("onnxruntime/libonnxruntime.so")).unwrap();
        OnnxSession::load(&self.model.path(&self.model.record.graph), &SessionOptions::default()).unwrap()
    }

    fn inputs(&self, batch: usize, sequence: usize, seed: usize) -> Vec<Tensor> {
        inputs(&self.model.record.inputs, (batch, sequence), seed)
    }
}

fn profiles(model: &Model) -> Vec<Profile> {
    let range = |max: u64| ProfileRange { min: 1, opt: 2, max };
    let is_text = model.inputs.iter().any(|input| input.dims.contains(&Dim::dynamic("sequence")));
    vec![Profile { batch: range(MAX_BATCH as u64), sequence: is_text.then(|| range(16)) }]
}

/// Inputs that differ from element to element and from seed to seed: tokens without padding, masks that end at
/// different places, numbers between -1 and 1.
fn inputs(specs: &[TensorSpec], (batch, sequence): (usize, usize), seed: usize) -> Vec<Tensor> {
    let input = |spec: &TensorSpec| {
        let size = |dim: &Dim| match dim {
            Dim::Fixed(size) => usize::try_from(*size).unwrap(),
            Dim::Dynamic(name) if name == "batch" => batch,
            Dim::Dynamic(_) => sequence,
        };
        let shape: Vec<usize> = spec.dims.iter().map(size).collect();
        let count = 0..shape.iter().product::<usize>();
        let mixed = |index: usize| (index * 7919 + seed * 104_729 + index / 5) % 997;
        let values = match (spec.name.as_str(), spec.data_type) {
            ("attention_mask", _) => TensorValues::Int64(
                count.map(|index| i64::from(index % sequence < sequence - (index / sequence) % 3)).collect(),
            ),
            ("token_type_ids", _) => TensorValues::Int64(count.map(|_| 0).collect()),
            (_, DataType::Int64) => TensorValues::Int64(count.map(|index| 4 + (mixed(index) % 20) as i64).collect()),
            _ => TensorValues::Fp32(count.map(|index| mixed(index) as f32 / 498.5 - 1.0).collect()),
        };
        Tensor::new(&spec.name, &shape, values).unwrap()
    };
    specs.iter().map(input).collect()
}

/// A request with these inputs, their elements as numbers.
fn request(inputs: &[Tensor]) -> InferRequest {
    let tensor = |input: &Tensor| InferTensor {
        name: input.name.clone(),
        shape: input.shape.iter().map(|&size| size as i64).collect(),
        datatype: input.data_type().kserve_name().to_owned(),
        parameters: Map::new(),
        data: TensorData(match &input.values {
            TensorValues::Fp32(values) => values.iter().map(|&value| json!(value)).collect(),
            TensorValues::Int64(values) => values.iter().map(|&value| json!(value)).collect(),
            TensorValues::Int32(values) => values.iter().map(|&value| json!(value)).collect(),
            other => panic!("no test sends {other:?} as numbers"),
        }),
    };
    let inputs = inputs.iter().map(tensor).collect();
    InferRequest { id: None, parameters: Map::new(), inputs, outputs: Vec::new() }
}

fn json_body(inputs: &[Tensor]) -> RequestBody {
    RequestBody::json(&request(inputs)).unwrap()
}

/// The same with raw elements both ways.
pub(crate) fn binary_body(inputs: &[Tensor]) -> RequestBody {
    let mut request = request(inputs);
    request.parameters.insert("binary_data_output".to_owned(), true.into());
    let raw: Vec<Vec<u8>> = inputs.iter().map(|input| input.view().bytes.to_vec()).collect();
    RequestBody::binary(request, &raw).unwrap()
}

fn invoke(server: &TritonServer, target_model: &str, body: &RequestBody) -> Answer {
    server.invoke(target_model, &body.content_type, &body.bytes)
}

/// Outputs of an answer in either form, by name. Only fp32 and int64 are looked at.
fn outputs(answer: &Answer) -> Vec<Tensor> {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let length = answer.content_type.rsplit_once("json-header-size=").map(|(_, length)| length.parse().unwrap());
    let (head, mut raw) = answer.body.split_at(length.unwrap_or(answer.body.len()));
    let head: Value = serde_json::from_slice(head).unwrap();
    let mut found = Vec::new();
    for output in head["outputs"].as_array().unwrap() {
        let shape: Vec<usize> = serde_json::from_value(output["shape"].clone()).unwrap();
        let is_float = output["datatype"] == "FP32";
        let values = match output["parameters"]["binary_data_size"].as_u64() {
            None if is_float => TensorValues::Fp32(serde_json::from_value(output["data"].clone()).unwrap()),
            None => TensorValues::Int64(serde_json::from_value(output["data"].clone()).unwrap()),
            Some(size) => {
                let (own, rest) = raw.split_at(usize::try_from(size).unwrap());
                raw = rest;
                let fp32 = || own.chunks_exact(4).map(|bytes| f32::from_ne_bytes(bytes.try_into().unwrap())).collect();
                let int64 = || own.chunks_exact(8).map(|bytes| i64::from_ne_bytes(bytes.try_into().unwrap())).collect();
                if is_float { TensorValues::Fp32(fp32()) } else { TensorValues::Int64(int64()) }
            }
        };
        found.push(Tensor::new(output["name"].as_str().unwrap(), &shape, values).unwrap());
    }
    found
}

/// Both have the same outputs, with values that agree to [`TOLERANCE`].
#[track_caller]
fn assert_close(what: &str, found: &[Tensor], expected: &[Tensor]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for wanted in expected {
        let own = found.iter().find(|output| output.name == wanted.name).unwrap();
        assert_eq!(own.shape, wanted.shape, "{what}: {}", wanted.name);
        let (TensorValues::Fp32(own), TensorValues::Fp32(wanted)) = (&own.values, &wanted.values) else {
            panic!("{what}: {} is not fp32", wanted.name);
        };
        let scale = wanted.iter().fold(1.0_f32, |most, value| most.max(value.abs()));
        let most = own.iter().zip(wanted).map(|(own, wanted)| (own - wanted).abs()).fold(0.0, f32::max);
        assert!(most <= TOLERANCE * scale, "{what}: differs by {most}");
    }
}
