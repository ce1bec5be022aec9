//! Engines: options, several GPU types and pipelines at once, and builds that go wrong.

use crate::support::{Ended, Workspace, wait};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command};

/// Digest of each engine by its name.
fn engine_digests(report: &Value) -> BTreeMap<String, String> {
    let name = |engine: &Value| format!("{}-{}", engine["precision"], engine["gpu"]).replace('"', "");
    let engines = report["engines"].as_array().unwrap().iter();
    engines.map(|engine| (name(engine), engine["sha256"].to_string())).collect()
}

/// Names of the engines in the order of the report, and whether each was built.
fn engine_outcomes(report: &Value) -> Vec<(String, String)> {
    let rows = report["artifacts"].as_array().unwrap().iter().filter(|row| row["step"] == "compile");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    rows.map(|row| (text(&row["subject"]), text(&row["outcome"]))).collect()
}

/// One JSON object for each pipeline.
fn reports(ended: &Ended) -> Vec<Value> {
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn options_reach_the_builder_and_are_part_of_what_is_cached() {
    let workspace = Workspace::tiny();
    workspace.edit("tiny.toml", "[\"t4\", \"l4\"]", "[\"l4\"]");
    workspace.json(&["compile", "tiny.toml"]);
    for options in ["optimization_level = 5", "workspace = \"64 MiB\"", "optimization_level = 0\nworkspace = \"1 GiB\""]
    {
        let changed = workspace.path("changed.toml");
        let text = fs_err::read_to_string(workspace.path("tiny.toml")).unwrap();
        fs_err::write(changed, text.replace("[compile]", &format!("[compile]\n{options}"))).unwrap();
        let first = workspace.json(&["compile", "changed.toml"]);
        assert!(engine_outcomes(&first).iter().all(|(_, outcome)| outcome == "built"), "{options}");
        let second = workspace.json(&["compile", "changed.toml"]);
        assert!(engine_outcomes(&second).iter().all(|(_, outcome)| outcome == "cached"), "{options}");
    }
    // The network's activations are its workspace.
    let text = fs_err::read_to_string(workspace.path("tiny.toml")).unwrap();
    workspace.write("small.toml", &text.replace("[compile]", "[compile]\nworkspace = \"1 KiB\""));
    let words = ["take more than `compile.workspace`, 1.0 KiB; raise it, or lower the largest batch"];
    workspace.planforge(&["compile", "small.toml"]).fails(2, &words);
    for (line, words) in [
        ("optimization_level = 6", ["line 16", "invalid optimization level 6; expected 0 to 5"]),
        ("workspace = \"0 B\"", ["line 16", "invalid amount of memory `0 B`"]),
        ("fat = 1", ["line 16", "expected `true` or `false`"]),
    ] {
        let text = fs_err::read_to_string(workspace.path("tiny.toml")).unwrap();
        workspace.write("wrong.toml", &text.replace("[compile]", &format!("[compile]\n{line}")));
        workspace.planforge(&["compile", "wrong.toml"]).fails(2, &words);
    }
}

#[test]
fn one_engine_serves_several_gpu_types() {
    let workspace = Workspace::tiny();
    let arguments = ["package", "tiny.toml", "--gpu", "rtx-pro-6000,t4,l4,l40s", "--fat"];
    let report = workspace.json(&arguments);
    let names: Vec<_> = engine_outcomes(&report).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["tensorrt-fp32-sm89-sm120", "tensorrt-fp16-sm75-sm89-sm120"]);
    let half = &report["engines"][1];
    assert_eq!(half["gpus"], json!(["rtx-pro-6000", "t4", "l4", "l40s"]));
    assert_eq!(half["header_compute_capabilities"], json!(["7.5", "8.9", "12.0"]));
    assert_eq!(report["skipped"].as_array().unwrap().len(), 1, "t4 takes fp16 only: {}", report["skipped"]);
    let files = workspace.files("planforge-out/tiny");
    for file in ["engines/tensorrt-fp16-sm75-sm89-sm120/model.plan", "archives/tensorrt-fp32-sm89-sm120/tiny.tar.gz"] {
        assert!(files.iter().any(|known| known == file), "{file} is not among {files:?}");
    }
    // The order in which types are named, and their names, make no other engine.
    let again = workspace.json(&["compile", "tiny.toml", "--gpu", "l40s,rtx-pro-6000,t4", "--fat"]);
    assert!(engine_outcomes(&again).iter().all(|(_, outcome)| outcome == "cached"), "{:?}", engine_outcomes(&again));
    assert_eq!(engine_digests(&again), engine_digests(&report));
    // Another set is another package.
    let other = workspace.json(&["compile", "tiny.toml", "--gpu", "l4", "--fat", "--precision", "fp16"]);
    assert_eq!(engine_outcomes(&other), [("tensorrt-fp16-sm89".to_owned(), "built".to_owned())]);
}

