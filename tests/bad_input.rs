//! Mistakes: each is named, has its exit code, and leaves nothing half-written.

use crate::support::{Workspace, end};
use planforge_testkit::TinyBert;
use serde_json::{Value, json};
use std::process::Command;

#[test]
fn unknown_keys_and_bad_values_name_line_and_key() {
    for (from, to, words) in [
        (
            "[export]",
            "[export]\nprecison = \"fp16\"",
            ["tiny.toml", "line 12: unknown key `export.precison`", "did you mean `precisions`?"],
        ),
        ("batch = [1, 2, 4]", "batch = [4, 2, 1]", ["tiny.toml", "line 8", "1 <= min <= opt <= max"]),
        (
            "copies = 3",
            "copies = 0",
            ["tiny.toml", "`package.copies`: invalid number of copies 0", "expected 1 to 100000"],
        ),
        ("\"t4\"", "\"t44\"", ["unknown GPU `t44`", "`t4`", "`planforge gpus` lists all"]),
        ("\"t4\"", "\"h100\"", ["unsupported GPU `h100`", "compute capability 9.0", "l40s"]),
        ("task = \"sentence-embedding\"", "task = \"embedding\"", ["line 2", "`embedding`", "sentence-embedding"]),
        ("name = \"tiny\"", "name = \"../tiny\"", ["line 1", "invalid model name `../tiny`", "A-Z a-z 0-9"]),
        ("sequence = [4, 16, 64]", "sequence = [4, 16, 65]", ["too large: 65", "at most 64", "profile"]),
        (
            "stages = [{ users = 2",
            "batch = 5\nstages = [{ users = 2",
            ["key `load.batch`", "invalid value 5", "1 to 4"],
        ),
        ("[load]", "[host]\nmemory = \"lots\"\n[load]", ["line 23", "invalid amount of memory `lots`", "640 MiB"]),
        ("path = \"model\"", "repo = \"a/b/c\"", ["key `source.repo`", "invalid repository `a/b/c`", "owner/name"]),
    ] {
        let workspace = Workspace::tiny();
        workspace.edit("tiny.toml", from, to);
        workspace.planforge(&["run", "tiny.toml"]).fails(2, &words);
        assert!(!workspace.files("planforge-out/tiny").iter().any(|file| file.ends_with(".plan")));
        assert_eq!(workspace.half_written(), [""; 0]);
    }
}

#[test]
fn profiles_beyond_the_model_are_refused_without_an_engine_too() {
    for (from, to, words) in [
        ("sequence = [4, 16, 64]", "sequence = [4, 16, 65]", ["too large: 65", "at most 64"]),
        ("sequence = [4, 16, 64]", "", ["missing `sequence`", "inputs need"]),
    ] {
        let workspace = Workspace::tiny();
        workspace.package_without_engines("[\"onnx\"]");
        workspace.edit("tiny.toml", from, to);
        workspace.planforge(&["run", "tiny.toml"]).fails(2, &words);
    }
}

#[test]
fn outputs_of_engines_are_chosen_by_name() {
    let workspace = Workspace::tiny();
    workspace.edit("tiny.toml", "[compile]", "[compile]\noutputs = [\"pooler_output\", \"embedding\"]");
    let known = "expected one of last_hidden_state, pooler_output, sentence_embedding";
    workspace.planforge(&["compile", "tiny.toml"]).fails(2, &["unknown output `embedding`", known]);
    workspace.edit("tiny.toml", ", \"embedding\"", ", \"sentence_embedding\"");
    workspace.planforge(&["package", "tiny.toml"]).succeeds();
    let engine = fs_err::read(workspace.path("planforge-out/tiny/engines/tensorrt-fp16-l4/model.plan")).unwrap();
    let has = |name: &str| engine.windows(name.len()).any(|window| window == name.as_bytes());
    assert!(has("pooler_output") && has("sentence_embedding") && !has("last_hidden_state"));
}

