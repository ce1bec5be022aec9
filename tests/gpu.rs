//! Engines on a GPU of this machine, and the errors on a machine without one.

use crate::support::Workspace;
use planforge_core::{ComputeCapability, DataType};
use planforge_runtime::{
    EngineModel, EngineSession, ExecutionOptions, KernelSpecialization, OnnxSession, SessionOptions, Tensor,
    TensorValues, load_library,
};
use planforge_tensorrt::{Libraries, local_gpus};
use planforge_testkit::{TinyBert, native};
use serde_json::{Value, json};
use std::path::PathBuf;

/// With this variable set, tests that need a GPU fail where there is none that will do.
const REQUIRED: &str = "PLANFORGE_REQUIRE_GPU";
/// What TensorRT-RTX builds for.
const BUILT_FOR: [&str; 6] = ["7.5", "8.0", "8.6", "8.9", "12.0", "12.1"];
/// Largest difference of an fp16 engine from ONNX Runtime in a vector of length 1.
pub(crate) const HALF_TOLERANCE: f32 = 0.02;

/// Prints that a test was skipped.
#[expect(clippy::print_stderr, reason = "a skipped test prints why")]
fn skipped(test: &str, reason: &str) {
    eprintln!("SKIPPED {test}: {reason}");
}

/// Whether there is a GPU to test on; else prints that `test` was skipped.
pub(crate) fn has_gpu(test: &str) -> bool {
    let gpus = local_gpus().unwrap();
    if gpus.first().is_some_and(|gpu| BUILT_FOR.contains(&gpu.compute_capability.to_string().as_str())) {
        return true;
    }
    let reason = match gpus.first() {
        Some(gpu) => format!("TensorRT-RTX builds nothing for {} {}", gpu.product, gpu.compute_capability),
        None => "there is no GPU".to_owned(),
    };
    assert!(std::env::var_os(REQUIRED).is_none(), "{REQUIRED} is set, but {reason}");
    skipped(test, &reason);
    false
}

fn library() -> PathBuf {
    Libraries::in_folder(&native().join("tensorrt-rtx")).builder
}

/// A workspace with fp16 engines for the GPUs of this machine, the report, and the first engine.
fn built_for_this_machine() -> (Workspace, Value, PathBuf) {
    let workspace = Workspace::tiny();
    let report = workspace.json(&["compile", "tiny.toml", "--gpu", "auto", "--precision", "fp16"]);
    let gpu = report["engines"][0]["gpu"].as_str().unwrap().to_owned();
    let plan = workspace.path(&format!("planforge-out/tiny/engines/tensorrt-fp16-{gpu}/model.plan"));
    (workspace, report, plan)
}

#[test]
fn a_report_says_whether_engines_were_run() {
    let workspace = Workspace::tiny();
    let report = workspace.json(&["compile", "tiny.toml", "--gpu", "l4", "--precision", "fp16"]);
    let run = &report["engines"][0]["run"];
    let has_l4 = local_gpus().unwrap().iter().any(|gpu| gpu.compute_capability == ComputeCapability::new(8, 9));
    if has_l4 {
        assert!(run["on"].is_string(), "{run}");
        return;
    }
    let reason = run["not_run"].as_str().unwrap();
    if planforge_tensorrt::has_cuda_driver() {
        assert!(reason.starts_with("it was built for compute capability 8.9, and here is "), "{reason}");
    } else {
        assert_eq!(reason, "there is no CUDA driver here");
    }
    let ended = workspace.planforge(&["compile", "tiny.toml", "--gpu", "l4", "--precision", "fp16"]);
    ended.succeeds();
    assert!(ended.stderr.contains(&format!("not run: {reason}")), "{}", ended.stderr);
}

#[test]
fn bench_engine_says_what_is_wrong_with_a_file_and_what_is_missing() {
    let workspace = Workspace::tiny();
    workspace.planforge(&["bench-engine", "nowhere.plan"]).fails(1, &["nowhere.plan"]);
    workspace.write("model.plan", &"text".repeat(100));
    workspace.planforge(&["bench-engine", "tiny.toml"]).fails(2, &["`tiny.toml` is not a TensorRT-RTX engine"]);
    workspace.write("short.plan", "short");
    workspace.planforge(&["bench-engine", "short.plan"]).fails(2, &["it does not begin like one"]);
    for wrong in [["--seconds", "-1"], ["--batch", "0"], ["--shape", "x=0"], ["--streams", "0"]] {
        let ended = workspace.planforge(&["bench-engine", "model.plan", &format!("{}={}", wrong[0], wrong[1])]);
        ended.fails(2, &[wrong[0]]);
    }
    workspace.json(&["compile", "tiny.toml", "--gpu", "l4", "--precision", "fp16"]);
    if planforge_tensorrt::has_cuda_driver() {
        skipped("bench-engine without a driver", "there is a CUDA driver");
        return;
    }
    let plan = "planforge-out/tiny/engines/tensorrt-fp16-l4/model.plan";
    let words =
        ["there is no CUDA driver here", "hint: engines are built anywhere, and run on a machine with an NVIDIA GPU"];
    workspace.planforge(&["bench-engine", plan]).fails(3, &words);
}

