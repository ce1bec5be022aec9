//! Engines without weights: what checkpoints share, what is packaged, and how weights are put in.

use crate::support::{Workspace, end};
use planforge_runtime::{EngineModel, ExecutionOptions, Tensor, TensorValues};
use planforge_testkit::{TinyBert, build_fake_gpu, fake_engine, fake_weights, on_fake_gpu, repository};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// A pipeline `<name>.toml` over the checkpoint in `<name>`, for engines without weights.
fn add(workspace: &Workspace, name: &str, bert: &TinyBert) {
    bert.write(&workspace.path(name)).unwrap();
    let text = fs_err::read_to_string(workspace.path("tiny.toml")).unwrap();
    let text =
        text.replace("name = \"tiny\"", &format!("name = \"{name}\"")).replace("\"model\"", &format!("\"{name}\""));
    workspace.write(&format!("{name}.toml"), &text);
}

fn stripped() -> Workspace {
    let workspace = Workspace::tiny();
    workspace.edit("tiny.toml", "[compile]", "[compile]\nstrip_weights = true");
    workspace.edit("tiny.toml", "[\"t4\", \"l4\"]", "[\"l4\"]");
    workspace
}

/// Digest of each engine, and whether it was built.
fn engines(report: &Value) -> BTreeMap<String, (String, bool)> {
    let rows = report["artifacts"].as_array().unwrap().iter().filter(|row| row["step"] == "compile");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    rows.map(|row| (text(&row["subject"]), (text(&row["sha256"]), row["outcome"] == "built"))).collect()
}

#[test]
fn checkpoints_of_one_architecture_share_an_engine() {
    let workspace = stripped();
    add(&workspace, "tuned", &TinyBert { seed: 2, ..TinyBert::default() });
    add(&workspace, "wider", &TinyBert { hidden_size: 64, ..TinyBert::default() });
    let compile = |file: &str| engines(&workspace.json(&["compile", file, "--precision", "fp32,fp16"]));
    let first = compile("tiny.toml");
    assert!(first.len() == 2 && first.values().all(|(_, built)| *built), "{first:?}");
    assert_ne!(first["tensorrt-fp32-l4"].0, first["tensorrt-fp16-l4"].0);
    let tuned = compile("tuned.toml");
    assert!(tuned.values().all(|(_, built)| !built), "{tuned:?}");
    assert!(tuned.iter().all(|(name, (sha256, _))| *sha256 == first[name].0), "{tuned:?}");
    let wider = compile("wider.toml");
    assert!(wider.iter().all(|(name, (sha256, built))| *built && *sha256 != first[name].0), "{wider:?}");
    workspace.edit("tuned.toml", "[1, 2, 4]", "[1, 2, 8]");
    assert!(compile("tuned.toml").values().all(|(_, built)| *built));
    // Each has its own weights next to the same engine.
    let folder = |name: &str| workspace.path(&format!("planforge-out/{name}/engines/tensorrt-fp16-l4"));
    let weights = |name: &str| fs_err::read(folder(name).join("model.fp16.safetensors")).unwrap();
    assert_ne!(weights("tiny"), weights("tuned"));
    let inspected = workspace.json(&["inspect", folder("tuned").join("model.plan").to_str().unwrap()]);
    assert_eq!(inspected["weight_files"], serde_json::json!(["model.fp16.safetensors"]));
    let weights = inspected["figures"]["weight_byte_count"].as_u64().unwrap();
    assert!(
        weights > fs_err::metadata(folder("tuned").join("model.fp16.safetensors")).unwrap().len() / 2,
        "{inspected}"
    );
    // With its weights in it an engine is another, and the list of them goes.
    workspace.edit("tiny.toml", "strip_weights = true", "strip_weights = false");
    let whole = compile("tiny.toml");
    assert!(whole.iter().all(|(name, (sha256, built))| *built && *sha256 != first[name].0), "{whole:?}");
    assert!(!folder("tiny").join("model.weights.json").exists());
}

#[test]
fn an_engine_of_convolutions_and_batch_norms_does_not_depend_on_the_values_of_weights() {
    assert_independent(
        "resnet-basic",
        "image-classification",
        "[export]\nprecisions = [\"fp16\"]\nimage_size = [32, 32]",
    );
}

