//! Checkpoints whose files or names contradict each other.

use crate::parity::{FP32_TOLERANCE, checkpoint, exported, floats, relative_difference, run, try_export};
use crate::support::Workspace;
use crate::weights::Weights;
use planforge_core::{Precision, Task};
use planforge_testkit::FixtureCase;
use serde_json::{Map, Value, json};

const BIAS: &str = "embeddings.LayerNorm.bias";
const FILES: [&str; 2] = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];

/// The tiny checkpoint in two shards, the second with the tensors from `encoder` on, and the index.
fn sharded(workspace: &Workspace) -> ([Weights; 2], Map<String, Value>) {
    let path = workspace.path("model/model.safetensors");
    let all = Weights::read(&path);
    fs_err::remove_file(path).unwrap();
    let shard = |second: bool| all.renamed(|name| (name.starts_with("en") == second).then(|| name.to_owned()));
    let file = |name: &String| json!(FILES[usize::from(name.starts_with("en"))]);
    let index = all.0.keys().map(|name| (name.clone(), file(name))).collect();
    ([shard(false), shard(true)], index)
}

fn write(workspace: &Workspace, shards: &[Weights; 2], index: &Map<String, Value>) {
    for (weights, file) in shards.iter().zip(FILES) {
        weights.write(&workspace.path("model").join(file));
    }
    workspace.write("model/model.safetensors.index.json", &json!({ "weight_map": index }).to_string());
}

#[test]
fn two_tensors_that_stand_for_one_must_be_equal() {
    for (name, changed) in [(format!("bert.{BIAS}"), false), ("embeddings.LayerNorm.beta".to_owned(), true)] {
        let workspace = Workspace::tiny();
        let path = workspace.path("model/model.safetensors");
        let mut weights = Weights::read(&path);
        weights.add(BIAS, &name, changed);
        weights.write(&path);
        let ended = workspace.planforge(&["export", "tiny.toml"]);
        if !changed {
            ended.succeeds();
            continue;
        }
        let words = [&format!("`{name}` of `model.safetensors`"), "stand for one and differ; remove one"];
        ended.fails(2, &words);
        workspace.edit("tiny.toml", "[export]\n", &format!("[export]\nignore_tensors = [\"{name}\"]\n"));
        workspace.planforge(&["export", "tiny.toml"]).succeeds();
    }
}

#[test]
fn shards_with_the_same_tensor_must_agree() {
    for changed in [false, true] {
        let workspace = Workspace::tiny();
        let (mut shards, index) = sharded(&workspace);
        let mut twice = shards[0].clone();
        twice.add(BIAS, BIAS, changed);
        shards[1].0.insert(BIAS.to_owned(), twice.0[BIAS].clone());
        write(&workspace, &shards, &index);
        let ended = workspace.planforge(&["export", "tiny.toml"]);
        match changed {
            false => ended.succeeds(),
            true => ended.fails(2, &[&format!("`{BIAS}` of `{}`", FILES[0]), &format!("`{BIAS}` of `{}`", FILES[1])]),
        }
    }
}

#[test]
fn shards_may_have_any_names() {
    let workspace = Workspace::tiny();
    let infer = |workspace: &Workspace| workspace.json(&["infer", "tiny.toml", "--text", "the cat"])["values"].clone();
    let expected = infer(&workspace);
    let (shards, index) = sharded(&workspace);
    let names = ["embeddings", "parts/rest.safetensors"];
    fs_err::create_dir(workspace.path("model/parts")).unwrap();
    let renamed = |(name, file): (String, Value)| (name, json!(names[usize::from(file == FILES[1])]));
    let index: Map<String, Value> = index.into_iter().map(renamed).collect();
    for (weights, name) in shards.iter().zip(names) {
        weights.write(&workspace.path("model").join(name));
    }
    workspace.write("model/model.safetensors.index.json", &json!({ "weight_map": index }).to_string());
    assert_eq!(infer(&workspace), expected);
}