#[test]
fn bad_arguments_are_bad_usage() {
    let workspace = Workspace::tiny();
    workspace.planforge(&["run", "nowhere.toml"]).fails(2, &["pipeline file `nowhere.toml` does not exist"]);
    workspace.planforge(&["run", "."]).fails(2, &["`.` is a folder: name the pipeline file in it"]);
    workspace.planforge(&["run"]).fails(2, &["<PIPELINE>..."]);
    workspace.planforge(&["rum", "tiny.toml"]).fails(2, &["unrecognized subcommand 'rum'"]);
    workspace
        .planforge(&["publish", "tiny.toml", "--copies", "0"])
        .fails(2, &["invalid number of copies 0; expected 1 to 100000"]);
    workspace.planforge(&["compile", "tiny.toml", "--gpu", "a11g"]).fails(2, &["unknown GPU `a11g`"]);
    workspace.planforge(&["report", "tiny.toml"]).fails(2, &["`tiny.toml` is not a report"]);
    workspace.planforge(&["compile", "tiny.toml", "--jobs", "0"]).fails(2, &["expected a whole number of at least 1"]);
    workspace.planforge(&["compile", "tiny.toml", "--memory", "8"]).fails(2, &["invalid amount of memory `8`"]);
    let twice = "`tiny.toml`: key `export.precisions`: \"fp16\" is listed twice";
    workspace.planforge(&["plan", "tiny.toml", "--precision", "fp16,fp16"]).fails(2, &[twice]);
    workspace.planforge(&["load", "tiny.toml", "--url", "127.0.0.1:1"]).fails(2, &["expected e.g. http://127.0.0.1"]);
    workspace.planforge(&["lint", "tiny.toml", "no.tar.gz"]).fails(2, &["archive `no.tar.gz` does not exist"]);
    workspace.planforge(&["lint", "model"]).fails(2, &["`model` is a folder", "such as 'model/*.tar.gz'"]);
    workspace.planforge(&["lint", "model/*.gz"]).fails(2, &["no file matches `model/*.gz`"]);
    assert_eq!(workspace.files("planforge-out"), [""; 0]);
    let ended = workspace.planforge(&["probe", "tiny.toml", "--url", "http://127.0.0.1:1"]);
    ended.fails(
        1,
        &[
            "failed to connect to endpoint `http://127.0.0.1:1/endpoints/tiny/state`",
            "hint: start one with `planforge host`",
        ],
    );
    let ended = workspace.planforge(&["load", "tiny.toml", "--url", "http://127.0.0.1:1"]);
    ended.fails(1, &["failed to connect to endpoint `http://127.0.0.1:1/endpoints/tiny/state`"]);
}

#[test]
fn arguments_and_keys_that_contradict_each_other_are_refused() {
    let workspace = Workspace::tiny();
    workspace.package_without_engines("[\"onnx\"]");
    workspace.edit("tiny.toml", "[load]", "[triton]\ninstance_kind = \"cpu\"\n\n[load]");
    let words = "`tiny.toml`: key `triton.instance_kind`: ";
    workspace.planforge(&["compile", "tiny.toml", "--gpu", "l4"]).fails(2, &[words, "engines run on GPUs only"]);
    let half = ["export", "tiny.toml", "--precision", "bf16"];
    workspace.planforge(&half).fails(2, &[words, "ONNX Runtime has bf16 arithmetic on GPUs only"]);
    assert_eq!(workspace.files("planforge-out"), [""; 0]);
}

#[test]
fn missing_files_of_a_checkpoint_are_named() {
    for (file, code, words) in [
        ("config.json", 2, ["`config.json`", "model"]),
        ("model.safetensors", 2, ["safetensors", "model"]),
        ("tokenizer.json", 2, ["`tokenizer.json`", "model"]),
    ] {
        let workspace = Workspace::tiny();
        fs_err::remove_file(workspace.path("model").join(file)).unwrap();
        workspace.planforge(&["run", "tiny.toml"]).fails(code, &words);
        assert_eq!(workspace.half_written(), [""; 0]);
    }
    let workspace = Workspace::tiny();
    fs_err::remove_dir_all(workspace.path("model")).unwrap();
    workspace.planforge(&["run", "tiny.toml"]).fails(2, &["source folder", "model` does not exist"]);
    let workspace = Workspace::tiny();
    workspace.edit("tiny.toml", "path = \"model\"", "repo = \"nobody/nothing\"");
    workspace
        .planforge(&["run", "tiny.toml"])
        .fails(1, &["offline mode is on", "`nobody/nothing`", "unset HF_HUB_OFFLINE"]);
}

#[test]
fn damaged_checkpoints_are_refused() {
    type Damage = fn(&mut Vec<u8>);
    let damage: [(&str, Damage); 4] = [
        ("header length beyond the file", |bytes| bytes[..8].copy_from_slice(&u64::MAX.to_le_bytes())),
        ("header that is no JSON", |bytes| bytes[8] = b'x'),
        ("cut in the middle", |bytes| bytes.truncate(bytes.len() / 2)),
        ("empty file", Vec::clear),
    ];
    for (what, damage) in damage {
        let workspace = Workspace::tiny();
        let path = workspace.path("model/model.safetensors");
        let mut bytes = fs_err::read(&path).unwrap();
        damage(&mut bytes);
        fs_err::write(&path, bytes).unwrap();
        let ended = workspace.planforge(&["run", "tiny.toml"]);
        ended.fails(2, &["model.safetensors", "invalid safetensors file"]);
        assert_eq!(workspace.half_written(), [""; 0], "{what}");
        assert!(!workspace.files("planforge-out/tiny").iter().any(|file| file.ends_with(".onnx")), "{what}");
    }
}