#[test]
fn one_archive_carries_the_engines_of_all_gpu_types() {
    let workspace = Workspace::tiny();
    workspace.edit("tiny.toml", "[package]", "[package]\nfat = true");
    let arguments = ["package", "tiny.toml", "--gpu", "l40s,t4,l4", "--precision", "fp16"];
    let report = workspace.json(&arguments);
    let names: Vec<_> = engine_outcomes(&report).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["tensorrt-fp16-l40s", "tensorrt-fp16-t4", "tensorrt-fp16-l4"]);
    let archive = "planforge-out/tiny/archives/tensorrt-fp16-sm75-sm89/tiny.tar.gz";
    let listed = Command::new("tar").arg("tzf").arg(workspace.path(archive)).output().unwrap().stdout;
    let listed = String::from_utf8(listed).unwrap();
    let files = ["tiny/", "tiny/1/", "tiny/1/model-sm75.plan", "tiny/1/model-sm89.plan", "tiny/config.pbtxt"];
    assert_eq!(listed.lines().collect::<Vec<_>>(), files);
    workspace.planforge(&["lint", archive]).succeeds();
    // The lock has every engine and the one archive, and both are rebuilt from it.
    let lock = fs_err::read_to_string(workspace.path("tiny.lock")).unwrap();
    assert!(lock.contains("[engines.tensorrt-fp16-l40s]"), "{lock}");
    assert!(lock.contains("[archives.tensorrt-fp16-sm75-sm89]") && !lock.contains("fat ="), "{lock}");
    workspace.planforge(&["verify", "tiny.toml"]).succeeds();
}

#[test]
fn all_builds_for_every_type_the_builder_knows() {
    let workspace = Workspace::tiny();
    let report = workspace.json(&["compile", "tiny.toml", "--gpu", "all", "--precision", "fp16"]);
    let gpus = workspace.json(&["gpus"]);
    let is_in_instances = |gpu: &Value| !gpu["instances"].as_array().unwrap().is_empty();
    let takes_half = |gpu: &Value| {
        let rtx = gpu["builders"].as_array().unwrap().iter().find(|support| support["builder"] == "rtx");
        rtx.is_some_and(|rtx| rtx["precisions"].as_array().unwrap().contains(&"fp16".into()))
    };
    let known = gpus.as_array().unwrap().iter().filter(|gpu| is_in_instances(gpu) && takes_half(gpu));
    let expected: Vec<_> = known.map(|gpu| format!("tensorrt-fp16-{}", gpu["name"].as_str().unwrap())).collect();
    let built: Vec<_> = engine_outcomes(&report).into_iter().map(|(name, _)| name).collect();
    assert_eq!(built, expected);
    assert!(built.len() > 5 && !built.iter().any(|name| name.ends_with("h100")));
}

