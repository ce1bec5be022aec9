//! ONNX files of a repository's own, taken as they are.

use crate::support::Workspace;
use planforge_testkit::{native, repository};
use serde_json::json;
use std::path::Path;

/// A pipeline over the graph in `model`, with these lines for its profile and tables of its own.
fn pipeline(workspace: &Workspace, (graph, task): (&str, &str), lines: &str) {
    let text = format!(
        "name = \"own\"\ntask = \"{task}\"\n[source]\npath = \"model\"\ngraph = \"{graph}\"\n[[profiles]]\n{lines}\n"
    );
    workspace.write("own.toml", &text);
}

fn tiny(workspace: &Workspace, name: &str) {
    fs_err::create_dir(workspace.path("model")).unwrap();
    for entry in fs_err::read_dir(repository().join("fixtures/tiny-onnx").join(name)).unwrap() {
        let entry = entry.unwrap();
        fs_err::copy(entry.path(), workspace.path("model").join(entry.file_name())).unwrap();
    }
}

#[test]
fn a_real_network_goes_from_its_file_to_the_report() {
    let workspace = Workspace::empty();
    std::os::unix::fs::symlink(native().join("models/open-nsfw"), workspace.path("model")).unwrap();
    pipeline(
        &workspace,
        ("open_nsfw.onnx", "image-classification"),
        "batch = [1, 2, 4]\n[compile]\ngpus = [\"a10g\", \"l4\"]\n[package]\nplatforms = [\"onnx\", \"tensorrt\"]\n\
         copies = 2\n[load]\nstages = [{ users = 1, seconds = 1 }]",
    );
    let report = workspace.json(&["run", "own.toml"]);
    let own = fs_err::read(workspace.path("model/open_nsfw.onnx")).unwrap();
    assert_eq!(fs_err::read(workspace.path("planforge-out/own/export/onnx-fp32/model.onnx")).unwrap(), own);
    // The weights of the thin ResNet-50: 5.9 million, all of them in the file.
    let model = &report["models"][0];
    assert_eq!(model["weight_byte_count"].as_u64().unwrap(), 4 * model["parameter_count"].as_u64().unwrap());
    assert!((5_900_000..6_000_000).contains(&model["parameter_count"].as_u64().unwrap()), "{model}");
    assert_eq!(report["engines"].as_array().unwrap().len(), 2);
    assert!(report["checks"].as_array().unwrap().iter().all(|check| check["passed"] == true));
    assert_eq!(report["capacity"]["copies"], 2);
    assert_eq!(report["load"]["total"]["failures"], 0);
    assert!(report["notes"].to_string().contains("Load requests carry a batch of 1 of random numbers."));
    let config = workspace.planforge(&["infer", "own.toml", "--json"]);
    config.succeeds();
    let found: serde_json::Value = serde_json::from_str(&config.stdout).unwrap();
    assert_eq!((&found["output"], &found["shape"]), (&json!("4195"), &json!([3, 2])));
}

#[test]
fn quantized_graphs_and_weights_beside_the_graph_are_not_touched() {
    for (name, profile) in [("quantized", "batch = [1, 2, 4]"), ("embed", "batch = [1, 2, 4]\nsequence = [2, 4, 8]")] {
        let workspace = Workspace::empty();
        tiny(&workspace, name);
        pipeline(
            &workspace,
            ("model.onnx", "feature-extraction"),
            &format!(
                "{profile}\n[compile]\ngpus = [\"l4\"]\n[package]\nplatforms = [\"onnx\", \"tensorrt\"]\ncopies = 1"
            ),
        );
        workspace.planforge(&["publish", "own.toml"]).succeeds();
        for entry in fs_err::read_dir(workspace.path("model")).unwrap() {
            let (entry, folder) = (entry.unwrap(), workspace.path("planforge-out/own/export/onnx-fp32"));
            assert_eq!(fs_err::read(entry.path()).unwrap(), fs_err::read(folder.join(entry.file_name())).unwrap());
        }
    }
}

