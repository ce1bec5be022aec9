//! Help, the catalogue, and the doctor.

use crate::support::Workspace;

#[test]
fn every_command_has_help_with_an_example() {
    let workspace = Workspace::empty();
    let help = workspace.planforge(&["--help"]);
    help.succeeds();
    assert!(help.stdout.contains("Exit codes: 0 done; 1 failed; 2 bad usage"), "{}", help.stdout);
    let (_, commands) = help.stdout.split_once("Commands:\n").unwrap();
    let commands = commands.lines().take_while(|line| !line.is_empty());
    let names: Vec<&str> = commands
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    for expected in
        ["run", "fetch", "export", "check", "infer", "compile", "package", "publish", "host", "probe", "load"]
    {
        assert!(names.contains(&expected), "{expected} is not in {names:?}");
    }
    for name in names {
        let help = workspace.planforge(&[name, "--help"]);
        help.succeeds();
        assert!(
            help.stdout.contains("Example") && help.stdout.contains(&format!("planforge {name}")),
            "{}",
            help.stdout
        );
    }
}

#[test]
fn the_long_version_names_commit_features_and_libraries() {
    let workspace = Workspace::empty();
    let short = workspace.planforge(&["-V"]).stdout;
    let long = workspace.planforge(&["--version"]).stdout;
    assert_eq!(short.lines().count(), 1, "{short}");
    assert!(long.starts_with(&short.trim_end().to_owned()), "{long}");
    for part in ["\ncommit: ", "\nfeatures: ", "\nlibraries: TensorRT-RTX 1.7"] {
        assert!(long.contains(part), "{long}");
    }
}

#[test]
fn verbose_output_names_the_start_and_the_end_of_every_step() {
    let workspace = Workspace::tiny();
    let log = workspace.planforge(&["export", "tiny.toml", "-v", "--quiet"]).stderr;
    for line in ["started step=\"export\"", "finished step=\"export\"", "outcome=Built"] {
        assert!(log.contains(line), "{log}");
    }
}

#[test]
fn gpus_lists_types_and_what_can_be_built_for_them() {
    let workspace = Workspace::empty();
    let text = workspace.planforge(&["gpus"]);
    text.succeeds();
    assert!(
        text.stdout.lines().any(|line| line.contains("a10g") && line.contains("8.6") && line.contains("g5.xlarge"))
    );
    let gpus = workspace.json(&["gpus"]);
    let t4 = gpus.as_array().unwrap().iter().find(|gpu| gpu["name"] == "t4").unwrap();
    assert_eq!(t4["builders"][0]["builder"], "rtx");
    assert_eq!(t4["builders"][0]["precisions"], serde_json::json!(["fp16"]));
    assert_eq!(t4["instances"][0], serde_json::json!({ "name": "g4dn.xlarge", "gpu_count": 1, "multi_model": true }));
    let named = workspace.json(&["gpus", "ml.g5.2xlarge", "A10G", "nvidia-l4"]);
    let names: Vec<_> = named.as_array().unwrap().iter().map(|gpu| gpu["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["a10g", "l4"]);
    workspace.planforge(&["gpus", "l4s"]).fails(2, &["unknown GPU `l4s`; did you mean `l4`, `l40s` or `l40`?"]);
    let own = "[[gpu]]\nname = \"a16\"\nproduct = \"NVIDIA A16\"\ncompute_capability = \"8.6\"\nmemory_gib = 16\n";
    workspace.write("own.toml", own);
    let gpus = workspace.json(&["gpus", "--catalogue", "own.toml"]);
    assert_eq!(
        gpus.as_array().unwrap().last().unwrap()["builders"][0]["precisions"],
        serde_json::json!(["fp32", "fp16", "bf16"])
    );
    workspace.write("own.toml", &own.replace("memory_gib", "memory"));
    workspace.planforge(&["gpus", "--catalogue", "own.toml"]).fails(2, &["GPU catalogue", "own.toml", "memory"]);
    assert_eq!(workspace.files("planforge-out"), [""; 0]);
}

#[test]
fn every_pipeline_file_of_the_source_tree_is_valid() {
    let folder = planforge_testkit::repository().join("pipelines");
    let files = fs_err::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<_> = files.filter(|file| file.extension().is_some_and(|extension| extension == "toml")).collect();
    assert!(files.len() >= 3);
    for file in files {
        let pipeline = planforge_core::Pipeline::read(&file).unwrap();
        assert_eq!(file.file_stem().unwrap().to_str(), Some(pipeline.name.as_str()));
        pipeline.engine_targets(&planforge_core::GpuCatalogue::built_in()).unwrap();
    }
}

#[test]
fn doctor_finds_the_native_parts() {
    let parts = Workspace::empty().json(&["doctor"]);
    let parts = parts.as_array().unwrap();
    let detail = |name: &str| {
        let part = parts.iter().find(|part| part["name"] == name).unwrap();
        assert_eq!(part["found"], true, "{part}");
        part["detail"].as_str().unwrap().to_owned()
    };
    assert!(detail("TensorRT-RTX builder").starts_with("1.7.1.116 "));
    assert!(detail("ONNX Runtime").starts_with("1."));
    detail("TensorRT-RTX ONNX parser");
    let libtorch = parts.iter().find(|part| part["name"] == "libtorch").unwrap();
    let expected = if cfg!(feature = "torch") { "2.13.0" } else { "this planforge was built without TorchScript: " };
    assert!(libtorch["detail"].as_str().unwrap().starts_with(expected), "{libtorch}");
}

#[test]
fn doctor_names_what_is_missing_and_what_brings_it() {
    let workspace = Workspace::empty();
    fs_err::create_dir(workspace.path("nothing")).unwrap();
    let ended = workspace.planforge(&["doctor", "--native", "nothing"]);
    ended.fails(3, &["missing: TensorRT-RTX builder, TensorRT-RTX ONNX parser, ONNX Runtime", "scripts/setup"]);
    assert!(ended.stdout.contains("MISSING") && ended.stdout.contains("run `scripts/setup`"), "{}", ended.stdout);
}