#[test]
fn a_gpu_that_takes_another_precision_is_left_out_or_refused_with_what_works() {
    let workspace = Workspace::tiny();
    workspace
        .planforge(&["compile", "tiny.toml", "--gpu", "t4", "--precision", "fp32"])
        .fails(2, &["unsupported GPU `t4`", "no fp32 matrix products for compute capability 7.5; use fp16"]);
    let report = workspace.json(&["compile", "tiny.toml", "--gpu", "all", "--precision", "fp32", "--jobs", "1"]);
    assert!(report["skipped"][0].as_str().unwrap().contains("`t4`"), "{}", report["skipped"]);
    workspace.planforge(&["compile", "tiny.toml", "--gpu", "v100,l4"]).fails(2, &["`v100`", "compute capability 7.0"]);
}

#[test]
fn auto_means_the_gpu_of_this_machine() {
    let workspace = Workspace::tiny();
    let ended = workspace.planforge(&["compile", "tiny.toml", "--gpu", "auto"]);
    match planforge_tensorrt::local_gpus().unwrap().as_slice() {
        [] => {
            ended.fails(3, &["GPU `auto` is the one in this machine, which has no", "`planforge gpus` lists them"]);
            assert!(!ended.stderr.contains("scripts/setup"), "it brings no GPU: {}", ended.stderr);
        }
        // Whether the builder knows it is another question.
        gpus => assert!(matches!(ended.status.code(), Some(0 | 2)), "{gpus:?}: {}", ended.stderr),
    }
    assert_eq!(workspace.half_written(), [""; 0]);
}

#[test]
fn profiles_that_differ_go_into_one_engine() {
    let workspace = Workspace::tiny();
    let second = "sequence = [4, 16, 64]\n\n[[profiles]]\nbatch = [8, 8, 16]\nsequence = [1, 4, 8]";
    workspace.edit("tiny.toml", "sequence = [4, 16, 64]", second);
    let one = Workspace::tiny().json(&["compile", "tiny.toml", "--gpu", "l4"]);
    let two = workspace.json(&["package", "tiny.toml", "--gpu", "l4"]);
    assert_ne!(engine_digests(&one), engine_digests(&two));
    let batches: Vec<_> = two["archives"].as_array().unwrap().iter().map(|it| it["max_batch_size"].clone()).collect();
    assert_eq!(batches, [16, 16, 16, 16]);
    for (from, to, words) in [
        ("batch = [8, 8, 16]", "batch = [16, 8, 8]", ["line 12", "1 <= min <= opt <= max"]),
        (
            "batch = [8, 8, 16]",
            "batch = [8, 16]",
            ["line 12", "invalid number of values: [8, 16]; expected an array `[min, opt, max]`"],
        ),
        ("sequence = [1, 4, 8]", "sequence = [1, 4, 65]", ["too large: 65", "at most 64"]),
        ("sequence = [1, 4, 8]", "", ["missing `sequence`", "inputs need"]),
        ("sequence = [1, 4, 8]", "height = [1, 4, 8]", ["line 13", "unknown key `profiles.height`"]),
    ] {
        let text = fs_err::read_to_string(workspace.path("tiny.toml")).unwrap();
        assert!(text.contains(from));
        workspace.write("wrong.toml", &text.replace(from, to));
        workspace.planforge(&["compile", "wrong.toml"]).fails(2, &words);
    }
}

