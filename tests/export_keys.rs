//! Keys of `[export]` that change what is exported.

use crate::support::Workspace;
use crate::weights::Weights;
use std::os::unix::fs::MetadataExt;

/// Adds a key to the table `[export]` of the tiny pipeline.
fn with_key(workspace: &Workspace, line: &str) {
    workspace.edit("tiny.toml", "[export]\n", &format!("[export]\n{line}\n"));
}

#[test]
fn tensors_that_a_pattern_names_are_left_out() {
    let workspace = Workspace::tiny();
    let path = workspace.path("model/model.safetensors");
    let mut weights = Weights::read(&path);
    weights.add("embeddings.LayerNorm.bias", "fit_denses.0.bias", false);
    weights.write(&path);
    let words = ["unexpected tensors", "`fit_denses.0.bias`", "`ignore_tensors = [\"fit_denses.*\"]` in [export]"];
    workspace.planforge(&["export", "tiny.toml"]).fails(2, &words);
    with_key(&workspace, "ignore_tensors = [\"fit_denses.*\"]");
    workspace.planforge(&["export", "tiny.toml"]).succeeds();
    workspace.edit("tiny.toml", "fit_denses.*", "*.bias");
    workspace.planforge(&["export", "tiny.toml"]).fails(2, &["missing tensor in the checkpoint: `", ".bias`"]);
}

#[test]
fn tokens_may_be_given_as_32_bit_integers() {
    let workspace = Workspace::tiny();
    let infer = |workspace: &Workspace| workspace.json(&["infer", "tiny.toml", "--text", "the cat"])["values"].clone();
    let expected = infer(&workspace);
    with_key(&workspace, "token_type = \"int32\"");
    assert_eq!(infer(&workspace), expected);
    let report = workspace.json(&["run", "tiny.toml"]);
    assert_eq!(report["load"]["total"]["failures"], 0);
    assert!(report["checks"].as_array().unwrap().iter().all(|check| check["passed"] == true), "{report}");
    let inputs = workspace.json(&["inspect", "tiny.toml"])["inputs"].clone();
    assert!(inputs.as_array().unwrap().iter().all(|input| input["data_type"] == "int32"), "{inputs}");
}

#[test]
fn exports_without_links_have_files_of_their_own() {
    let workspace = Workspace::tiny();
    let links = |workspace: &Workspace| {
        let folder = workspace.path("planforge-out/tiny/export/onnx-fp32");
        let files = fs_err::read_dir(folder).unwrap().map(|entry| entry.unwrap().metadata().unwrap().nlink());
        files.collect::<Vec<_>>()
    };
    workspace.planforge(&["export", "tiny.toml"]).succeeds();
    assert!(links(&workspace).iter().any(|&count| count > 1));
    with_key(&workspace, "link = false");
    workspace.planforge(&["export", "tiny.toml"]).succeeds();
    assert!(links(&workspace).iter().all(|&count| count == 1));
}
