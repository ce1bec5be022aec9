//! bf16 from the pipeline file to packages. ONNX Runtime has no bf16 arithmetic on the CPU, so the export is run there as a graph
//! that rounds what it computes in binary32; engines are built and not run.

use crate::parity::{
    BF16_COSINE_FLOOR, build_engine, case, cases, checkpoints, cosine, exported, floats, relative_difference, run,
};
use crate::support::{Hosted, Workspace};
use planforge_core::Precision;
use planforge_runtime::{OnnxSession, SessionOptions, load_library};
use planforge_testkit::native;
use serde_json::{Value, json};

/// Least difference of a bf16 output, whose values are rounded to 8 bits, relative to the largest value of the output.
const BF16_LEAST_DIFFERENCE: f64 = 1e-4;

/// The tiny model in fp32 and bf16.
fn tiny() -> Workspace {
    let workspace = Workspace::tiny();
    workspace.edit("tiny.toml", "[\"fp32\", \"fp16\"]", "[\"fp32\", \"bf16\"]");
    workspace
}

/// The entry of a list of the report whose key has this value.
fn entry<'a>(list: &'a Value, key: &str, value: &str) -> &'a Value {
    list.as_array().unwrap().iter().find(|entry| entry[key] == value).unwrap()
}

/// How many layers of the engine of a precision give values of each type, according to its record in the cache.
fn layer_counts(workspace: &Workspace, precision: &str) -> Value {
    let cache = "planforge-out/.cache/engines";
    let records = workspace.files(cache).into_iter().filter(|file| file.ends_with("record.json"));
    let read = |file: String| fs_err::read(workspace.path(&format!("{cache}/{file}"))).unwrap();
    let mut records = records.map(|file| serde_json::from_slice::<Value>(&read(file)).unwrap()["record"].clone());
    records.find(|record| record["precision"] == precision).unwrap()["layer_counts"].clone()
}

/// Digits are lost in each, as many as bfloat16 has fewer.
#[test]
fn bf16_exports_agree_with_the_references() {
    let workspace = Workspace::empty();
    for case in cases(&workspace, Precision::Bf16) {
        for output in run(&case, 0..case.batch()) {
            let (name, expected) = (&case.name, &case.expected.outputs[&output.name].values);
            let similarity = cosine(floats(&output), expected);
            assert!(similarity >= BF16_COSINE_FLOOR, "{name} {}: {similarity}", output.name);
            let difference = relative_difference(floats(&output), expected);
            assert!((BF16_LEAST_DIFFERENCE..1.0).contains(&difference), "{name} {}: {difference:e}", output.name);
        }
    }
}

/// ONNX Runtime itself refuses bf16, so the emulation is needed.
#[test]
fn onnx_runtime_has_no_bf16_arithmetic_on_the_cpu() {
    let workspace = Workspace::empty();
    load_library(&native().join("onnxruntime/libonnxruntime.so")).unwrap();
    let model = case(&workspace, "bert", Precision::Bf16).model;
    let error = OnnxSession::load(&model.path("model.onnx"), &SessionOptions::default()).unwrap_err();
    let words = std::error::Error::source(&error).unwrap().to_string();
    assert!(words.contains("Could not find an implementation for"), "{words}");
}

#[test]
fn weights_that_are_stored_in_bf16_stay_where_they_are() {
    let workspace = Workspace::empty();
    let weights = |name| case(&workspace, name, Precision::Bf16).model.record.weights;
    assert_eq!(weights("bert-bfloat"), ["model.safetensors"]);
    assert_eq!(weights("bert"), ["model.bf16.safetensors"]);
}

/// In fp32 and fp16, engines of all checkpoints are built.
#[test]
fn bf16_engines_are_built_from_every_architecture() {
    let workspace = Workspace::empty();
    for fixture in checkpoints().iter().filter(|fixture| fixture.representative) {
        build_engine(&workspace, &exported(&workspace, fixture, Precision::Bf16), "a10g,l4");
    }
}