#[test]
fn engines_of_all_pipelines_are_built_at_once_and_listed_in_order() {
    let workspace = Workspace::tiny();
    let text = fs_err::read_to_string(workspace.path("tiny.toml")).unwrap();
    fs_err::create_dir(workspace.path("pipelines")).unwrap();
    for name in ["b", "a", "c"] {
        let batch = ["a", "b", "c"].iter().position(|known| *known == name).unwrap() + 4;
        let text = text.replace("\"tiny\"", &format!("\"{name}\"")).replace("\"model\"", "\"../model\"");
        workspace.write(&format!("pipelines/{name}.toml"), &text.replace("[1, 2, 4]", &format!("[1, 2, {batch}]")));
    }
    let serial_run = workspace.planforge(&["compile", "pipelines/*.toml", "--jobs", "1", "--json"]);
    let serial = reports(&serial_run);
    let names: Vec<_> = serial.iter().map(|report| report["pipeline"].as_str().unwrap()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    // One after another, they are started as they are listed.
    let is_done = |line: &&str| line.starts_with("  compile ") && line.contains(" done ");
    let done: Vec<_> = serial_run.stderr.lines().filter(is_done).collect();
    let expected = ["a", "b", "c"].map(|name| {
        ["tensorrt-fp16-t4", "tensorrt-fp32-l4", "tensorrt-fp16-l4"].map(|variant| format!("{name} {variant} "))
    });
    assert_eq!(done.len(), 9, "{}", serial_run.stderr);
    for (line, expected) in done.iter().zip(expected.as_flattened()) {
        assert!(line.contains(expected), "{}", serial_run.stderr);
    }
    let parallel =
        ["compile", "pipelines/[abc].toml", "--jobs", "3", "--output", "other", "--memory", "4 GiB", "--json"];
    let ended = workspace.planforge(&parallel);
    let parallel = reports(&ended);
    for (serial, parallel) in serial.iter().zip(&parallel) {
        assert_eq!(engine_digests(serial), engine_digests(parallel));
        let expected = ["tensorrt-fp16-t4", "tensorrt-fp32-l4", "tensorrt-fp16-l4"];
        assert_eq!(engine_outcomes(parallel), expected.map(|name| (name.to_owned(), "built".to_owned())));
    }
    // One view of them all, in which each is called by its pipeline too.
    for name in ["a tensorrt-fp16-t4", "b tensorrt-fp32-l4", "c tensorrt-fp16-l4"] {
        assert!(ended.stderr.contains(&format!("compile  {name}")), "{}", ended.stderr);
    }
    // A new GPU type takes new engines and nothing else.
    let added = reports(&workspace.planforge(&["compile", "pipelines/*.toml", "--gpu", "a10g", "--json"]));
    for report in &added {
        let rows = report["artifacts"].as_array().unwrap().iter();
        let built: Vec<_> = rows.filter(|row| row["outcome"] == "built").map(|row| &row["subject"]).collect();
        assert_eq!(built, ["tensorrt-fp32-a10g", "tensorrt-fp16-a10g"]);
    }
    workspace.planforge(&["compile", "nothing/*.toml"]).fails(2, &["no file matches `nothing/*.toml`"]);
    workspace
        .planforge(&["compile", "pipelines/a.toml", "pipelines/?.toml"])
        .fails(2, &["two pipelines are called `a`"]);
}

#[test]
fn a_pipeline_without_engines_says_that_it_has_none() {
    let workspace = Workspace::tiny();
    workspace.package_without_engines("[\"onnx\"]");
    let ended = workspace.planforge(&["compile", "tiny.toml"]);
    ended.succeeds();
    let words = "tiny: makes no engines: `package.platforms` does not name \"tensorrt\"";
    assert!(ended.stderr.contains(words) && ended.stderr.contains("--gpu"), "{}", ended.stderr);
    assert_eq!(workspace.files("planforge-out/tiny/engines"), [""; 0]);
    // Whoever packages it did not ask for engines, and a GPU type on the command line does.
    let packaged = workspace.planforge(&["package", "tiny.toml"]);
    packaged.succeeds();
    assert!(!packaged.stderr.contains("no engines"), "{}", packaged.stderr);
    let built = workspace.planforge(&["compile", "tiny.toml", "--gpu", "l4", "--precision", "fp16"]);
    assert!(!built.stderr.contains("no engines") && built.stderr.contains("tensorrt-fp16-l4"), "{}", built.stderr);
}

#[test]
fn builds_keep_to_the_memory_given() {
    let workspace = Workspace::tiny();
    let ended = workspace.planforge(&["compile", "tiny.toml", "--memory", "96 MiB"]);
    ended.fails(1, &["failed: it takes more than the 96.0 MiB that builds may take; raise `--memory`"]);
    assert_eq!(workspace.half_written(), [""; 0]);
    workspace.planforge(&["compile", "tiny.toml", "--memory", "much"]).fails(2, &["invalid amount of memory `much`"]);
    workspace.planforge(&["compile", "tiny.toml", "--jobs", "0"]).fails(2, &["--jobs"]);
    // What one build takes is enough, also for a second one after it.
    let peak = |report: &Value| {
        report["engines"]
            .as_array()
            .unwrap()
            .iter()
            .map(|engine| engine["build_peak_byte_count"].as_u64().unwrap())
            .max()
    };
    let first = workspace.json(&["compile", "tiny.toml"]);
    let enough = peak(&first).unwrap() + (128 << 20);
    let arguments = ["compile", "tiny.toml", "--gpu", "a10g", "--memory", &format!("{enough} B")];
    let second = workspace.json(&arguments);
    assert_eq!(engine_outcomes(&second).len(), 2);
    assert!(peak(&second).unwrap() <= enough);
}

#[test]
fn a_build_that_outgrows_what_the_others_leave_is_built_again_alone() {
    let workspace = Workspace::tiny();
    let half = ["--precision", "fp16", "--gpu"];
    let first = workspace.json(&[&["compile", "tiny.toml"], &half[..], &["l4"]].concat());
    let peak = first["engines"][0]["build_peak_byte_count"].as_u64().unwrap();
    // An earlier build that claims to have taken next to nothing lets two start that do not fit together.
    let records =
        workspace.files("planforge-out/.cache/engines").into_iter().filter(|file| file.ends_with("record.json"));
    for record in records.map(|file| format!("planforge-out/.cache/engines/{file}")) {
        let claim = |peak: u64| format!("\"build_peak_byte_count\": {peak},");
        workspace.edit(&record, &claim(peak), &claim(1 << 20));
    }
    let memory = format!("{} B", peak + peak / 2 + (64 << 20));
    let limits = ["t4,a10g", "--jobs", "2", "--memory", &memory];
    let ended = workspace.planforge(&[&["compile", "tiny.toml"], &half[..], &limits].concat());
    ended.succeeds();
    assert!(ended.stderr.contains("needs more memory than is left; waiting to be built alone"), "{}", ended.stderr);
    assert_eq!(workspace.half_written(), [""; 0]);
}

#[test]
fn a_library_of_another_version_is_refused() {
    let workspace = Workspace::tiny();
    let native = workspace.path("native");
    fs_err::create_dir_all(native.join("tensorrt-rtx")).unwrap();
    std::os::unix::fs::symlink(planforge_testkit::native().join("onnxruntime"), native.join("onnxruntime")).unwrap();
    let numbers = [("Major", 1), ("Minor", 3), ("Patch", 0), ("Build", 35)];
    let functions =
        numbers.map(|(part, number)| format!("int getInferLib{part}Version(void) {{ return {number}; }}\n"));
    workspace.write("version.c", &functions.concat());
    let library = native.join("tensorrt-rtx/libtensorrt_rtx.so.1");
    let source = workspace.path("version.c");
    let compiled = Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&library, &source]).status().unwrap();
    assert!(compiled.success());
    let words = ["libtensorrt_rtx.so.1` is TensorRT-RTX 1.3.0.35; planforge is made for 1.7.x", "`scripts/setup`"];
    workspace.planforge(&["compile", "tiny.toml", "--native", "native"]).fails(3, &words);
}

