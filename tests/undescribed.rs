//! Checkpoints that planforge does not describe: each refusal names what is not described, and how an ONNX file can be used
//! instead.

use crate::support::Workspace;
use fs_err::{create_dir_all, remove_file, rename};

/// What makes a checkpoint another one, and the words of its refusal.
type Case = (&'static str, fn(&Workspace), &'static [&'static str]);

const CASES: &[Case] = &[
    (
        "model type",
        |it| set(it, "model_type", "\"mamba\""),
        &["unsupported model type `mamba`; expected one of bert, "],
    ),
    (
        "timm architecture",
        |it| it.write("model/config.json", r#"{ "architecture": "mobilenetv3_small_100", "num_classes": 1000 }"#),
        &["unsupported model type `mobilenetv3_small_100`", "resnet18, resnet26"],
    ),
    (
        "no model type",
        |it| it.edit("model/config.json", "\"model_type\"", "\"model\""),
        &["config.json`: it has neither `model_type`", "add for example `\"model_type\": \"bert\"`"],
    ),
    (
        "refused value",
        |it| set(it, "position_embedding_type", "\"relative_key\""),
        &["key `position_embedding_type`: unsupported value \"relative_key\"; expected \"absolute\""],
    ),
    (
        "quantized weights",
        |it| set(it, "quantization_config", r#"{ "quant_method": "bitsandbytes" }"#),
        &["key `quantization_config`: unsupported value", "expected null"],
    ),
    ("activation", |it| set(it, "hidden_act", "\"xielu\""), &["`hidden_act` is `xielu`, expected gelu"]),
    (
        "missing tensor",
        |it| it.edit("model/config.json", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3"),
        &["missing tensor in the checkpoint: `encoder.layer.2."],
    ),
    (
        "unexpected tensors",
        |it| it.edit("model/config.json", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1"),
        &["unexpected tensors in the checkpoint of model type `bert`"],
    ),
    (
        "shape",
        |it| it.edit("model/config.json", "\"intermediate_size\": 64", "\"intermediate_size\": 65"),
        &["invalid shape of tensor"],
    ),
    (
        "module",
        |it| it.edit("model/modules.json", "sentence_transformers.models.Pooling", "custom.Pooling"),
        &["modules.json`: unsupported module `custom.Pooling`; expected Transformer, Pooling"],
    ),
    (
        "sparse vectors",
        |it| it.write("model/config_sentence_transformers.json", r#"{ "model_type": "SparseEncoder" }"#),
        &["key `model_type`: unsupported value \"SparseEncoder\"; expected \"SentenceTransformer\""],
    ),
];

/// What a repository has instead of weights that are read.
const WITHOUT_WEIGHTS: &[Case] = &[
    ("nothing", |_| {}, &["no weights found in `", "expected `model.safetensors` or `pytorch_model.bin`"]),
    ("TensorFlow", |it| it.write("model/tf_model.h5", ""), &["`tf_model.h5`", "from_tf=True", "save_pretrained"]),
    ("Flax", |it| it.write("model/flax_model.msgpack", ""), &["`flax_model.msgpack`", "from_flax=True"]),
    (
        "other names",
        |it| it.write("model/open_clip_model.safetensors", ""),
        &["its other files of weights: `open_clip_model.safetensors`"],
    ),
    (
        "adapter",
        |it| it.write("model/adapter_config.json", "{}"),
        &["`adapter_config.json` in `", "it is a PEFT adapter of another model; merge it into that model"],
    ),
    (
        "GGUF",
        |it| rename(it.path("model/config.json"), it.path("model/model.Q4_K_M.gguf")).unwrap(),
        &["its weights are in GGUF, for llama.cpp: `model.Q4_K_M.gguf`"],
    ),
];

fn set(workspace: &Workspace, key: &str, value: &str) {
    let file = workspace.path("model/config.json");
    let mut config: serde_json::Value = serde_json::from_slice(&fs_err::read(&file).unwrap()).unwrap();
    config[key] = serde_json::from_str(value).unwrap();
    workspace.write("model/config.json", &config.to_string());
}

#[test]
fn refusals_name_the_route_over_an_onnx_file() {
    let hint = ["hint: any model can be used as an ONNX file", "`graph = \"model.onnx\"` in [source]"];
    let route = "; its ONNX files can be used as they are: `onnx/model.onnx`, `onnx/model_O1.onnx`; set `graph = \
                 \"onnx/model.onnx\"` in [source]";
    for &(what, change, words) in CASES {
        println!("{what}");
        let workspace = Workspace::tiny();
        change(&workspace);
        workspace.planforge(&["export", "tiny.toml"]).fails(2, &[words, &hint].concat());
        create_dir_all(workspace.path("model/onnx")).unwrap();
        for name in ["model", "model_O1"] {
            workspace.write(&format!("model/onnx/{name}.onnx"), "");
        }
        workspace.planforge(&["inspect", "tiny.toml"]).fails(2, &[words, &[route]].concat());
    }
}

#[test]
fn repositories_without_weights_that_are_read_have_a_next_step() {
    for &(what, change, words) in WITHOUT_WEIGHTS {
        let without = |workspace: &Workspace| remove_file(workspace.path("model/model.safetensors")).unwrap();
        let workspace = Workspace::tiny();
        without(&workspace);
        change(&workspace);
        println!("{what}");
        workspace.planforge(&["export", "tiny.toml"]).fails(2, words);
        workspace.write("model/model.onnx", "");
        let route = "; its ONNX files can be used as they are: `model.onnx`; set `graph = \"model.onnx\"` in [source]";
        workspace.planforge(&["export", "tiny.toml"]).fails(2, &[words, &[route]].concat());
    }
}