#[test]
fn engines_are_run_and_compared_where_they_are_built() {
    if !has_gpu("engines_are_run_and_compared_where_they_are_built") {
        return;
    }
    let (workspace, report, _) = built_for_this_machine();
    assert!(report["engines"][0]["run"]["on"].is_string(), "{}", report["engines"]);
    let checks = |report: &Value| -> Vec<Value> {
        let of_engines = |check: &&Value| check["subject"].as_str().unwrap().starts_with("tensorrt-");
        report["checks"].as_array().unwrap().iter().filter(of_engines).cloned().collect()
    };
    let found = checks(&report);
    assert!(!found.is_empty() && found.iter().all(|check| check["passed"] == json!(true)), "{found:?}");
    assert_eq!(found[0]["reference"], "onnx-fp16 on ONNX Runtime");
    let again = workspace.json(&["compile", "tiny.toml", "--gpu", "auto", "--precision", "fp16"]);
    assert_eq!(checks(&again), found);
}

/// Tokens for each input, of this batch and length.
fn tokens(session: &OnnxSession, batch: usize, sequence: usize) -> Vec<Tensor> {
    let values = |name: &str| {
        let value = |index: usize| match name {
            "input_ids" => (index * 7 % 20) as i64,
            "attention_mask" => 1,
            _ => 0,
        };
        TensorValues::Int64((0..batch * sequence).map(value).collect())
    };
    let tensor = |name: &str| Tensor::new(name, &[batch, sequence], values(name)).unwrap();
    session.inputs().iter().map(|input| tensor(&input.name)).collect()
}

fn floats(tensor: &Tensor) -> &[f32] {
    let TensorValues::Fp32(values) = &tensor.values else { panic!("{tensor:?}") };
    values
}

fn assert_agrees(session: &mut EngineSession, onnx: &mut OnnxSession, (batch, sequence): (usize, usize)) {
    let inputs = tokens(onnx, batch, sequence);
    let found = session.run(&inputs, &[]).unwrap();
    for output in &found {
        let expected = onnx.run(&inputs, std::slice::from_ref(&output.name)).unwrap().remove(0);
        assert_eq!(output.shape, expected.shape, "{}", output.name);
        let pairs = floats(output).iter().zip(floats(&expected));
        let most = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(most <= HALF_TOLERANCE, "{} of batch {batch}, length {sequence}: {most}", output.name);
    }
}

#[test]
fn an_engine_answers_as_onnx_runtime_does() {
    if !has_gpu("an_engine_answers_as_onnx_runtime_does") {
        return;
    }
    let (workspace, _, plan) = built_for_this_machine();
    load_library(&native().join("onnxruntime/libonnxruntime.so")).unwrap();
    let graph = workspace.path("planforge-out/tiny/export/onnx-fp16/model.onnx");
    let onnx = || OnnxSession::load(&graph, &SessionOptions::default()).unwrap();
    let engine = EngineModel::load(&library(), &plan, 0).unwrap();
    assert!(engine.inputs().iter().all(|input| input.data_type == DataType::Int64), "{:?}", engine.inputs());
    assert_eq!(engine.profiles()[0][0].max, [4, 64]);
    let shapes = [(1, 4), (3, 16), (4, 64), (1, 4), (2, 33)];
    for cuda_graphs in [false, true] {
        for specialization in [KernelSpecialization::Lazy, KernelSpecialization::Eager, KernelSpecialization::None] {
            let options = ExecutionOptions { cuda_graphs, specialization, timings: true };
            let mut session = engine.session(options).unwrap();
            let mut onnx = onnx();
            // Twice each, so that a recorded graph is started too.
            shapes.iter().for_each(|&shape| [0, 1].iter().for_each(|_| assert_agrees(&mut session, &mut onnx, shape)));
            assert!(session.timings().compute.as_nanos() > 0, "{:?}", session.timings());
        }
    }
    // Sessions share the weights and run at once.
    std::thread::scope(|scope| {
        for shape in [(1, 8), (4, 16)] {
            let engine = &engine;
            scope.spawn(move || {
                let mut session = engine.session(ExecutionOptions::default()).unwrap();
                let mut onnx = onnx();
                (0..20).for_each(|_| assert_agrees(&mut session, &mut onnx, shape));
            });
        }
    });
    let (mut session, mut onnx) = (engine.session(ExecutionOptions::default()).unwrap(), onnx());
    let message = session.run(&tokens(&onnx, 5, 16), &[]).unwrap_err().to_string();
    assert!(message.contains("has shape [5, 16], the engine was built for [1 to 4, 4 to 64]"), "{message}");
    let message = session.run(&tokens(&onnx, 1, 16)[1..], &[]).unwrap_err().to_string();
    assert!(message.contains("is missing"), "{message}");
    // A mistake leaves nothing behind.
    assert_agrees(&mut session, &mut onnx, (2, 16));
}

