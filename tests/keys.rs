//! Keys of `config.json`: what planforge does not describe is refused by key and value (tests/parity.rs compares what it
//! does).

use crate::support::Workspace;
use planforge_testkit::repository;

/// A pipeline that exports the checkpoint `name` of fixtures/models for `task`.
fn pipeline(name: &str, task: &str) -> Workspace {
    let workspace = Workspace::empty();
    fs_err::create_dir(workspace.path("model")).unwrap();
    for file in ["config.json", "model.safetensors"] {
        let source = repository().join("fixtures/models").join(name).join(file);
        fs_err::copy(source, workspace.path("model").join(file)).unwrap();
    }
    let sequence = if task.starts_with("image") { "" } else { "sequence = [4, 8, 16]\n" };
    let head = format!("name = \"m\"\ntask = \"{task}\"\n[source]\npath = \"model\"\n");
    workspace.write("m.toml", &format!("{head}[[profiles]]\nbatch = [1, 1, 1]\n{sequence}"));
    workspace
}

/// The configuration with `value` as the value of `key`.
fn set(workspace: &Workspace, key: &str, value: &str) {
    let path = workspace.path("model/config.json");
    let text = fs_err::read_to_string(&path).unwrap();
    let mut config: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text).unwrap();
    config.insert(key.to_owned(), serde_json::from_str(value).unwrap());
    fs_err::write(&path, serde_json::to_string(&config).unwrap()).unwrap();
}

#[test]
fn values_that_are_not_described_are_refused_by_key_and_value() {
    let cases = [
        ("bert", "is_decoder", "true", "key `is_decoder`: unsupported value true; expected false"),
        ("electra/features", "is_decoder", "true", "key `is_decoder`: unsupported value true; expected false"),
        ("roberta-answers", "add_cross_attention", "true", "key `add_cross_attention`: unsupported value true"),
        (
            "bert",
            "position_embedding_type",
            "\"relative_key\"",
            "key `position_embedding_type`: unsupported value \"rel",
        ),
        (
            "bert",
            "pruned_heads",
            "{\"0\": [1]}",
            "key `pruned_heads`: unsupported value {\"0\":[1]}; expected null or {}",
        ),
        ("mpnet", "quantization_config", "{}", "key `quantization_config`: unsupported value {}; expected null"),
        ("distilbert", "activation", "\"relu6\"", "`activation` is `relu6`, expected gelu, gelu_new, "),
        ("bert", "layer_norm_eps", "null", "key `layer_norm_eps`: invalid type: null, expected f32"),
        ("roberta-answers", "pad_token_id", "null", "key `pad_token_id`: invalid type: null, expected usize"),
        ("vit", "qkv_bias", "null", "key `qkv_bias`: invalid type: null, expected a boolean"),
        ("vit", "is_causal", "true", "key `is_causal`: unsupported value true; expected null or false"),
        ("vit", "patch_size", "[8, 4]", "key `patch_size`: unsupported value [8, 4]; expected two equal numbers"),
        ("convnext", "num_stages", "2", "key `num_stages`: unsupported value 2; expected 3, as `depths` has"),
        (
            "resnet",
            "layer_type",
            "\"other\"",
            "key `layer_type`: unknown variant `other`, expected `basic` or `bottleneck`",
        ),
    ];
    for (name, key, value, words) in cases {
        let task = match name {
            "vit" | "convnext" | "resnet" => "image-classification",
            "roberta-answers" => "question-answering",
            _ => "feature-extraction",
        };
        let workspace = pipeline(name, task);
        set(&workspace, key, value);
        workspace.planforge(&["export", "m.toml"]).fails(2, &[words]);
    }
}

#[test]
fn keys_without_effect_may_have_any_value() {
    for (key, value) in [("hidden_dropout_prob", "0.5"), ("use_cache", "false"), ("torch_dtype", "\"float16\"")] {
        let workspace = pipeline("bert", "feature-extraction");
        workspace.planforge(&["export", "m.toml"]).succeeds();
        let graph = "planforge-out/m/export/onnx-fp32/model.onnx";
        let before = fs_err::read(workspace.path(graph)).unwrap();
        set(&workspace, key, value);
        workspace.planforge(&["export", "m.toml"]).succeeds();
        assert_eq!(fs_err::read(workspace.path(graph)).unwrap(), before, "{key}");
    }
}

#[test]
fn keys_that_the_reference_does_not_read_are_named_on_request() {
    let workspace = pipeline("bert", "feature-extraction");
    set(&workspace, "gradient_checkpoint", "true");
    let export = workspace.planforge(&["export", "m.toml", "-v"]);
    export.succeeds();
    assert!(export.stderr.contains("keys=\"gradient_checkpoint\""), "{}", export.stderr);
    assert!(!workspace.planforge(&["export", "m.toml"]).stderr.contains("gradient_checkpoint"));
}

#[test]
fn code_of_a_repository_is_not_run_and_a_warning_names_the_key() {
    let workspace = pipeline("bert", "feature-extraction");
    set(&workspace, "auto_map", "{\"AutoModel\": \"modeling_own.OwnModel\"}");
    let export = workspace.planforge(&["export", "m.toml"]);
    export.succeeds();
    assert!(export.stderr.contains("`auto_map`"), "{}", export.stderr);
}

/// Tied, the last product may do without tensors of its own; else the reference would leave them to chance.
#[test]
fn an_untied_head_for_masked_words_needs_tensors_of_its_own() {
    for (name, tensor) in [
        ("bert-masked", "cls.predictions.decoder.weight"),
        ("distilbert-masked", "vocab_projector.weight"),
        ("electra/masked", "generator_lm_head.weight"),
    ] {
        let workspace = pipeline(name, "fill-mask");
        workspace.planforge(&["export", "m.toml"]).succeeds();
        set(&workspace, "tie_word_embeddings", "false");
        let words = format!("missing tensor in the checkpoint: `{tensor}`");
        workspace.planforge(&["export", "m.toml"]).fails(2, &[&words]);
    }
}
