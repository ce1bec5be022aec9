//! What an endpoint answers: compared with the export, asked from the command line.

use crate::support::{Hosted, Workspace};
use serde_json::Value;

/// A pipeline of ONNX packages in fp32 and fp16.
fn workspace() -> Workspace {
    let workspace = Workspace::tiny();
    workspace.package_without_engines("[\"onnx\"]");
    workspace
}

#[test]
fn answers_of_every_variant_are_compared_with_the_export() {
    let workspace = workspace();
    let report = workspace.json(&["check", "tiny.toml", "--served"]);
    let served = |variant: &str| {
        let subject = format!("{variant}, served");
        let found = report["checks"].as_array().unwrap().iter().find(|check| check["subject"] == subject.as_str());
        found.cloned().unwrap_or_else(|| panic!("{subject}: {report:#}"))
    };
    for (variant, most) in [("onnx-fp32", 1e-5), ("onnx-fp16", 1e-2)] {
        let check = served(variant);
        assert_eq!((&check["reference"], &check["passed"]), (&"onnx-fp32".into(), &true.into()), "{check:#}");
        // Batches 1, 2, 4 and 1 of the only profile.
        assert_eq!(check["samples"], 8);
        assert!(check["max_absolute_error"].as_f64().unwrap() <= most, "{check:#}");
    }
    let shown = workspace.planforge(&["check", "tiny.toml", "--served"]);
    shown.succeeds();
    assert!(shown.stdout.contains("onnx-fp16, served"), "{}", shown.stdout);
}

#[test]
fn another_model_behind_the_endpoint_is_found() {
    let workspace = workspace();
    workspace.planforge(&["publish", "tiny.toml"]).succeeds();
    // A packager that mixes up two models.
    let other = Workspace::tiny();
    other.package_without_engines("[\"onnx\"]");
    let weights = other.path("model/model.safetensors");
    let mut bytes = fs_err::read(&weights).unwrap();
    let header = 8 + usize::try_from(u64::from_le_bytes(bytes[..8].try_into().unwrap())).unwrap();
    let half = header + (bytes.len() - header) / 8 * 4;
    for weight in bytes[half..].chunks_exact_mut(4) {
        let value = f32::from_le_bytes(weight.try_into().unwrap());
        weight.copy_from_slice(&(-value).to_le_bytes());
    }
    fs_err::remove_file(&weights).unwrap();
    fs_err::write(&weights, bytes).unwrap();
    other.planforge(&["publish", "tiny.toml"]).succeeds();
    let hosted = Hosted::start(&other, "tiny.toml");
    let url = format!("http://{}", hosted.address);
    let checked = workspace.planforge(&["check", "tiny.toml", "--served", "--url", &url]);
    assert_eq!(checked.status.code(), Some(4), "{}", checked.stderr);
    assert!(checked.stderr.contains("onnx-fp32, served"), "{}", checked.stderr);
    hosted.stop();
}

#[test]
fn a_request_from_the_command_line_has_the_answer_of_the_export() {
    let workspace = workspace();
    let hosted = Hosted::start(&workspace, "tiny.toml");
    let url = format!("http://{}", hosted.address);
    let arguments = ["infer", "tiny.toml", "--text", "the cat sat", "--text", "a small dog ran"];
    let here = workspace.json(&arguments);
    let there = workspace.json(&[&arguments[..], &["--url", &url]].concat());
    assert_eq!((&here["samples"], &here["shape"]), (&there["samples"], &there["shape"]));
    let numbers = |inference: &Value| -> Vec<f64> {
        let rows = inference["values"].as_array().unwrap().iter();
        rows.flat_map(|row| row.as_array().unwrap()).map(|value| value.as_f64().unwrap()).collect()
    };
    for (here, there) in numbers(&here).iter().zip(numbers(&there)) {
        assert!((here - there).abs() < 1e-5, "{here} {there}");
    }
    let written = workspace.json(&[&arguments[..], &["--request", "body"]].concat());
    assert!(written["command"].as_str().unwrap().contains("--data-binary @'body'"), "{written}");
    let text = |key: &str| written[key].as_str().unwrap().to_owned();
    let body = fs_err::read(workspace.path("body")).unwrap();
    let (status, _, answer) = hosted.invoke_bytes("tiny", &text("target_model"), &text("content_type"), &body);
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&answer));
    hosted.stop();
}

#[test]
fn a_comparison_that_cannot_be_made_is_an_error() {
    let workspace = workspace();
    for (arguments, expected) in [
        (&["check", "tiny.toml", "--container", "triton"][..], "--container has an effect with --served only"),
        (
            &["check", "tiny.toml", "--served", "--url", "http://127.0.0.1:1", "--container", "triton"],
            "cannot be used with",
        ),
        (&["probe", "tiny.toml", "--url", "http://127.0.0.1:1", "--container", "triton"], "cannot be used with"),
    ] {
        let ended = workspace.planforge(arguments);
        assert_eq!(ended.status.code(), Some(2), "{}", ended.stderr);
        assert!(ended.stderr.contains(expected), "{}", ended.stderr);
    }
    let engines = Workspace::tiny();
    engines.edit("tiny.toml", "platforms = [\"onnx\", \"tensorrt\"]", "platforms = [\"tensorrt\"]");
    let ended = engines.planforge(&["check", "tiny.toml", "--served"]);
    assert_eq!(ended.status.code(), Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("makes no ONNX package, which the local endpoint needs"), "{}", ended.stderr);
}