/// The build processes of a planforge that runs, which its threads started.
fn builders(parent: &Child) -> Vec<u32> {
    let threads = std::fs::read_dir(format!("/proc/{}/task", parent.id())).into_iter().flatten().flatten();
    let children = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    children.flat_map(|text| text.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<u32>>()).collect()
}

/// The log of a build that has begun.
fn log_of_a_build(workspace: &Workspace) -> Option<PathBuf> {
    let logs = workspace.files("planforge-out/.cache/engines").into_iter().filter(|file| file.ends_with("build.log"));
    let paths = logs.map(|file| workspace.path("planforge-out/.cache/engines").join(file));
    paths.into_iter().find(|path| std::fs::metadata(path).is_ok_and(|log| log.len() > 0))
}

/// Ends the build process of `planforge compile` with `signal` when its log has begun.
fn killed_with(signal: &str) -> Ended {
    let workspace = Workspace::tiny();
    workspace.planforge(&["check", "tiny.toml"]).succeeds();
    let mut child = workspace.command(&["compile", "tiny.toml", "--jobs", "1"]).spawn().unwrap();
    let builder = loop {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it could be disturbed");
        if let (Some(_), Some(builder)) = (log_of_a_build(&workspace), builders(&child).first()) {
            break *builder;
        }
    };
    assert!(Command::new("kill").args([signal, &builder.to_string()]).status().unwrap().success());
    let (mut stdout, mut stderr) = (String::new(), String::new());
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
    let ended = Ended { status: wait(&mut child), stdout, stderr };
    assert_eq!(workspace.half_written(), [""; 0]);
    // The next run is not disturbed by what was left.
    workspace.planforge(&["compile", "tiny.toml"]).succeeds();
    ended
}

