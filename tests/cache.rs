//! The artifact cache: what it holds, damage, and less of it.

use crate::support::{Workspace, wait};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

/// Changes a byte in the middle of a file and keeps its size and its time.
fn damage(path: &std::path::Path) {
    let time = fs_err::metadata(path).unwrap().modified().unwrap();
    let file = std::fs::File::options().read(true).write(true).open(path).unwrap();
    let middle = file.metadata().unwrap().len() / 2;
    let mut byte = [0];
    file.read_exact_at(&mut byte, middle).unwrap();
    file.write_all_at(&[!byte[0]], middle).unwrap();
    file.set_modified(time).unwrap();
}

/// The cached file of this name, of which there is one.
fn cached(workspace: &Workspace, kind: &str, file: &str) -> PathBuf {
    let folder = format!("planforge-out/.cache/{kind}");
    let files = workspace.files(&folder);
    let mut found = files.iter().filter(|path| path.ends_with(&format!("/{file}")));
    let path = workspace.path(&folder).join(found.next().unwrap());
    assert_eq!(found.next(), None);
    path
}

#[test]
fn entries_are_listed_with_kind_name_and_size() {
    let workspace = Workspace::tiny();
    workspace.planforge(&["package", "tiny.toml", "--gpu", "l4", "--precision", "fp16"]).succeeds();
    let listed = workspace.json(&["cache", "list"]);
    let kinds: Vec<_> = listed.as_array().unwrap().iter().map(|entry| entry["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == "engine").count(), 1, "{listed}");
    assert_eq!(kinds.iter().filter(|kind| **kind == "archive").count(), 2, "{listed}");
    let text = workspace.planforge(&["cache", "list"]).stdout;
    for words in ["bert onnx fp16", "fp16 l4", "tiny.tar.gz", "onnx-fp16", "ago"] {
        assert!(text.contains(words), "`{words}` is not in:\n{text}");
    }
    let sizes = workspace.json(&["cache", "size"]);
    assert_eq!(sizes["archive"]["entries"], 2);
    let sum: u64 = listed.as_array().unwrap().iter().map(|entry| entry["byte_count"].as_u64().unwrap()).sum();
    let all: u64 = sizes.as_object().unwrap().values().map(|size| size["byte_count"].as_u64().unwrap()).sum();
    assert_eq!(sum, all);
    assert!(workspace.planforge(&["cache", "size"]).stdout.lines().any(|line| line.trim_start().starts_with("all ")));
    assert_eq!(Workspace::empty().json(&["cache", "list"]), serde_json::json!([]));
}

#[test]
fn damage_is_named_and_pruned() {
    let workspace = Workspace::tiny();
    workspace.planforge(&["compile", "tiny.toml", "--gpu", "l4", "--precision", "fp16"]).succeeds();
    workspace.planforge(&["cache", "check"]).succeeds();
    damage(&cached(&workspace, "engines", "model.plan"));
    let ended = workspace.planforge(&["cache", "check"]);
    ended.fails(4, &["1 of the cache's files are damaged", "model.plan", "`planforge cache prune --damaged`"]);
    assert!(ended.stdout.contains("its SHA-256 is"), "{}", ended.stdout);
    let gone = workspace.json(&["cache", "prune", "--damaged"]);
    assert_eq!((gone.as_array().unwrap().len(), &gone[0]["name"]), (1, &"fp16 l4".into()));
    workspace.planforge(&["cache", "check"]).succeeds();
    let report = workspace.json(&["compile", "tiny.toml", "--gpu", "l4", "--precision", "fp16"]);
    assert_eq!(report["engines"][0]["outcome"], "built");
}

#[test]
fn damaged_entries_are_found_before_they_are_packaged_or_published_and_made_anew() {
    let arguments = ["--gpu", "l4", "--precision", "fp16"];
    let workspace = Workspace::tiny();
    let run = |command: &str| workspace.planforge(&[&[command, "tiny.toml"], &arguments[..]].concat());
    run("compile").succeeds();
    damage(&cached(&workspace, "engines", "model.plan"));
    let hint = "the corrupt entry was removed from the cache; run again to rebuild it";
    run("package").fails(1, &["the artifact cache is damaged", "model.plan` has changed since it was made", hint]);
    assert!(!workspace.files("planforge-out/tiny/archives").iter().any(|file| file.contains("tensorrt")));
    run("package").succeeds();
    // A cut file has another size, which is seen at once.
    let plan = cached(&workspace, "engines", "model.plan");
    let length = fs_err::metadata(&plan).unwrap().len();
    std::fs::File::options().write(true).open(&plan).unwrap().set_len(length / 2).unwrap();
    let report = workspace.json(&[&["package", "tiny.toml"], &arguments[..]].concat());
    assert_eq!(report["engines"][0]["outcome"], "built");
    // An archive is digested again before it is copied.
    let archive = workspace.files("planforge-out/.cache/archives").into_iter().find(|file| file.ends_with(".tar.gz"));
    damage(&workspace.path("planforge-out/.cache/archives").join(archive.unwrap()));
    run("publish").fails(1, &["the artifact cache is damaged", "tiny.tar.gz` has changed", hint]);
    run("publish").succeeds();
    workspace.planforge(&["cache", "check"]).succeeds();
}

#[test]
fn entries_are_pruned_by_age_and_size_but_not_under_a_run() {
    let workspace = Workspace::tiny();
    workspace.planforge(&["compile", "tiny.toml"]).succeeds();
    assert_eq!(workspace.json(&["cache", "prune", "--unused-for", "1h"]), serde_json::json!([]));
    workspace.planforge(&["cache", "prune", "--unused-for", "long"]).fails(2, &["invalid duration `long`", "30d"]);
    // While an endpoint runs, what it relies on stays.
    let mut hosted = workspace.command(&["host", "tiny.toml", "--port", "0", "--json"]).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(hosted.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let mut pruning = workspace.command(&["cache", "prune", "--max-size", "1 B"]).spawn().unwrap();
    let mut said = String::new();
    BufReader::new(pruning.stderr.as_mut().unwrap()).read_line(&mut said).unwrap();
    assert_eq!(said.trim(), "waiting for another planforge that uses the cache");
    assert!(workspace.files("planforge-out/.cache/engines").iter().any(|file| file.ends_with("model.plan")));
    crate::support::interrupt(&hosted);
    assert!(wait(&mut hosted).success());
    assert!(wait(&mut pruning).success());
    assert_eq!(workspace.json(&["cache", "list"]), serde_json::json!([]));
    // The output folder is still complete, and everything in it can be built again.
    assert!(workspace.path("planforge-out/tiny/engines/tensorrt-fp16-l4/model.plan").is_file());
    workspace.planforge(&["compile", "tiny.toml"]).succeeds();
}