/// Ada and Blackwell compute in FP8, earlier GPUs do not.
#[test]
fn fp8_graphs_are_not_touched_and_built_where_a_gpu_computes_in_fp8() {
    let workspace = Workspace::empty();
    tiny(&workspace, "quantized-fp8");
    let lines = "batch = [1, 2, 4]\n[compile]\ngpus = [\"l4\", \"rtx-pro-6000\"]\n[package]\n\
                 platforms = [\"onnx\", \"tensorrt\"]\ncopies = 1";
    pipeline(&workspace, ("model.onnx", "feature-extraction"), lines);
    let report = workspace.json(&["publish", "own.toml"]);
    assert_eq!(report["engines"].as_array().unwrap().len(), 2);
    let own = fs_err::read(workspace.path("model/model.onnx")).unwrap();
    assert_eq!(fs_err::read(workspace.path("planforge-out/own/export/onnx-fp32/model.onnx")).unwrap(), own);
    // 32 weights of a byte, and two constants for the scale and the zero point.
    assert_eq!(report["models"][0]["weight_byte_count"], 32 + 4 + 1);
    for gpu in ["a10g", "a100"] {
        let words = format!("the graph has FP8 values, which GPU `{gpu}` of compute capability 8.");
        let ended = workspace.planforge(&["compile", "own.toml", "--gpu", gpu]);
        ended.fails(2, &[&words, "build it for 8.9 or later, such as l4, l40s or rtx-pro-6000"]);
    }
}

/// Engines are built of them, and packages made; nothing here computes in bf16.
#[test]
fn bf16_graphs_are_not_touched_and_not_run() {
    let workspace = Workspace::empty();
    tiny(&workspace, "bfloat");
    let lines = "batch = [1, 2, 4]\n[export]\nprecisions = [\"bf16\"]\n[compile]\ngpus = [\"a10g\", \"l4\"]\n[package]\n\
                 platforms = [\"onnx\", \"tensorrt\"]\ncopies = 1";
    pipeline(&workspace, ("model.onnx", "feature-extraction"), lines);
    let report = workspace.json(&["publish", "own.toml"]);
    let own = fs_err::read(workspace.path("model/model.onnx")).unwrap();
    assert_eq!(fs_err::read(workspace.path("planforge-out/own/export/onnx-bf16/model.onnx")).unwrap(), own);
    assert_eq!(report["models"][0]["weight_byte_count"], 2 * (32 + 4));
    assert_eq!(report["engines"].as_array().unwrap().len(), 2);
    let checked = workspace.json(&["check", "own.toml"]);
    assert_eq!(checked["checks"], json!([]));
    let note = "onnx-bf16 was not run: ONNX Runtime has no bf16 arithmetic on the CPU";
    assert!(checked["notes"].to_string().contains(note), "{checked}");
    workspace.planforge(&["infer", "own.toml"]).fails(1, &["`onnx-bf16` cannot be run: ONNX Runtime has no bf16"]);
    workspace.planforge(&["compile", "own.toml", "--gpu", "t4"]).fails(2, &["no bf16 matrix products"]);
    workspace.edit("own.toml", "\"bf16\"", "\"fp32\"");
    let words = ["its weights are bf16 and it is taken as it is", "must be [\"bf16\"]"];
    workspace.planforge(&["export", "own.toml"]).fails(2, &words);
}