#[test]
fn an_engine_of_convolutions_and_products_does_not_depend_on_the_values_of_weights() {
    assert_independent("timm-convnext", "image-classification", "[export]\nprecisions = [\"fp32\"]");
}

#[test]
fn an_engine_over_patches_does_not_depend_on_the_values_of_weights() {
    assert_independent("vit", "image-classification", "[export]\nprecisions = [\"bf16\"]");
}

#[test]
fn an_engine_over_texts_does_not_depend_on_the_values_of_weights() {
    let size = "sequence = [4, 8, 16]\n[export]\nprecisions = [\"bf16\"]";
    assert_independent("bert", "text-classification", size);
}

/// The library sees the values of the weights, and none of them may be in the engine: two checkpoints in caches of their
/// own.
fn assert_independent(name: &str, task: &str, size: &str) {
    let built = [0, 1].map(|change| {
        let workspace = Workspace::empty();
        if name == "bert" {
            let labels = ["bad", "good", "neither"].map(str::to_owned).to_vec();
            let bert = TinyBert { seed: u64::from(change) + 1, labels, ..TinyBert::default() };
            bert.write(&workspace.path(name)).unwrap();
        } else {
            copy_changed(&repository().join("fixtures/models").join(name), &workspace.path(name), change);
        }
        let text = format!(
            "name = \"m\"\ntask = \"{task}\"\n[source]\npath = \"{name}\"\n[[profiles]]\nbatch = [1, 2, 4]\n{size}\n\
             [compile]\nstrip_weights = true\ngpus = [\"l4\"]\n[package]\nplatforms = [\"tensorrt\"]\n"
        );
        workspace.write("m.toml", &text);
        engines(&workspace.json(&["compile", "m.toml"]))
    });
    assert!(built[0].len() == 1 && built[0].values().all(|(_, built)| *built), "{built:?}");
    assert_eq!(built[0], built[1], "{name}");
}

/// Copies a checkpoint, each of its numbers changed by up to a sixth where `change` is not 0.
fn copy_changed(source: &Path, target: &Path, change: u8) {
    fs_err::create_dir(target).unwrap();
    for file in fs_err::read_dir(source).unwrap().map(|file| file.unwrap().path()) {
        let mut bytes = fs_err::read(&file).unwrap();
        if file.extension().is_some_and(|extension| extension == "safetensors") {
            let header = usize::try_from(u64::from_le_bytes(*bytes.first_chunk().unwrap())).unwrap();
            // The upper digits of binary32.
            bytes[8 + header..].iter_mut().skip(2).step_by(4).for_each(|byte| *byte ^= change * 0x15);
        }
        fs_err::write(target.join(file.file_name().unwrap()), bytes).unwrap();
    }
}

#[test]
fn an_archive_has_the_engine_and_the_weights_of_its_checkpoint() {
    let workspace = stripped();
    workspace.edit("tiny.toml", "platforms = [\"onnx\", \"tensorrt\"]", "platforms = [\"tensorrt\"]");
    workspace.json(&["package", "tiny.toml", "--precision", "fp16"]);
    let archive = "planforge-out/tiny/archives/tensorrt-fp16-l4/tiny.tar.gz";
    let mut tar = std::process::Command::new("tar");
    let listed = tar.args(["-tzf", archive]).current_dir(workspace.folder.path()).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let names = ["tiny/", "tiny/1/", "tiny/1/model.fp16.safetensors", "tiny/1/model.plan", "tiny/1/model.weights.json"];
    assert_eq!(listed.lines().collect::<Vec<_>>(), [&names[..], &["tiny/config.pbtxt"]].concat());
    workspace.planforge(&["lint", archive]).succeeds();
    // Without a GPU it is built and packaged, and not served; nothing is left of the try.
    if !planforge_tensorrt::has_cuda_driver() {
        let report = workspace.json(&["compile", "tiny.toml", "--precision", "fp16"]);
        assert_eq!(report["engines"][0]["run"]["not_run"], "there is no CUDA driver here");
        workspace.edit("tiny.toml", "[package]", "[host]\nvariant = \"tensorrt-fp16-l4\"\n[package]");
        let words = ["`tensorrt-fp16-l4` needs a GPU of compute capability 8.9, and there is none here"];
        workspace.planforge(&["run", "tiny.toml"]).fails(2, &words);
        let plan = "planforge-out/tiny/engines/tensorrt-fp16-l4/model.plan";
        workspace.planforge(&["bench-engine", plan]).fails(3, &["there is no CUDA driver here"]);
        assert_eq!(workspace.half_written(), [""; 0]);
    }
}

