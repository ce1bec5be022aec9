//! TorchScript modules against what timm and transformers compute, loaded from the files that were written.

use crate::parity::{
    Case, FP16_COSINE_FLOOR, FP32_TOLERANCE, checkpoints, cosine, exported, floats, relative_difference,
};
use crate::support::Workspace;
use planforge_core::{
    Cache, CachedArtifact, DataType, DigestCache, Dim, Model, NoProgress, Precision, Task, TensorSpec, TokenType,
    digest_file,
};
use planforge_engine::{ExportOptions, export_torchscript};
use planforge_package::{UnpackLimits, unpack};
use planforge_runtime::{Device, OnnxSession, SessionOptions, Tensor, TensorValues, TorchSession, load_library};
use planforge_testkit::{FixtureCase, native};
use planforge_triton_config::Backend;
use std::path::Path;

/// Columns of padding added to texts.
const MORE_PADDING: usize = 4;

/// Exports a checkpoint.
pub(crate) fn export(cache: &Path, fixture: &FixtureCase, precision: Precision) -> CachedArtifact<Model> {
    let options = ExportOptions { image_size: fixture.image_size, ..ExportOptions::new(fixture.task, precision) };
    export_with(cache, fixture, &options)
}

fn export_with(cache: &Path, fixture: &FixtureCase, options: &ExportOptions) -> CachedArtifact<Model> {
    let snapshot = planforge_hub::local_snapshot(&fixture.folder, None, &DigestCache::default(), &NoProgress).unwrap();
    export_torchscript(&snapshot, options, &Cache::new(cache), &NoProgress).unwrap()
}

/// Loads a module.
pub(crate) fn session(module: &CachedArtifact<Model>) -> TorchSession {
    load(&module.path("model.pt"), (&module.record.inputs, &module.record.outputs)).unwrap()
}

/// The checkpoint as ONNX, for its expected values, and as TorchScript.
fn both(workspace: &Workspace, fixture: &FixtureCase, precision: Precision) -> (Case, TorchSession) {
    let case = exported(workspace, fixture, precision);
    let module = export(&workspace.path("cache"), fixture, precision);
    let (onnx, torch) = (&case.model.record, &module.record);
    assert_eq!((&torch.inputs, &torch.outputs, &torch.labels), (&onnx.inputs, &onnx.outputs, &onnx.labels));
    assert_eq!((torch.parameter_count, torch.max_sequence), (onnx.parameter_count, onnx.max_sequence));
    assert_eq!(torch.unused_tensors, onnx.unused_tensors);
    (case, session(&module))
}

fn load(file: &Path, interface: (&[TensorSpec], &[TensorSpec])) -> planforge_runtime::Result<TorchSession> {
    TorchSession::load(file, interface, &SessionOptions::default())
}

/// Compares the outputs for rows of the batch with the start of each row's expected values: a text that was cut
/// gives fewer, the columns added to one are left out.
fn agrees(case: &Case, outputs: &[Tensor], rows: std::ops::Range<usize>, what: &str) {
    assert_eq!(outputs.len(), case.model.record.outputs.len());
    for (output, spec) in outputs.iter().zip(&case.model.record.outputs) {
        let recorded = &case.expected.outputs[&output.name];
        let per_token = spec.dims.get(1) == Some(&Dim::dynamic("sequence"));
        let tokens = if per_token { recorded.shape[1].min(output.shape[1]) } else { 1 };
        let width = recorded.values.len() / case.batch() / if per_token { recorded.shape[1] } else { 1 };
        let starts = |all: usize, index: usize| index * all..index * all + tokens * width;
        let (all_found, all_expected) = (floats(output).len() / rows.len(), recorded.values.len() / case.batch());
        for (index, row) in rows.clone().enumerate() {
            let found = &floats(output)[starts(all_found, index)];
            let difference = relative_difference(found, &recorded.values[starts(all_expected, row)]);
            assert!(difference <= FP32_TOLERANCE, "{} {} {what} {row}: {difference:e}", case.name, output.name);
        }
    }
}

