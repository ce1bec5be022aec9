//! What runs engines, on fakes of the CUDA driver and of TensorRT-RTX (fixtures/gpu): which calls are made, in which
//! order, with which arguments, and what is freed when. It shows nothing of a GPU.

use crate::support::{Workspace, end};
use planforge_core::{DataType, Dim, TensorSpec};
use planforge_runtime::{
    EngineModel, EngineSession, ExecutionOptions, KernelSpecialization, Tensor, TensorValues, has_cuda_driver,
};
use planforge_testkit::{build_fake_gpu, fake_engine, native, on_fake_gpu, repository};
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

#[test]
fn engines_are_run_in_the_order_that_the_library_asks_for() {
    on_fake_gpu(concat!(module_path!(), "::engines_are_run_in_the_order_that_the_library_asks_for"), run_engines);
}

fn run_engines(folder: &Path) {
    assert!(has_cuda_driver());
    let library = folder.join("libtensorrt_rtx.so.1");
    let engine = EngineModel::load(&library, &fake_engine(folder, "sum.plan", &[]), 0).unwrap();
    assert_eq!(engine.library_version(), "1.7.1.116");
    let ids = vec![Dim::dynamic("batch"), Dim::dynamic("ids_dimension_1")];
    assert_eq!(engine.inputs()[0], TensorSpec::new("ids", DataType::Int64, ids));
    assert_eq!(engine.outputs(), [TensorSpec::new("sum", DataType::Fp32, vec![Dim::dynamic("batch")])]);
    assert_eq!(engine.profiles()[1][1].opt, [8, 16]);
    assert_eq!(engine.activation_byte_counts(), [1000, 2000]);
    let options = ExecutionOptions { cuda_graphs: true, specialization: KernelSpecialization::Eager, timings: true };
    let mut session = engine.session(options).unwrap();
    // Growing and shrinking, from one profile to the other and back, and twice the same.
    for shape in [(1, 4), (4, 64), (9, 16), (2, 5), (2, 5), (16, 64), (16, 64), (1, 4)] {
        assert_sums(&mut session, shape);
    }
    assert_eq!(session.timings().compute, Duration::from_micros(250));
    mistakes_leave_a_session_usable(&mut session);
    // Sessions in threads of their own outlive what they were made of.
    std::thread::scope(|scope| {
        for batch in 1..=4 {
            let engine = engine.clone();
            scope.spawn(move || {
                let mut session = engine.session(ExecutionOptions::default()).unwrap();
                drop(engine);
                (0..50).for_each(|length| assert_sums(&mut session, (batch, 4 + length)));
            });
        }
    });
    drop(engine);
    assert_sums(&mut session, (3, 7));
    drop(session);
    files_that_cannot_be_loaded_say_why(folder, &library);
}

fn tensors(ids: (usize, usize), mask: (usize, usize)) -> Vec<Tensor> {
    let tensor = |name: &str, (batch, length): (usize, usize), value: fn(usize) -> i64| {
        let values = (0..batch * length).map(value).collect();
        Tensor::new(name, &[batch, length], TensorValues::Int64(values)).unwrap()
    };
    vec![tensor("mask", mask, |index| i64::from(index % 3 != 0)), tensor("ids", ids, |index| index as i64 - 5)]
}

fn assert_sums(session: &mut EngineSession, (batch, length): (usize, usize)) {
    let sum = |row: usize| {
        let kept = (row * length..(row + 1) * length).filter(|index| index % 3 != 0);
        kept.map(|index| index as f32 - 5.0).sum::<f32>()
    };
    let found = session.run(&tensors((batch, length), (batch, length)), &[]).unwrap();
    let expected = TensorValues::Fp32((0..batch).map(sum).collect());
    assert_eq!(found, [Tensor::new("sum", &[batch], expected).unwrap()]);
}

fn mistakes_leave_a_session_usable(session: &mut EngineSession) {
    let mut message = |inputs: &[Tensor], outputs: &[String]| {
        let error = session.run(inputs, outputs).unwrap_err();
        // The library does not tell whose fault a failure is.
        assert_eq!(error.is_mistake(), !error.to_string().starts_with("TensorRT"), "{error}");
        assert_sums(session, (2, 8));
        error.to_string()
    };
    let ranges = "[1 to 4, 4 to 64] or [5 to 16, 4 to 64]";
    assert_eq!(
        message(&tensors((17, 4), (17, 4)), &[]),
        format!("input `ids` has shape [17, 4], the engine was built for {ranges}")
    );
    assert!(message(&tensors((2, 3), (2, 3)), &[]).starts_with("input `ids` has shape [2, 3]"));
    assert_eq!(message(&tensors((2, 4), (3, 4)), &[]), "input `ids` has batch 2, input `mask` has batch 3");
    assert_eq!(message(&tensors((2, 4), (2, 5)), &[]), "TensorRT cannot run the engine: inputs disagree");
    assert_eq!(message(&tensors((2, 4), (2, 4))[..1], &[]), "input `ids` is missing");
    assert_eq!(
        message(&tensors((2, 4), (2, 4)), &["product".to_owned()]),
        "unknown output `product`; the model's outputs: `sum`"
    );
}

