//! Checkpoints that ship only what `torch.save` wrote (scripts/reference/tiny-pytorch.py).

use crate::parity::{agrees_in_fp16, agrees_in_fp32, build_engine, checkpoint, exported};
use crate::support::Workspace;
use planforge_core::Precision;
use planforge_testkit::{CaseKind, FixtureCase, fixture_cases, repository};

fn checkpoints() -> Vec<FixtureCase> {
    fixture_cases(CaseKind::PytorchCheckpoint)
}

#[test]
fn fp32_exports_point_into_the_file_and_agree_with_transformers() {
    let workspace = Workspace::empty();
    for fixture in checkpoints() {
        let case = exported(&workspace, &fixture, Precision::Fp32);
        assert_eq!(case.model.record.weights, fixture.weights);
        agrees_in_fp32(&case);
    }
}

#[test]
fn fp16_exports_are_converted_and_agree_with_transformers() {
    let workspace = Workspace::empty();
    for fixture in checkpoints() {
        let case = exported(&workspace, &fixture, Precision::Fp16);
        assert_eq!(case.model.record.weights, ["model.fp16.safetensors"]);
        agrees_in_fp16(&case);
    }
}

#[test]
fn engines_are_built_from_them() {
    let workspace = Workspace::empty();
    for fixture in checkpoints() {
        for (gpu, precision) in [("t4", Precision::Fp16), ("l4", Precision::Fp32)] {
            build_engine(&workspace, &exported(&workspace, &fixture, precision), gpu);
        }
    }
}

#[test]
fn weights_off_their_alignment_are_written_anew() {
    let workspace = Workspace::empty();
    let original = checkpoint("bert");
    for file in ["config.json", "expected.json"] {
        fs_err::copy(original.folder.join(file), workspace.path(file)).unwrap();
    }
    let bytes = fs_err::read(original.folder.join("model.safetensors")).unwrap();
    let (length, rest) = bytes.split_first_chunk::<8>().unwrap();
    let length = u64::from_le_bytes(*length);
    let (header, data) = rest.split_at(length as usize);
    let moved = [&(length + 1).to_le_bytes(), header, b" ", data].concat();
    fs_err::write(workspace.path("model.safetensors"), moved).unwrap();
    let moved = FixtureCase { folder: workspace.path(""), ..original };
    let case = exported(&workspace, &moved, Precision::Fp32);
    assert_eq!(case.model.record.weights, ["model.fp32.safetensors"]);
    agrees_in_fp32(&case);
}

#[test]
fn what_is_not_read_is_said_with_a_way_out() {
    let convert = ["hint: ", "safetensors", "python -c", "weights_only=True", "model/pytorch_model.bin"];
    let words = ["asks for `posix.system`, which no checkpoint needs", "it may be malicious"];
    let workspace = Workspace::tiny();
    fs_err::remove_file(workspace.path("model/model.safetensors")).unwrap();
    let refused = repository().join("fixtures/pytorch/refused").join("command.bin");
    fs_err::copy(refused, workspace.path("model/pytorch_model.bin")).unwrap();
    let ended = workspace.planforge(&["run", "tiny.toml"]);
    ended.fails(2, &[&words[..], &convert].concat());
    assert_eq!(workspace.half_written(), [""; 0]);
    let files = workspace.files("");
    assert!(!files.iter().any(|path| path.ends_with("owned") || path.ends_with(".onnx")), "{files:?}");
}