#[test]
fn a_build_process_that_is_killed_or_crashes_is_an_error_with_the_last_lines_of_its_log() {
    let killed = killed_with("-KILL");
    killed.fails(
        1,
        &["building engine `tensorrt-fp", "` failed: ", "was killed (signal 9)", "`--memory`", "last log lines: ["],
    );
    // Rust's own handler lets a lone SIGSEGV from outside pass, which came from no address.
    for (signal, number) in [("-ABRT", 6), ("-ILL", 4)] {
        let crashed = format!("the build process crashed (signal {number}); last log lines: [");
        killed_with(signal).fails(1, &["building engine `tensorrt-fp", &format!("` failed: {crashed}")]);
    }
}

#[test]
fn a_build_that_takes_too_long_is_ended() {
    let workspace = Workspace::tiny();
    workspace.edit("tiny.toml", "[compile]", "[compile]\ntimeout_seconds = 1");
    let version = concat!("planforge-engine-worker ", env!("CARGO_PKG_VERSION"));
    let script = format!("#!/bin/sh\nif [ \"$1\" = --version ]; then echo {version}; else exec sleep 60; fi\n");
    workspace.write("worker", &script);
    fs_err::set_permissions(workspace.path("worker"), PermissionsExt::from_mode(0o755)).unwrap();
    let slow = ["compile", "tiny.toml", "--engine-worker", "worker"];
    workspace.planforge(&slow).fails(1, &["failed: it took longer than 1 s"]);
    assert_eq!(workspace.half_written(), [""; 0]);
}

#[test]
fn two_processes_that_want_the_same_engine_build_it_once() {
    let workspace = Workspace::tiny();
    workspace.planforge(&["check", "tiny.toml"]).succeeds();
    // Two output folders with one cache, so that nothing else is shared.
    let start = |output: &str| {
        let arguments = ["compile", "tiny.toml", "--gpu", "l4", "--output", output, "--cache", "planforge-out/.cache"];
        workspace.command(&[&arguments[..], &["--json"]].concat()).spawn().unwrap()
    };
    let children = [start("one"), start("two")];
    let mut built = 0;
    let mut digests = Vec::new();
    for mut child in children {
        let mut stdout = String::new();
        child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
        assert!(wait(&mut child).success());
        let report: Value = serde_json::from_str(&stdout).unwrap();
        built += engine_outcomes(&report).iter().filter(|(_, outcome)| outcome == "built").count();
        digests.push(engine_digests(&report));
    }
    assert_eq!(built, 2, "two engines, each built once");
    assert_eq!(digests[0], digests[1]);
}