fn files_that_cannot_be_loaded_say_why(folder: &Path, library: &Path) {
    let message = |library: &Path, changes: &[(usize, u8)], ordinal| {
        let path = fake_engine(folder, "other.plan", changes);
        let message = EngineModel::load(library, &path, ordinal).unwrap_err().to_string();
        message.replace(&path.display().to_string(), "PLAN")
    };
    assert_eq!(message(library, &[(100, b'D')], 0), "TensorRT cannot load `PLAN`: first reason; second reason");
    assert_eq!(message(library, &[(100, b'V')], 0), "`PLAN` cannot be run here: the CUDA driver is too old for it");
    // Triton's endpoint looks for `out of memory`, answers 507 then, and SageMaker unloads other models.
    assert_eq!(
        message(library, &[(100, b'G')], 0),
        "`PLAN` cannot be run here: out of memory: the GPU has too little for its weights"
    );
    assert!(message(library, &[(32, 1)], 0).starts_with("`PLAN` was built for compute capability 7.5, the GPU here"));
    assert!(
        message(library, &[(25, 6)], 0).starts_with("`PLAN` was built by TensorRT-RTX 1.6.1.116, the library here")
    );
    assert_eq!(message(library, &[], 1), "unknown GPU 1: the CUDA driver sees 1");
    let copy = folder.join("copy.so");
    fs_err::copy(library, &copy).unwrap();
    assert!(message(&copy, &[], 0).contains("this process has loaded"), "{}", message(&copy, &[], 0));
}

#[test]
fn commands_run_engines_in_processes_of_their_own() {
    let (folder, workspace) = (build_fake_gpu(), Workspace::empty());
    let plan = fake_engine(folder.path(), "sum.plan", &[]);
    let command = |arguments: &[&str]| {
        let mut command = workspace.command(arguments);
        command.env("LD_LIBRARY_PATH", folder.path()).env("PLANFORGE_NATIVE_DIR", folder.path());
        command
    };
    let bench = ["bench-engine", plan.to_str().unwrap(), "--seconds", "0.05", "--warm-up", "0"];
    let ended = end(command(&[&bench[..], &["--batch", "9", "--streams", "3", "--json"]].concat()));
    ended.succeeds();
    let measured: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(measured["shapes"], json!([["ids", [9, 16]], ["mask", [9, 16]]]));
    assert_eq!((&measured["gpu"], &measured["compute"]["p99_ms"]), (&json!("Fake GPU"), &json!(0.25)));
    assert!(measured["stream_byte_count"].as_u64() > Some(0) && measured["runs"].as_u64() > Some(2), "{measured}");
    end(command(&[&bench[..], &["--batch", "17"]].concat()))
        .fails(2, &["takes no batch of 17; it was built for 1 to 4 or 5 to 16"]);
    end(command(&[&bench[..], &["--shape", "ids=1x3", "--shape", "mask=1x3"]].concat()))
        .fails(2, &["the engine was built for [1 to 4, 4 to 64]"]);
    let tensor = |name: &str, values: [i64; 8]| {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_ne_bytes()).collect();
        fs_err::write(folder.path().join(name), bytes).unwrap();
        json!({ "name": name, "data_type": "int64", "shape": [2, 4], "file": name })
    };
    let batch = [tensor("ids", [1, 2, 3, 4, 5, 6, 7, 8]), tensor("mask", [1, 1, 1, 0, 0, 1, 1, 1])];
    let ask = |capability: &str| -> Value {
        let request = json!({
            "library": folder.path().join("libtensorrt_rtx.so.1"),
            "plan": plan,
            "compute_capabilities": [capability],
            "folder": folder.path(),
            "batches": [batch],
        });
        let mut child = command(&["internal", "run-engine"]).stdin(Stdio::piped()).spawn().unwrap();
        // It ends when its standard input does.
        let mut stdin = child.stdin.take().unwrap();
        writeln!(stdin, "{request}").unwrap();
        let output = child.wait_with_output().unwrap();
        drop(stdin);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let ran = ask("8.9");
    assert_eq!((&ran["ran"]["gpu"], &ran["ran"]["batches"][0][0]["shape"]), (&json!("Fake GPU"), &json!([2])), "{ran}");
    let file = ran["ran"]["batches"][0][0]["file"].as_str().unwrap();
    let bytes = fs_err::read(folder.path().join(file)).unwrap();
    assert_eq!(bytes, [6.0_f32.to_ne_bytes(), 21.0_f32.to_ne_bytes()].concat());
    let reason = "it was built for compute capability 7.5, and here is Fake GPU (8.9)";
    assert_eq!(ask("7.5"), json!({ "no_gpu": reason }));
}

