//! What the server answers with planforge's backend is what ONNX Runtime computes.

use super::refusals::load_edited;
use super::{MAX_BATCH, Packaged, assert_close, binary_body, inputs, invoke, json_body, outputs, with_server};
use crate::support::Workspace;
use planforge_core::{RequestBody, Task};
use planforge_runtime::{OnnxSession, SessionOptions, load_library};
use planforge_testkit::{TritonServer, native};
use std::path::PathBuf;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Texts and images, with heads and without.
pub(super) const ARCHITECTURES: [(&str, Task); 6] = [
    ("bert", Task::FeatureExtraction),
    ("roberta", Task::FeatureExtraction),
    ("distilbert-classifier", Task::TextClassification),
    ("resnet", Task::ImageClassification),
    ("convnext", Task::ImageClassification),
    ("vit", Task::ImageClassification),
];

/// Batches of 1, of 3 and the largest, as numbers and as bytes.
fn answers_as_onnx_runtime(server: &TritonServer, packaged: &Packaged, target_model: &str) {
    let mut session = packaged.session();
    for (batch, sequence) in [(1, 5), (3, 16), (MAX_BATCH, 9)] {
        let inputs = packaged.inputs(batch, sequence, batch);
        let expected = session.run(&inputs, &[]).unwrap();
        for body in [json_body(&inputs), binary_body(&inputs)] {
            let answer = invoke(server, target_model, &body);
            assert_close(&format!("{target_model}, batch {batch}"), &outputs(&answer), &expected);
        }
    }
}

#[test]
fn every_architecture_answers_as_onnx_runtime_does() {
    with_server(concat!(module_path!(), "::every_architecture_answers_as_onnx_runtime_does"), |server| {
        for (name, task) in ARCHITECTURES {
            let packaged = Packaged::fixture(name, task);
            let target_model = format!("{name}-v0.tar.gz");
            let loaded = server.load(&packaged.archive, &target_model);
            assert_eq!(loaded.status, 200, "{name}: {}\n{}", loaded.text(), server.log());
            answers_as_onnx_runtime(server, &packaged, &target_model);
            assert_eq!(server.unload(&target_model).status, 200);
        }
    });
}

/// 320 requests of 16 clients at once, and two that fail in the model.
#[test]
fn requests_are_batched_and_counted() {
    with_server(concat!(module_path!(), "::requests_are_batched_and_counted"), |server| {
        let packaged = Packaged::fixture("bert", Task::FeatureExtraction);
        assert_eq!(server.load(&packaged.archive, "bert.tar.gz").status, 200);
        let body = json_body(&packaged.inputs(1, 16, 0));
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| (0..20).for_each(|_| assert_eq!(invoke(server, "bert.tar.gz", &body).status, 200)));
            }
        });
        let mut bad = super::request(&packaged.inputs(1, 16, 0));
        bad.inputs[0].data.0[0] = 1_000_000.into();
        let bad = RequestBody::json(&bad).unwrap();
        (0..2).for_each(|_| assert_eq!(invoke(server, "bert.tar.gz", &bad).status, 400));
        let counter = |name: &str| server.counter(name, "bert.tar.gz");
        let at = |name: &str, least: f64| server.counter_at(name, "bert.tar.gz", least);
        assert_eq!((at("nv_inference_request_success", 320.0), at("nv_inference_count", 320.0)), (320.0, 320.0));
        let executions = counter("nv_inference_exec_count");
        assert!((40.0..320.0).contains(&executions), "{executions} executions of 320 requests");
        assert!(counter("nv_inference_compute_infer_duration_us") > 0.0);
        assert_eq!(at("nv_inference_request_failure", 2.0), 2.0);
    });
}