#[test]
fn weights_are_put_in_before_an_engine_runs() {
    on_fake_gpu(concat!(module_path!(), "::weights_are_put_in_before_an_engine_runs"), put_in);
}

fn put_in(folder: &Path) {
    let library = folder.join("libtensorrt_rtx.so.1");
    let plan = |changes: &[(usize, u8)]| fake_engine(folder, "m.plan", &[&[(101, b'S')], changes].concat());
    let load = || EngineModel::load(&library, &folder.join("m.plan"), 0);
    let message = || load().unwrap_err().to_string().replace(&folder.display().to_string(), "FOLDER");
    let path = plan(&[]);
    let words = "`FOLDER/m.plan` was built without its weights, and 2 of them are not given: `factor`, `shift`; the list \
                 of its weights is `m.weights.json` in its folder, with the files that it names";
    assert_eq!(message(), words);
    // Two checkpoints of one engine, at once.
    let [weights, list] = fake_weights(&path, [1.0, 2.0, 3.0, 4.0], 0.5);
    let one = load().unwrap();
    let files = fake_weights(&path, [2.0; 4], -1.0);
    let two = load().unwrap();
    // What was put in is the engine's own.
    files.iter().for_each(|file| fs_err::remove_file(file).unwrap());
    let inputs = ["ids", "mask"].map(|name| Tensor::new(name, &[4, 4], TensorValues::Int64(vec![1; 16])).unwrap());
    let sums = |engine: &EngineModel| {
        let mut session = engine.session(ExecutionOptions::default()).unwrap();
        session.run(&inputs, &[]).unwrap().remove(0).values
    };
    assert_eq!(sums(&one), TensorValues::Fp32(vec![4.5, 8.5, 12.5, 16.5]));
    assert_eq!(sums(&two), TensorValues::Fp32(vec![7.0; 4]));
    drop((one, two));
    assert_eq!([&weights, &list], [&files[0], &files[1]]);
    let _ = fake_weights(&path, [1.0; 4], 0.0);
    let text = fs_err::read_to_string(&list).unwrap();
    let twist = |from: &str, to: &str| {
        assert!(text.contains(from));
        fs_err::write(&list, text.replace(from, to)).unwrap();
        message()
    };
    let type_message = twist("fp32", "int32");
    assert_eq!(
        type_message,
        "weight `factor` of `FOLDER/m.plan` has 4 elements of type INT32, expected 4 elements of type FP32"
    );
    assert!(twist("\"shift\"", "\"shaft\"").contains("and 1 of them are not given: `shift`;"));
    assert!(twist("weights.safetensors", "other").ends_with("other` cannot be mapped into memory"));
    fs_err::write(&list, &text).unwrap();
    plan(&[(102, b'R')]);
    assert_eq!(message(), "TensorRT cannot put weights into `FOLDER/m.plan`: it takes no weights");
    plan(&[(102, b'M')]);
    assert!(message().contains("1 of them are not given: `twin`"), "{}", message());
}

#[test]
fn bench_engine_puts_weights_in() {
    let (folder, workspace) = (build_fake_gpu(), Workspace::empty());
    let plan = fake_engine(folder.path(), "m.plan", &[(101, b'S')]);
    let bench = || {
        let arguments = ["bench-engine", plan.to_str().unwrap(), "--seconds", "0.05", "--warm-up", "0", "--json"];
        let mut command = workspace.command(&arguments);
        command.env("LD_LIBRARY_PATH", folder.path()).env("PLANFORGE_NATIVE_DIR", folder.path());
        end(command)
    };
    bench().fails(2, &["was built without its weights, and 2 of them are not given", "`m.weights.json`"]);
    let _ = fake_weights(&plan, [1.0; 4], 0.0);
    bench().succeeds();
}