/// The engine that is built is the fake's, and so are its numbers.
#[test]
fn an_engine_that_differs_or_crashes_fails_the_build() {
    let (folder, workspace) = (build_fake_gpu(), sums());
    let built = workspace.json(&["compile", "own.toml"]);
    if has_cuda_driver() {
        assert!(built["engines"][0]["run"].is_object(), "{built}");
    } else {
        assert_eq!(built["engines"][0]["run"], json!({ "not_run": "there is no CUDA driver here" }));
    }
    add_onnx_runtime(folder.path());
    let compile = |fault: &str| {
        let mut command = workspace.command(&["compile", "own.toml", "--json"]);
        command.env("LD_LIBRARY_PATH", folder.path()).env("PLANFORGE_NATIVE_DIR", folder.path());
        command.env("FAKE_GPU_FAULT", fault);
        end(command)
    };
    let words = ["engine `tensorrt-fp32-l4` was built, and failed when it was run", "its process crashed (signal 6)"];
    compile("crash").fails(1, &words);
    let words = ["output `sum` of `tensorrt-fp32-l4` on Fake GPU differs from onnx-fp32 on ONNX Runtime: cosine 1.0"];
    compile("sums").fails(4, &words);
    let right = compile("");
    right.succeeds();
    let report: Value = serde_json::from_str(&right.stdout).unwrap();
    assert_eq!(report["engines"][0]["run"], json!({ "on": "Fake GPU" }));
    let check = report["checks"].as_array().unwrap().iter().find(|check| check["subject"] == "tensorrt-fp32-l4");
    let check = check.unwrap();
    assert_eq!((&check["samples"], &check["passed"]), (&json!(3), &json!(true)), "{check}");
    // What agreed once is not run again.
    compile("crash").succeeds();
}

/// The endpoint's requests are answered by the fake, whose GPU loses a MiB with each buffer.
#[test]
fn the_endpoint_serves_engines() {
    let (folder, workspace) = (build_fake_gpu(), sums());
    workspace.json(&["compile", "own.toml"]);
    workspace.edit("own.toml", "platforms = [\"tensorrt\"]", SERVED);
    if !has_cuda_driver() {
        let words = ["`tensorrt-fp32-l4` needs a GPU of compute capability 8.9, and there is none here"];
        workspace.planforge(&["run", "own.toml"]).fails(2, &words);
    }
    add_onnx_runtime(folder.path());
    let mut command = workspace.command(&["run", "own.toml", "--json"]);
    command.env("LD_LIBRARY_PATH", folder.path()).env("PLANFORGE_NATIVE_DIR", folder.path());
    let ended = end(command);
    ended.succeeds();
    let report: Value = serde_json::from_str(&ended.stdout).unwrap();
    let by = "planforge's local endpoint (TensorRT-RTX, Fake GPU)";
    assert_eq!(report["served"], json!({ "variant": "tensorrt-fp32-l4", "by": by }));
    assert_eq!(report["load"]["total"]["failures"], 0, "{}", report["load"]);
    assert_eq!(report["capacity"]["copies"], 2, "{}", report["capacity"]);
}

const SERVED: &str = r#"platforms = ["tensorrt"]
copies = 4
[host]
variant = "tensorrt-fp32-l4"
memory = "20 MiB"
[load]
stages = [{ users = 2, seconds = 1 }]"#;

/// A pipeline over a graph that does what the fake's engine does.
fn sums() -> Workspace {
    let workspace = Workspace::empty();
    fs_err::create_dir(workspace.path("model")).unwrap();
    let graph = repository().join("fixtures/tiny-onnx/sums/model.onnx");
    fs_err::copy(graph, workspace.path("model/model.onnx")).unwrap();
    workspace.write("own.toml", SUMS);
    workspace
}

/// ONNX Runtime is the real one.
fn add_onnx_runtime(folder: &Path) {
    fs_err::os::unix::fs::symlink(native().join("onnxruntime"), folder.join("onnxruntime")).unwrap();
}

const SUMS: &str = r#"name = "own"
task = "feature-extraction"
[source]
path = "model"
graph = "model.onnx"
[[profiles]]
batch = [1, 2, 4]
sequence = [4, 16, 64]
[compile]
gpus = ["l4"]
[package]
platforms = ["tensorrt"]
"#;