#[test]
fn a_bf16_engine_has_bf16_layers_and_is_for_gpus_that_multiply_in_it() {
    let workspace = tiny();
    workspace.edit("tiny.toml", "[\"fp32\", \"bf16\"]", "[\"fp16\", \"bf16\"]");
    let report = workspace.json(&["package", "tiny.toml"]);
    let refusal = "unsupported GPU `t4`: TensorRT-RTX has no bf16 matrix products for compute capability 7.5; use fp16";
    assert_eq!(report["skipped"], json!([refusal]));
    let engine = entry(&report["engines"], "precision", "bf16");
    assert_eq!(engine["gpu"], "l4");
    let layers = layer_counts(&workspace, "bf16");
    assert!(
        layers["BF16"].as_u64().unwrap() > layers["FP32"].as_u64().unwrap() && layers["FP16"].is_null(),
        "{layers}"
    );
    let model = entry(&report["models"], "precision", "bf16");
    let half = entry(&report["models"], "precision", "fp16");
    assert_eq!(model["weight_byte_count"], half["weight_byte_count"]);
    let check = entry(&report["checks"], "subject", "onnx-bf16");
    assert_eq!((&check["reference"], &check["passed"]), (&json!("onnx-fp32"), &json!(true)));
    // 8 bits are fewer than 11, and it shows.
    let half = entry(&report["checks"], "subject", "onnx-fp16");
    let error = |check: &Value| check["max_absolute_error"].as_f64().unwrap();
    assert!(error(check) > 2.0 * error(half) && error(half) > 0.0, "{check} {half}");
    assert!(report["notes"].to_string().contains("onnx-bf16 was run as a graph"), "{}", report["notes"]);

    let files = workspace.files("planforge-out/tiny");
    for file in ["export/onnx-bf16/model.bf16.safetensors", "archives/onnx-bf16/tiny.tar.gz"] {
        assert!(files.iter().any(|known| known == file), "{file} is not among {files:?}");
    }
    let archive = "planforge-out/tiny/archives/tensorrt-bf16-l4/tiny.tar.gz";
    workspace.planforge(&["lint", archive, "planforge-out/tiny/archives/onnx-bf16/tiny.tar.gz"]).succeeds();
    let plan = workspace.json(&["inspect", "planforge-out/tiny/engines/tensorrt-bf16-l4/model.plan"]);
    assert_eq!(plan["compute_capabilities"], json!(["8.9"]));
    let rows = workspace.json(&["plan", "tiny.toml", "--gpu", "a10g", "--precision", "bf16"]);
    assert!(rows.to_string().contains("tensorrt-bf16-a10g"), "{rows}");

    workspace.planforge(&["compile", "tiny.toml", "--gpu", "t4", "--precision", "bf16"]).fails(2, &[refusal]);
    workspace.planforge(&["compile", "tiny.toml", "--precision", "bf8"]).fails(2, &["expected fp32, fp16 or bf16"]);
}

#[test]
fn values_are_kept_in_fp32_by_name_and_not_by_their_range() {
    let workspace = tiny();
    workspace.edit("tiny.toml", "precisions", "keep_fp32 = [\"encoder.layer.0.output\"]\nprecisions");
    let report = workspace.json(&["compile", "tiny.toml", "--gpu", "l4", "--precision", "bf16"]);
    let model = entry(&report["models"], "precision", "bf16");
    let wide: Vec<_> = model["wide_values"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    assert!(wide.contains(&"encoder.layer.0.output.dense.product"), "{wide:?}");
    assert!(wide.iter().all(|name| name.starts_with("encoder.layer.0.output.")), "{wide:?}");
    assert!(!report["notes"].to_string().contains("would not hold"), "{}", report["notes"]);
}

#[test]
fn the_local_endpoint_serves_another_precision_or_says_why_it_does_not() {
    let workspace = tiny();
    workspace.edit("tiny.toml", "[\"fp32\", \"bf16\"]", "[\"bf16\", \"fp32\"]");
    workspace.package_without_engines("[\"onnx\"]");
    let hosted = Hosted::start(&workspace, "tiny.toml");
    let body = json!({ "inputs": [
        { "name": "input_ids", "datatype": "INT64", "shape": [1, 4], "data": [2, 5, 6, 3] },
        { "name": "attention_mask", "datatype": "INT64", "shape": [1, 4], "data": [1, 1, 1, 1] },
        { "name": "token_type_ids", "datatype": "INT64", "shape": [1, 4], "data": [0, 0, 0, 0] },
    ] });
    let (status, answer) = hosted.invoke("tiny", "tiny-v0.tar.gz", &body);
    assert_eq!(status, 200, "{answer}");
    hosted.stop();
    let infer = |precision: &str| {
        let answer = workspace.json(&["infer", "tiny.toml", "--text", "the cat sat", "--precision", precision]);
        serde_json::from_value::<Vec<Vec<f64>>>(answer["values"].clone()).unwrap().concat()
    };
    let (full, rounded) = (infer("fp32"), infer("bf16"));
    let largest = full.iter().zip(&rounded).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!((1e-4..0.1).contains(&largest), "{largest}");

    workspace.edit("tiny.toml", "[load]", "[host]\nvariant = \"onnx-bf16\"\n[load]");
    let words = ["key `host.variant`", "where ONNX Runtime has no bf16; `onnx-bf16` needs a GPU"];
    workspace.planforge(&["run", "tiny.toml"]).fails(2, &words);
    workspace.edit("tiny.toml", "[host]\nvariant = \"onnx-bf16\"\n", "");
    let report = workspace.json(&["run", "tiny.toml", "--precision", "bf16"]);
    let words =
        "nothing was served: the local endpoint runs ONNX packages in fp32 and fp16, and this pipeline makes none";
    assert!(report["notes"].to_string().contains(words), "{}", report["notes"]);
}