/// Texts of a number of tokens: without their last columns, or with columns of padding as the texts have it.
fn resized(inputs: &[Tensor], length: usize) -> Vec<Tensor> {
    let integers = |input: &Tensor| match &input.values {
        TensorValues::Int64(values) => values.clone(),
        _ => panic!("`{}` is not a text", input.name),
    };
    let mask = inputs.iter().find(|input| input.name == "attention_mask").map(integers).unwrap_or_default();
    let resize = |input: &Tensor| {
        let values = integers(input);
        let padding = values.iter().zip(&mask).find(|(_, kept)| **kept == 0).map_or(0, |(value, _)| *value);
        let row = |row: &[i64]| row.iter().copied().chain(std::iter::repeat(padding)).take(length).collect::<Vec<_>>();
        let values = values.chunks(input.shape[1]).flat_map(row).collect();
        Tensor::new(&input.name, &[input.shape[0], length], TensorValues::Int64(values)).unwrap()
    };
    inputs.iter().map(resize).collect()
}

/// Tokens of each row.
fn lengths(case: &Case) -> Vec<usize> {
    let mask = &case.expected.inputs["attention_mask"];
    mask.values.chunks(mask.shape[1]).map(|row| row.iter().filter(|&&kept| kept != 0.0).count()).collect()
}

#[test]
fn fp32_modules_agree_with_the_references_at_any_size() {
    let workspace = Workspace::empty();
    for fixture in checkpoints() {
        let (case, session) = both(&workspace, &fixture, Precision::Fp32);
        let run = |inputs: &[Tensor]| session.run(inputs).unwrap();
        let all = 0..case.batch();
        agrees(&case, &run(&case.inputs(&all)), all.clone(), "together");
        for row in all.clone() {
            agrees(&case, &run(&case.inputs(&(row..row + 1))), row..row + 1, "alone");
        }
        if fixture.task.is_over_images() {
            continue;
        }
        let length = case.expected.inputs["input_ids"].shape[1];
        agrees(&case, &run(&resized(&case.inputs(&all), length + MORE_PADDING)), all.clone(), "padded");
        for (row, length) in lengths(&case).into_iter().enumerate() {
            let alone = resized(&case.inputs(&(row..row + 1)), length);
            agrees(&case, &run(&alone), row..row + 1, "without padding");
        }
    }
}

#[test]
fn fp16_modules_agree_with_the_references() {
    let workspace = Workspace::empty();
    for fixture in checkpoints() {
        let (case, session) = both(&workspace, &fixture, Precision::Fp16);
        for output in session.run(&case.inputs(&(0..case.batch()))).unwrap() {
            let cosine = cosine(floats(&output), &case.expected.outputs[&output.name].values);
            assert!(cosine >= FP16_COSINE_FLOOR, "{} {}: {cosine}", case.name, output.name);
        }
    }
}

#[test]
fn modules_take_tokens_as_32_bit_integers() {
    let narrow = |input: &Tensor| {
        let TensorValues::Int64(values) = &input.values else { panic!("`{}` is not a text", input.name) };
        let values = values.iter().map(|&value| i32::try_from(value).unwrap()).collect();
        Tensor::new(&input.name, &input.shape, TensorValues::Int32(values)).unwrap()
    };
    let workspace = Workspace::empty();
    for fixture in checkpoints().into_iter().filter(|fixture| !fixture.task.is_over_images()) {
        let case = exported(&workspace, &fixture, Precision::Fp32);
        let options =
            ExportOptions { token_type: TokenType::Int32, ..ExportOptions::new(fixture.task, Precision::Fp32) };
        let module = export_with(&workspace.path("cache"), &fixture, &options);
        assert!(module.record.inputs.iter().all(|input| input.data_type == DataType::Int32), "{}", fixture.name);
        let all = 0..case.batch();
        let inputs: Vec<Tensor> = case.inputs(&all).iter().map(narrow).collect();
        agrees(&case, &session(&module).run(&inputs).unwrap(), all, "with tokens in int32");
    }
}

#[test]
fn bytes_are_the_same_in_every_folder_and_name_no_device() {
    let workspace = Workspace::empty();
    for fixture in checkpoints() {
        let name = &fixture.name;
        let export = |cache| export(&workspace.path(cache), &fixture, Precision::Fp32);
        let (first, second) = (export("first"), export("second/folder"));
        assert_eq!(first.files, second.files, "{name}");
        // The code is not compressed. A device in it would be the one that the module was traced on.
        let bytes = fs_err::read(second.path("model.pt")).unwrap();
        let has = |word: &[u8]| bytes.windows(word.len()).any(|window| window == word);
        assert!(has(b"def forward(self") && !has(b"device"), "{name}");
    }
}