#[test]
fn checkpoints_that_do_not_fit_are_refused() {
    let workspace = Workspace::tiny();
    workspace.edit("model/config.json", "\"model_type\": \"bert\"", "\"model_type\": \"mamba\"");
    workspace
        .planforge(&["run", "tiny.toml"])
        .fails(2, &["unsupported model type `mamba`; expected one of bert, camembert, convnext,"]);
    let workspace = Workspace::tiny();
    workspace.edit("model/config.json", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3");
    workspace.planforge(&["run", "tiny.toml"]).fails(2, &["missing tensor in the checkpoint: `encoder.layer.2."]);
    let workspace = Workspace::tiny();
    workspace.edit("model/config.json", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1");
    workspace
        .planforge(&["run", "tiny.toml"])
        .fails(2, &["unexpected tensors in the checkpoint of model type `bert`", "encoder.layer.1."]);
    let workspace = Workspace::tiny();
    workspace.edit("model/config.json", "\"intermediate_size\": 64", "\"intermediate_size\": 65");
    workspace.planforge(&["run", "tiny.toml"]).fails(2, &["intermediate.dense.weight`: [64, 32]; expected [65, 32]"]);
    let workspace = Workspace::tiny();
    workspace.write("model/tokenizer.json", "{}");
    workspace
        .planforge(&["run", "tiny.toml"])
        .fails(2, &["cannot read `", "model/tokenizer.json`: missing field `model`"]);
}

#[test]
fn formats_are_refused_before_anything_is_fetched() {
    let workspace = Workspace::tiny();
    workspace.edit("tiny.toml", "[export]", "[export]\nformats = [\"torchscript\"]");
    workspace.planforge(&["export", "tiny.toml"]).fails(2, &["key `export.formats`", "\"onnx\" is missing"]);
    if cfg!(not(feature = "torch")) {
        workspace.edit("tiny.toml", "[\"torchscript\"]", "[\"onnx\", \"torchscript\"]");
        let remedy = "this planforge was built without TorchScript: cargo build --features torch after scripts/setup";
        workspace.planforge(&["export", "tiny.toml"]).fails(3, &[remedy, "planforge doctor"]);
        assert_eq!(workspace.files("planforge-out"), [""; 0]);
    }
}

/// Without libtorch a pipeline's other variants are made, and one of PyTorch alone cannot be.
#[cfg(not(feature = "torch"))]
#[test]
fn variants_for_pytorch_are_skipped_aloud_without_libtorch() {
    let workspace = Workspace::tiny();
    let remedy = "this planforge was built without TorchScript: cargo build --features torch after scripts/setup";
    workspace.package_without_engines("[\"pytorch\", \"onnx\"]");
    let report = workspace.json(&["package", "tiny.toml"]);
    let archives = report["archives"].as_array().unwrap();
    let made: Vec<_> = archives.iter().map(|archive| &archive["variant"]["platform"]).collect();
    assert_eq!(made, ["onnx", "onnx"]);
    let skipped: Vec<_> = report["skipped"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
    assert_eq!(skipped.len(), 2);
    assert!(skipped[0].starts_with(&format!("variant `pytorch-fp32` cannot be made: {remedy}")), "{skipped:?}");
    workspace.edit("tiny.toml", "[\"pytorch\", \"onnx\"]", "[\"pytorch\"]");
    workspace.planforge(&["package", "tiny.toml"]).fails(3, &[remedy, "planforge doctor"]);
}

#[test]
fn missing_and_damaged_native_libraries_say_what_brings_them() {
    let workspace = Workspace::tiny();
    let hint = "hint: `planforge doctor` shows what is missing; `scripts/setup`";
    workspace
        .planforge(&["check", "tiny.toml", "--native", "none"])
        .fails(3, &["ONNX Runtime was not found at", "none", hint]);
    workspace.planforge(&["run", "tiny.toml", "--native", "none"]).fails(3, &["was not found at", hint]);
    for (file, what) in
        [("onnxruntime/libonnxruntime.so", "ONNX Runtime"), ("tensorrt-rtx/libtensorrt_rtx.so.1", "native library")]
    {
        let broken = workspace.path("broken");
        let native = planforge_testkit::native();
        fs_err::create_dir_all(&broken).unwrap();
        for part in ["onnxruntime", "tensorrt-rtx"] {
            fs_err::create_dir_all(broken.join(part)).unwrap();
            for entry in std::fs::read_dir(native.join(part)).unwrap().flatten() {
                let link = broken.join(part).join(entry.file_name());
                let _ = std::fs::remove_file(&link);
                std::os::unix::fs::symlink(entry.path(), link).unwrap();
            }
        }
        fs_err::remove_file(broken.join(file)).unwrap();
        fs_err::write(broken.join(file), "no library").unwrap();
        workspace.planforge(&["run", "tiny.toml", "--native", "broken"]).fails(3, &[what, file, hint]);
    }
    assert_eq!(workspace.half_written(), [""; 0]);
}

#[test]
fn a_missing_backend_that_archives_are_to_carry_is_found_before_anything_is_built() {
    let workspace = Workspace::tiny();
    workspace.edit("tiny.toml", "copies = 3", "copies = 3\ninclude_backend = true");
    let ended = workspace.planforge(&["package", "tiny.toml", "--triton-backend", "nowhere/libtriton_planforge.so"]);
    ended.fails(3, &["nowhere/libtriton_planforge.so` is missing", "cargo build --release", "hint: "]);
    assert!(!workspace.files("planforge-out/tiny").iter().any(|file| file.ends_with(".plan")));
    workspace.planforge(&["compile", "tiny.toml", "--gpu", "l4"]).succeeds();
}

#[test]
fn an_output_folder_that_cannot_be_written_is_named() {
    let workspace = Workspace::tiny();
    workspace.write("file", "");
    workspace.planforge(&["run", "tiny.toml", "--output", "file"]).fails(1, &["file/", "ot a directory"]);
    workspace.planforge(&["run", "tiny.toml", "--output", "/proc/planforge"]).fails(1, &["/proc/planforge"]);
    assert_eq!(fs_err::read(workspace.path("file")).unwrap(), b"");
}

/// A disk of some hundred kilobytes, mounted in a name space of its own, which takes root.
#[test]
fn a_full_disk_is_named_and_nothing_is_left_half_written() {
    let workspace = Workspace::tiny();
    workspace.planforge(&["check", "tiny.toml"]).succeeds();
    if !Command::new("unshare").args(["--mount", "true"]).status().is_ok_and(|status| status.success()) {
        println!("SKIPPED: mounting a small disk needs root");
        return;
    }
    for kibibytes in [60, 300, 700, 1500] {
        let script = format!(
            "mkdir -p disk && mount -t tmpfs -o size={kibibytes}k tmpfs disk || exit 99\n\
             \"$0\" publish tiny.toml --output disk; code=$?\n\
             find disk -name '.building-*' -o -name '.planforge-*'\n\
             exit $code"
        );
        let program = workspace.command(&[]);
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &script]).arg(program.get_program()).current_dir(workspace.folder.path());
        command.env_clear().envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped());
        let ended = end(command);
        ended.fails(3, &["No space left on device", "disk/"]);
        assert_eq!(ended.stdout, "", "{kibibytes} KiB");
    }
}