#[test]
fn graphs_that_cannot_be_taken_say_why() {
    let refused = |name: &str, edit: &dyn Fn(&Workspace), code: i32, words: &[&str]| {
        let workspace = Workspace::empty();
        tiny(&workspace, name);
        pipeline(&workspace, ("model.onnx", "feature-extraction"), "batch = [1, 2, 4]\nsequence = [2, 4, 8]");
        edit(&workspace);
        workspace.planforge(&["check", "own.toml"]).fails(code, words);
    };
    let edit = |from: &'static str, to: &'static str| move |workspace: &Workspace| workspace.edit("own.toml", from, to);
    refused(
        "embed",
        &edit("\"model.onnx\"", "\"other.onnx\""),
        2,
        &["`other.onnx` not found in `", "; its ONNX files: model.onnx"],
    );
    refused(
        "embed",
        &edit("\"model.onnx\"", "\"../model.onnx\""),
        2,
        &["invalid path `../model.onnx`; expected a path within the repository"],
    );
    let half = edit("[[profiles]]", "[export]\nprecisions = [\"fp16\"]\n[[profiles]]");
    refused("embed", &half, 2, &["its weights are fp32 and it is taken as it is", "must be [\"fp32\"]"]);
    let two = edit("[[profiles]]", "[export]\nprecisions = [\"fp32\", \"fp16\"]\n[[profiles]]");
    refused("embed", &two, 2, &["has one precision"]);
    let without_weights =
        |workspace: &Workspace| fs_err::remove_file(workspace.path("model/model.safetensors")).unwrap();
    refused("embed", &without_weights, 2, &["missing file in the snapshot of `", "`model.safetensors`"]);
    let cut = |workspace: &Workspace| fs_err::write(workspace.path("model/model.safetensors"), [0; 64]).unwrap();
    refused("embed", &cut, 2, &["truncated weights `model.safetensors`: 64 bytes; expected at least"]);
    let no_graph = |workspace: &Workspace| workspace.write("model/model.onnx", "no graph");
    refused("embed", &no_graph, 2, &["unusable ONNX graph `", "model.onnx`: "]);
}

#[test]
fn profiles_that_do_not_fit_the_graph_are_named_before_a_build_is_started() {
    // Dimensions of a graph, as they are written: a name of one letter, one, 1024.
    const NAMED: &[u8] = b"\x0a\x03\x12\x01N";
    const ONE: &[u8] = b"\x0a\x03\x08\x81\x00";
    const WIDE: &[u8] = b"\x0a\x03\x08\x80\x08";
    let same = (&[][..], &[][..]);
    let profiles = "key `profiles`: ";
    for (name, (from, to), profile, words) in [
        (
            "embed",
            same,
            "batch = [1, 2, 4]\nheight = [1, 2, 4]",
            ["line 8", "unknown key `profiles.height`", "`sequence`"],
        ),
        ("embed", same, "batch = [1, 4, 2]", ["line 7", "1 <= min <= opt <= max", ""]),
        ("embed", same, "batch = [1, 2]", ["line 7", "invalid number of values: [1, 2]", "[min, opt, max]"]),
        ("embed", same, "batch = [1, 2, 4]", [profiles, "missing `sequence`", "inputs need"]),
        ("wide", (WIDE, NAMED), "batch = [1, 2, 4]", [profiles, "missing `sequence`", "`batch` and `sequence`"]),
        (
            "quantized",
            (NAMED, ONE),
            "batch = [1, 2, 4]",
            [profiles, "invalid batch of a profile: [1, 2, 4]", "expected [1, 1, 1]"],
        ),
    ] {
        let workspace = Workspace::empty();
        tiny(&workspace, name);
        if name == "wide" {
            fs_err::File::create(workspace.path("model/model.safetensors")).unwrap().set_len(128 + (16 << 20)).unwrap();
        }
        replace_bytes(&workspace.path("model/model.onnx"), from, to);
        let lines = format!("{profile}\n[compile]\ngpus = [\"l4\"]\n[package]\nplatforms = [\"tensorrt\"]");
        pipeline(&workspace, ("model.onnx", "feature-extraction"), &lines);
        let ended = workspace.planforge(&["compile", "own.toml"]);
        ended.fails(2, &[&["own.toml"], &words[..]].concat());
        assert!(!workspace.files("planforge-out").iter().any(|file| file.contains("engines")), "{}", ended.stderr);
    }
}

/// Replaces bytes that are there by as many others.
fn replace_bytes(path: &Path, from: &[u8], to: &[u8]) {
    let mut bytes = fs_err::read(path).unwrap();
    let places: Vec<_> =
        (0..bytes.len()).filter(|&place| !from.is_empty() && bytes[place..].starts_with(from)).collect();
    assert_eq!(places.is_empty(), from.is_empty());
    for place in places {
        bytes[place..place + to.len()].copy_from_slice(to);
    }
    fs_err::write(path, bytes).unwrap();
}