#[test]
fn the_program_exports_modules_and_compares_them_with_onnx() {
    let workspace = Workspace::tiny();
    workspace.edit("tiny.toml", "[export]", "[export]\nformats = [\"onnx\", \"torchscript\"]");
    workspace.edit("tiny.toml", "[export]", "[export]\ntoken_type = \"int32\"");
    let narrow = workspace.json(&["check", "tiny.toml"]);
    assert!(narrow["checks"].as_array().unwrap().iter().all(|check| check["passed"] == true), "{narrow}");
    workspace.edit("tiny.toml", "token_type = \"int32\"\n", "");
    let report = workspace.json(&["check", "tiny.toml"]);
    let checks = report["checks"].as_array().unwrap();
    for precision in ["fp32", "fp16"] {
        let subject = format!("torchscript-{precision}");
        let of_module: Vec<_> = checks.iter().filter(|check| check["subject"] == *subject).collect();
        assert_eq!(of_module.len(), 3, "{checks:?}");
        assert!(of_module.iter().all(|check| check["reference"] == "onnx-fp32" && check["passed"] == true));
    }
    let snapshot =
        planforge_hub::local_snapshot(&workspace.path("model"), None, &DigestCache::default(), &NoProgress).unwrap();
    let options = ExportOptions::new(Task::SentenceEmbedding, Precision::Fp32);
    let here = export_torchscript(&snapshot, &options, &Cache::new(&workspace.path("cache")), &NoProgress).unwrap();
    let written = workspace.path("planforge-out/tiny/export/torchscript-fp32/model.pt");
    assert_eq!(digest_file(&written, &NoProgress).unwrap(), here.files[0].sha256, "another process, another folder");
    assert_eq!(here.files.len(), 1);
    assert_eq!(workspace.half_written(), [""; 0]);
    let again = workspace.planforge(&["package", "tiny.toml"]);
    again.succeeds();
    assert!(again.stderr.contains("torchscript-fp16"), "{}", again.stderr);
}

/// Names in one of the lists of a `config.pbtxt`, in order.
fn names_in(config: &str, list: &str) -> Vec<String> {
    let (_, rest) = config.split_once(&format!("\n{list} [\n")).unwrap();
    let lines = rest.split("\n]").next().unwrap().lines();
    lines.filter_map(|line| Some(line.trim().strip_prefix("name: ")?.trim_matches('"').to_owned())).collect()
}

#[test]
fn a_gpu_that_libtorch_does_not_see_is_named() {
    let options = SessionOptions { device: Device::Cuda(7), ..SessionOptions::default() };
    let error = TorchSession::load(Path::new("/dev/null"), (&[], &[]), &options).unwrap_err().to_string();
    assert!(error.contains("and cannot use number 7; a libtorch with CUDA, a driver and a GPU are needed"), "{error}");
}