/// One engine for two checkpoints, each of which has its weights put in.
#[test]
fn checkpoints_share_an_engine_and_answer_as_onnx_runtime_does() {
    if !has_gpu("checkpoints_share_an_engine_and_answer_as_onnx_runtime_does") {
        return;
    }
    load_library(&native().join("onnxruntime/libonnxruntime.so")).unwrap();
    for precision in ["fp16", "fp32"] {
        let workspace = Workspace::tiny();
        workspace.edit("tiny.toml", "[compile]", "[compile]\nstrip_weights = true");
        let capability = local_gpus().unwrap()[0].compute_capability;
        if precision == "fp32" && capability == ComputeCapability::new(7, 5) {
            skipped("fp32 engines without weights", "Turing has no fp32 products");
            continue;
        }
        let mut plans = Vec::new();
        for seed in [1, 2] {
            fs_err::remove_dir_all(workspace.path("model")).unwrap();
            TinyBert { seed, ..TinyBert::default() }.write(&workspace.path("model")).unwrap();
            let report = workspace.json(&["compile", "tiny.toml", "--gpu", "auto", "--precision", precision]);
            assert!(report["engines"][0]["run"]["on"].is_string(), "{}", report["engines"]);
            let checks = report["checks"].as_array().unwrap();
            let of_engine = |check: &&Value| check["subject"].as_str().unwrap().starts_with("tensorrt-");
            assert!(checks.iter().filter(of_engine).all(|check| check["passed"] == json!(true)), "{checks:?}");
            let gpu = report["engines"][0]["gpu"].as_str().unwrap().to_owned();
            let plan = workspace.path(&format!("planforge-out/tiny/engines/tensorrt-{precision}-{gpu}/model.plan"));
            plans.push(fs_err::read(&plan).unwrap());
            let graph = workspace.path(&format!("planforge-out/tiny/export/onnx-{precision}/model.onnx"));
            let mut onnx = OnnxSession::load(&graph, &SessionOptions::default()).unwrap();
            let engine = EngineModel::load(&library(), &plan, 0).unwrap();
            let mut session = engine.session(ExecutionOptions::default()).unwrap();
            [(1, 4), (4, 64), (2, 33)].iter().for_each(|&shape| assert_agrees(&mut session, &mut onnx, shape));
        }
        assert_eq!(plans[0], plans[1]);
    }
}

#[test]
fn engines_for_other_gpus_are_refused_before_they_are_loaded() {
    if !has_gpu("engines_for_other_gpus_are_refused_before_they_are_loaded") {
        return;
    }
    let is_l4 = local_gpus().unwrap()[0].compute_capability == ComputeCapability::new(8, 9);
    let other = if is_l4 { "t4" } else { "l4" };
    let workspace = Workspace::tiny();
    workspace.json(&["compile", "tiny.toml", "--gpu", other, "--precision", "fp16"]);
    let plan = format!("planforge-out/tiny/engines/tensorrt-fp16-{other}/model.plan");
    workspace
        .planforge(&["bench-engine", &plan])
        .fails(3, &["was built for compute capability", "compile it for that one"]);
    workspace.planforge(&["bench-engine", &plan, "--gpu", "99"]).fails(3, &["unknown GPU 99"]);
}

#[test]
fn bench_engine_measures() {
    if !has_gpu("bench_engine_measures") {
        return;
    }
    let (workspace, _, plan) = built_for_this_machine();
    let plan = plan.to_str().unwrap();
    let measured =
        workspace.json(&["bench-engine", plan, "--batch", "3", "--seconds", "0.5", "--streams", "2", "--cuda-graph"]);
    assert_eq!((&measured["batch"], &measured["streams"]), (&json!(3), &json!(2)));
    assert_eq!(measured["shapes"][0][1], json!([3, 16]));
    for part in ["host", "enqueue", "upload", "compute", "download"] {
        let figure = |name: &str| measured[part][name].as_f64().unwrap();
        assert!(figure("min_ms") > 0.0 && figure("min_ms") <= figure("median_ms"), "{part}: {measured}");
        assert!(figure("median_ms") <= figure("p99_ms") && figure("p99_ms") <= figure("max_ms"), "{part}: {measured}");
    }
    assert!(measured["compute"]["median_ms"].as_f64() < measured["host"]["median_ms"].as_f64(), "{measured}");
    assert!(measured["engine_byte_count"].as_u64().unwrap() > 0, "{measured}");
    let text = workspace.planforge(&["bench-engine", plan, "--seconds", "0.1"]);
    text.succeeds();
    assert!(text.stdout.contains("GPU compute") && text.stdout.contains("runs/s"), "{}", text.stdout);
    workspace
        .planforge(&["bench-engine", plan, "--batch", "5"])
        .fails(2, &["takes no batch of 5; it was built for 1 to 4"]);
    workspace.planforge(&["bench-engine", plan, "--shape", "x=1"]).fails(2, &["the engine has no input `x`"]);
}