/// The reference ties the table of tokens and the last product over masked words to whichever of the two is there.
#[test]
fn a_table_that_only_the_last_product_has_is_that_of_tokens_too() {
    let table = "embeddings.word_embeddings.weight";
    for (name, decoder) in [
        ("bert-masked", "cls.predictions.decoder.weight"),
        ("camembert-masked", "lm_head.decoder.weight"),
        ("distilbert-masked", "vocab_projector.weight"),
        ("electra-masked", "generator_lm_head.weight"),
        ("mpnet-masked", "lm_head.decoder.weight"),
    ] {
        let workspace = Workspace::empty();
        let original = checkpoint(name);
        let fixture = FixtureCase { folder: workspace.path("model"), ..original.clone() };
        fs_err::create_dir(&fixture.folder).unwrap();
        for file in ["config.json", "expected.json"] {
            fs_err::copy(original.folder.join(file), fixture.folder.join(file)).unwrap();
        }
        let weights = Weights::read(&original.folder.join("model.safetensors"));
        let moved = weights.renamed(|tensor| Some(if tensor.ends_with(table) { decoder } else { tensor }.to_owned()));
        assert!(moved.0.contains_key(decoder) && moved.0.len() == weights.0.len(), "{name}");
        moved.write(&fixture.folder.join("model.safetensors"));
        let case = exported(&workspace, &fixture, Precision::Fp32);
        for output in run(&case, 0..case.batch()) {
            let difference = relative_difference(floats(&output), &case.expected.outputs[&output.name].values);
            assert!(difference <= FP32_TOLERANCE, "{name} {}: {difference:e}", output.name);
        }
        // No other task has the last product.
        let of_tokens = FixtureCase { task: Task::FeatureExtraction, ..fixture };
        let error = try_export(&workspace, &of_tokens, Precision::Fp32).unwrap_err().to_string();
        assert!(error.contains(&format!("missing tensor in the checkpoint: `{table}`")), "{name}: {error}");
    }
}

#[test]
fn an_index_that_names_what_is_not_there_is_refused() {
    let changes: [(&str, &str); 3] = [
        (
            "model-00003-of-00002.safetensors",
            "missing file in the snapshot of `model`: `model-00003-of-00002.safetensors`",
        ),
        ("../model.safetensors", "missing file in the snapshot of `model`: `../model.safetensors`"),
        (FILES[1], "missing tensor in the checkpoint: `embeddings.LayerNorm.bias`"),
    ];
    for (file, words) in changes {
        let workspace = Workspace::tiny();
        let (mut shards, mut index) = sharded(&workspace);
        Weights::default().write(&workspace.path("model.safetensors"));
        index[BIAS] = json!(file);
        shards[0].0.remove(BIAS);
        write(&workspace, &shards, &index);
        workspace.planforge(&["export", "tiny.toml"]).fails(2, &[words]);
    }
}

#[test]
fn tensors_under_a_prefix_that_no_library_reads_are_named() {
    let workspace = Workspace::tiny();
    let path = workspace.path("model/model.safetensors");
    Weights::read(&path).renamed(|name| Some(format!("module.bert.{name}"))).write(&path);
    let words = [
        "missing tensor in the checkpoint: `embeddings.",
        "the checkpoint has `module.bert.embeddings.",
        "save its tensors without what stands before",
    ];
    workspace.planforge(&["export", "tiny.toml"]).fails(2, &words);
}

#[test]
fn the_pattern_for_an_unexpected_tensor_leaves_the_others() {
    for (name, pattern) in
        [("bert.encoder.layer.0.extra.weight", "bert.*"), ("encoder.layer.0.extra.weight", "encoder.layer.0.extra.*")]
    {
        let workspace = Workspace::tiny();
        let path = workspace.path("model/model.safetensors");
        let mut weights = Weights::read(&path);
        weights.add(BIAS, name, false);
        weights.write(&path);
        let line = format!("ignore_tensors = [\"{pattern}\"]");
        workspace.planforge(&["export", "tiny.toml"]).fails(2, &[&format!("set for example `{line}` in [export]")]);
        workspace.edit("tiny.toml", "[export]\n", &format!("[export]\n{line}\n"));
        workspace.planforge(&["export", "tiny.toml"]).succeeds();
    }
}