#[test]
fn packages_for_pytorch_are_published_and_their_modules_agree_with_onnx() {
    let workspace = Workspace::tiny();
    workspace.package_without_engines("[\"pytorch\", \"onnx\"]\npytorch_precisions = [\"fp32\"]");
    let report = workspace.json(&["publish", "tiny.toml"]);
    let archives = report["archives"].as_array().unwrap();
    let made: Vec<_> = archives.iter().map(|archive| &archive["variant"]["platform"]).collect();
    assert_eq!(made, ["pytorch", "onnx", "onnx"]);
    let modules = workspace.files("planforge-out/tiny/export").into_iter().filter(|file| file.ends_with(".pt"));
    assert_eq!(modules.collect::<Vec<_>>(), ["torchscript-fp32/model.pt"]);

    let copy = workspace.path("planforge-out/tiny/store/tiny/pytorch-fp32/tiny-v2.tar.gz");
    let unpacked = unpack(&copy, &workspace.path("unpacked"), &UnpackLimits::default()).unwrap();
    assert_eq!((unpacked.backend, unpacked.max_batch_size), (Backend::Pytorch, 4));
    assert!(unpacked.model_file.ends_with("tiny/1/model.pt"), "{}", unpacked.model_file.display());
    let config = fs_err::read_to_string(workspace.path("unpacked/tiny/config.pbtxt")).unwrap();
    let inputs = names_in(&config, "input");
    // The names of the module's arguments, which the backend matches; outputs by their place.
    let bytes = fs_err::read(&unpacked.model_file).unwrap();
    let signature =
        format!("def forward(self: __torch__.Model,\n    {}: Tensor) -> Tuple", inputs.join(": Tensor,\n    "));
    assert!(bytes.windows(signature.len()).any(|window| window == signature.as_bytes()), "{signature}");
    let outputs = ["last_hidden_state__0", "pooler_output__1", "sentence_embedding__2"];
    assert_eq!(names_in(&config, "output"), outputs);

    let input = |name: &String| {
        let row = if name == "input_ids" { [2, 9, 11, 3, 2, 7, 3, 0] } else { [1, 1, 1, 1, 1, 1, 1, 0] };
        let row = if name == "token_type_ids" { [0; 8] } else { row };
        Tensor::new(name, &[2, 4], TensorValues::Int64(row.to_vec())).unwrap()
    };
    let given: Vec<Tensor> = inputs.iter().map(input).collect();
    load_library(&native().join("onnxruntime/libonnxruntime.so")).unwrap();
    let graph = workspace.path("planforge-out/tiny/export/onnx-fp32/model.onnx");
    let expected = OnnxSession::load(&graph, &SessionOptions::default()).unwrap().run(&given, &[]).unwrap();
    let spec = |name: &str, data_type| TensorSpec::new(name, data_type, vec![Dim::dynamic("batch"), Dim::dynamic("n")]);
    let takes: Vec<_> = inputs.iter().map(|name| spec(name, DataType::Int64)).collect();
    let gives = outputs.map(|name| spec(name, DataType::Fp32));
    let found = load(&unpacked.model_file, (&takes, &gives)).unwrap().run(&given).unwrap();
    for (found, expected) in found.iter().zip(&expected) {
        let values: Vec<f64> = floats(expected).iter().copied().map(f64::from).collect();
        let difference = relative_difference(floats(found), &values);
        assert!(found.shape == expected.shape && difference <= FP32_TOLERANCE, "{}: {difference:e}", found.name);
    }
}

#[test]
fn modules_that_would_keep_values_in_fp32_are_left_out_or_refused() {
    let workspace = Workspace::tiny();
    let keys = "[export]\nformats = [\"onnx\", \"torchscript\"]\nkeep_fp32 = [\"pooler\"]";
    workspace.edit("tiny.toml", "[export]", keys);
    let ended = workspace.planforge(&["export", "tiny.toml"]);
    ended.succeeds();
    assert!(ended.stderr.contains("TorchScript is not made in fp16"), "{}", ended.stderr);
    let modules = workspace.files("planforge-out/tiny/export");
    let modules: Vec<_> = modules.iter().filter(|file| file.ends_with(".pt")).collect();
    assert_eq!(modules, ["torchscript-fp32/model.pt"]);
    workspace.edit("tiny.toml", "[\"fp32\", \"fp16\"]", "[\"fp16\"]");
    let words = "cannot keep single values in fp32, here 3 such as `pooler.dense.product`; export it in fp32";
    workspace.edit("tiny.toml", "gpus = [\"t4\", \"l4\"]", "gpus = [\"t4\"]");
    workspace.planforge(&["export", "tiny.toml"]).fails(2, &[words]);
}

#[test]
fn mistakes_of_a_checkpoint_are_named_and_files_that_are_no_module_are_refused() {
    let workspace = Workspace::tiny();
    workspace.edit("tiny.toml", "[export]", "[export]\nformats = [\"onnx\", \"torchscript\"]");
    workspace.edit("model/config.json", "\"intermediate_size\": 64", "\"intermediate_size\": 65");
    workspace.planforge(&["export", "tiny.toml"]).fails(2, &["[64, 32]; expected [65, 32]"]);
    let snapshot =
        planforge_hub::local_snapshot(&workspace.path("model"), None, &DigestCache::default(), &NoProgress).unwrap();
    let options = ExportOptions::new(Task::SentenceEmbedding, Precision::Fp32);
    let cache = Cache::new(&workspace.path("cache"));
    let error = export_torchscript(&snapshot, &options, &cache, &NoProgress).unwrap_err().to_string();
    assert!(error.contains("[64, 32]; expected [65, 32]"), "{error}");

    workspace.write("model.pt", "no module");
    let error = load(&workspace.path("model.pt"), (&[], &[])).unwrap_err().to_string();
    assert!(error.starts_with("libtorch failed with `") && !error.contains('\n'), "{error}");
}