/// Eight clients at once, ten times, half of them with one length and half with another: those of a length run together
/// though others stand between them, and each gets its own answer.
#[test]
fn requests_of_several_lengths_are_batched() {
    with_server(concat!(module_path!(), "::requests_of_several_lengths_are_batched"), |server| {
        let packaged = Packaged::fixture("bert", Task::FeatureExtraction);
        let mut session = packaged.session();
        let cases = [5, 9].map(|length| {
            let inputs = packaged.inputs(1, length, length);
            (json_body(&inputs), session.run(&inputs, &[]).unwrap())
        });
        // The server waits until all are there.
        let patient = ("dynamic_batching { }", "dynamic_batching { max_queue_delay_microseconds: 200000 }");
        let plain = ("    allow_ragged_batch: true\n", "");
        let executions = [("mixed.tar.gz", vec![patient]), ("plain.tar.gz", vec![patient, plain])];
        let [mixed, apart] = executions.map(|(target_model, edits)| {
            let loaded = load_edited(server, &packaged, target_model, &edits);
            assert_eq!(loaded.status, 200, "{}", loaded.text());
            let all_there = Barrier::new(8);
            std::thread::scope(|scope| {
                for client in 0..8 {
                    let ((body, expected), all_there) = (&cases[client % 2], &all_there);
                    scope.spawn(move || {
                        for _ in 0..10 {
                            all_there.wait();
                            assert_close(target_model, &outputs(&invoke(server, target_model, body)), expected);
                        }
                    });
                }
            });
            let at = |name: &str| server.counter_at(name, target_model, 80.0);
            assert_eq!((at("nv_inference_request_success"), at("nv_inference_count")), (80.0, 80.0));
            server.counter("nv_inference_exec_count", target_model)
        });
        assert!(mixed < 0.8 * apart, "{mixed} executions of 80 requests, and {apart} where lengths do not mix");
    });
}

/// The real model, packaged by the program. Its folder, the archive and the export.
pub(super) fn minilm() -> (Workspace, PathBuf, PathBuf) {
    minilm_with("")
}

/// The same with this in `[triton]`.
pub(super) fn minilm_with(triton: &str) -> (Workspace, PathBuf, PathBuf) {
    let workspace = Workspace::empty();
    workspace.write("minilm.toml", &format!("{MINILM}[triton]\n{triton}"));
    workspace.planforge(&["package", "minilm.toml"]).succeeds();
    let made = workspace.path("planforge-out/all-MiniLM-L6-v2");
    let archive = made.join("archives/onnx-fp32/all-MiniLM-L6-v2.tar.gz");
    (workspace, archive, made.join("export/onnx-fp32/model.onnx"))
}

const MINILM: &str = r#"name = "all-MiniLM-L6-v2"
task = "sentence-embedding"
[source]
repo = "sentence-transformers/all-MiniLM-L6-v2"
[[profiles]]
batch = [1, 4, 8]
sequence = [1, 16, 128]
[package]
onnx_backend = "planforge"
"#;

/// 2,000 requests from 16 clients, each with texts of its own, of several lengths and batches.
#[test]
fn many_clients_get_their_own_answers_from_the_real_model() {
    with_server(concat!(module_path!(), "::many_clients_get_their_own_answers_from_the_real_model"), |server| {
        let (_workspace, archive, graph) = minilm();
        load_library(&native().join("onnxruntime/libonnxruntime.so")).unwrap();
        let mut session = OnnxSession::load(&graph, &SessionOptions::default()).unwrap();
        let loaded = server.load(&archive, "minilm.tar.gz");
        assert_eq!(loaded.status, 200, "{}", loaded.text());
        let mut cases = Vec::new();
        for (seed, (batch, sequence)) in
            [(1, 6), (3, 6), (1, 9), (MAX_BATCH, 6), (2, 6), (1, 6)].into_iter().enumerate()
        {
            let inputs = inputs(session.inputs(), (batch, sequence), seed);
            let expected = session.run(&inputs, &[]).unwrap();
            cases.push((json_body(&inputs), expected.clone()));
            cases.push((binary_body(&inputs), expected));
        }
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= 2000 {
                            break;
                        }
                        let (body, expected) = &cases[number % cases.len()];
                        let answer = invoke(server, "minilm.tar.gz", body);
                        assert_close(&format!("request {number}"), &outputs(&answer), expected);
                    }
                });
            }
        });
        assert_eq!(server.unload("minilm.tar.gz").status, 200);
    });
}
