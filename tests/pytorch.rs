//! Checkpoints that ship only what `torch.save` wrote (scripts/reference/tiny-pytorch.py).

use crate::parity::{Checkpoint, agrees_in_fp16, agrees_in_fp32, build_engine, exported};
use crate::support::Workspace;
use planforge_core::{Precision, Task};
use planforge_testkit::repository;
use std::path::PathBuf;

/// Those of fixtures/pytorch, with the files that an fp32 export points into.
const CASES: [(Checkpoint, &[&str]); 3] = [
    (("bert", Task::FeatureExtraction, &["last_hidden_state", "pooler_output"]), &["pytorch_model.bin"]),
    (
        ("roberta", Task::FeatureExtraction, &["last_hidden_state", "pooler_output"]),
        &["pytorch_model-00001-of-00003.bin", "pytorch_model-00002-of-00003.bin", "pytorch_model-00003-of-00003.bin"],
    ),
    (("distilbert", Task::FeatureExtraction, &["last_hidden_state"]), &["model.fp32.safetensors"]),
];

fn folder(name: &str) -> PathBuf {
    repository().join("fixtures/pytorch").join(name)
}

#[test]
fn fp32_exports_point_into_the_file_and_agree_with_transformers() {
    let workspace = Workspace::empty();
    for (checkpoint, weights) in CASES {
        let case = exported(&workspace, &folder(checkpoint.0), checkpoint, Precision::Fp32);
        assert_eq!(case.model.record.weights, weights);
        agrees_in_fp32(&case);
    }
}

#[test]
fn fp16_exports_are_converted_and_agree_with_transformers() {
    let workspace = Workspace::empty();
    for (checkpoint, _) in CASES {
        let case = exported(&workspace, &folder(checkpoint.0), checkpoint, Precision::Fp16);
        assert_eq!(case.model.record.weights, ["model.fp16.safetensors"]);
        agrees_in_fp16(&case);
    }
}

#[test]
fn engines_are_built_from_them() {
    let workspace = Workspace::empty();
    for (checkpoint, _) in CASES {
        for (gpu, precision) in [("t4", Precision::Fp16), ("l4", Precision::Fp32)] {
            build_engine(&workspace, &exported(&workspace, &folder(checkpoint.0), checkpoint, precision), gpu);
        }
    }
}

#[test]
fn weights_off_their_alignment_are_written_anew() {
    let workspace = Workspace::empty();
    let model = repository().join("fixtures/models/bert");
    for file in ["config.json", "expected.json"] {
        fs_err::copy(model.join(file), workspace.path(file)).unwrap();
    }
    let bytes = fs_err::read(model.join("model.safetensors")).unwrap();
    let (length, rest) = bytes.split_first_chunk::<8>().unwrap();
    let length = u64::from_le_bytes(*length);
    let (header, data) = rest.split_at(length as usize);
    let moved = [&(length + 1).to_le_bytes(), header, b" ", data].concat();
    fs_err::write(workspace.path("model.safetensors"), moved).unwrap();
    let checkpoint: Checkpoint = ("bert", Task::FeatureExtraction, &["last_hidden_state", "pooler_output"]);
    let case = exported(&workspace, &workspace.path(""), checkpoint, Precision::Fp32);
    assert_eq!(case.model.record.weights, ["model.fp32.safetensors"]);
    agrees_in_fp32(&case);
}

#[test]
fn what_is_not_read_is_said_with_a_way_out() {
    let convert = ["hint: ", "safetensors", "python -c", "weights_only=True", "model/pytorch_model.bin"];
    for (file, words) in [
        ("command", ["asks for `posix.system`, which a checkpoint has no need of", "it may be malicious"]),
        ("transposed", ["cannot be read: tensor `weight` of shape [3, 2]", "strides [1, 3], it is not in row-major"]),
        ("before-1.6", ["cannot be read", "it has the format of PyTorch before 1.6"]),
    ] {
        let workspace = Workspace::tiny();
        fs_err::remove_file(workspace.path("model/model.safetensors")).unwrap();
        let refused = folder("refused").join(format!("{file}.bin"));
        fs_err::copy(refused, workspace.path("model/pytorch_model.bin")).unwrap();
        let ended = workspace.planforge(&["run", "tiny.toml"]);
        ended.fails(1, &[&words[..], &convert].concat());
        assert_eq!(workspace.half_written(), [""; 0]);
        let files = workspace.files("");
        assert!(!files.iter().any(|path| path.ends_with("owned") || path.ends_with(".onnx")), "{files:?}");
    }
}