#[test]
fn weights_without_elements_are_refused() {
    let workspace = Workspace::tiny();
    fs_err::remove_dir_all(workspace.path("model")).unwrap();
    TinyBert { hidden_size: 0, ..TinyBert::default() }.write(&workspace.path("model")).unwrap();
    let ended = workspace.planforge(&["export", "tiny.toml"]);
    assert_eq!(ended.status.code(), Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("has no elements: its shape is ["), "{}", ended.stderr);
}

/// What the tokenizers library would end the process at.
#[test]
fn hostile_tokenizers_are_errors() {
    let workspace = Workspace::tiny();
    workspace.edit(
        "model/config.json",
        "\"model_type\"",
        "\"tokenizer_class\": \"PreTrainedTokenizerFast\", \"model_type\"",
    );
    let file = "model/tokenizer.json";
    let good: Value = serde_json::from_slice(&fs_err::read(workspace.path(file)).unwrap()).unwrap();
    // Its template names a token that it does not have.
    let mut bad = good.clone();
    bad["post_processor"]["special_tokens"].as_object_mut().unwrap().remove("[CLS]").unwrap();
    workspace.write(file, &bad.to_string());
    workspace.planforge(&["infer", "tiny.toml"]).fails(2, &["tokenizer.json", "tokenizers library"]);
    // It pads to more than there is memory for; planforge pads as it needs.
    let mut padded = good;
    padded["padding"] = json!({
        "strategy": "BatchLongest", "direction": "Right", "pad_to_multiple_of": 1_000_000_000_000_u64, "pad_id": 0,
        "pad_type_id": 0, "pad_token": "[PAD]",
    });
    workspace.write(file, &padded.to_string());
    workspace.planforge(&["infer", "tiny.toml"]).succeeds();
}
