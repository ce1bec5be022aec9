//! The lock next to a pipeline file, and rebuilding what it names.

use crate::huggingface_hub::python;
use crate::support::{Ended, Workspace, end, end_quietly};
use planforge_core::Lock;
use planforge_testkit::{repository, sample_hub};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// A lock, which must be there.
fn lock_of(workspace: &Workspace, file: &str) -> Lock {
    Lock::read(&workspace.path(file)).unwrap().unwrap_or_else(|| panic!("there is no {file}"))
}

fn text_of(workspace: &Workspace, file: &str) -> String {
    fs_err::read_to_string(workspace.path(file)).unwrap()
}

/// Archives are checked before they are published.
#[track_caller]
fn drifts(workspace: &Workspace, words: &[&str]) {
    let before = text_of(workspace, "tiny.lock");
    let ended = workspace.planforge(&["publish", "tiny.toml", "--locked", "--output", "elsewhere"]);
    ended.fails(4, &[&["error: the lock `tiny.lock` does not hold:\n  "], words].concat());
    assert_eq!(text_of(workspace, "tiny.lock"), before, "a lock that must hold is left as it is");
    assert!(!workspace.files("elsewhere/tiny").iter().any(|file| file.starts_with("store")), "{}", ended.stderr);
}

#[test]
fn a_run_writes_the_lock_and_a_locked_one_holds_to_it() {
    let workspace = Workspace::tiny();
    workspace
        .planforge(&["package", "tiny.toml", "--locked"])
        .fails(4, &["missing lock `tiny.lock`; `planforge lock tiny.toml` writes it"]);
    workspace
        .planforge(&["package", "tiny.toml", "--locked", "--lock", "other.lock"])
        .fails(4, &["missing lock `other.lock`; `planforge lock tiny.toml --lock other.lock` writes it"]);
    let first = workspace.planforge(&["run", "tiny.toml"]);
    first.succeeds();
    assert!(first.stderr.contains("lock     tiny.lock written"), "{}", first.stderr);
    let lock = lock_of(&workspace, "tiny.lock");
    assert!(lock.source.commit.is_local());
    assert_eq!(lock.source.files.len(), 6, "{:?}", lock.source.files);
    assert_eq!(lock.exports.keys().collect::<Vec<_>>(), ["onnx-fp16", "onnx-fp32"]);
    assert_eq!(lock.engines.keys().collect::<Vec<_>>(), ["tensorrt-fp16-l4", "tensorrt-fp16-t4", "tensorrt-fp32-l4"]);
    assert_eq!(lock.archives.len(), 5);
    assert_eq!(lock.tools.keys().collect::<Vec<_>>(), ["onnxruntime", "planforge", "tensorrt-rtx"]);
    let text = text_of(&workspace, "tiny.lock");
    for private in [workspace.path("").to_str().unwrap(), "planforge-out", "model\""] {
        assert!(!text.contains(private), "`{private}` is in {text}");
    }
    let archive = workspace.path("planforge-out/tiny/archives/tensorrt-fp16-l4/tiny.tar.gz");
    let sum = Command::new("sha256sum").arg(archive).output().unwrap().stdout;
    let sum = String::from_utf8(sum).unwrap();
    assert_eq!(sum.split_whitespace().next(), Some(lock.archives["tensorrt-fp16-l4"].sha256.as_str()));

    let again = workspace.planforge(&["publish", "tiny.toml", "--locked", "--output", "elsewhere"]);
    again.succeeds();
    assert_eq!(text_of(&workspace, "tiny.lock"), text);

    // Another GPU type is added, and the others stay.
    let compiled = workspace.planforge(&["compile", "tiny.toml", "--gpu", "l40s"]);
    compiled.succeeds();
    assert!(compiled.stderr.contains("lock     engine `tensorrt-fp16-l40s` is "), "{}", compiled.stderr);
    assert!(compiled.stderr.contains("bytes), the lock does not have it"), "{}", compiled.stderr);
    let with_more = lock_of(&workspace, "tiny.lock");
    assert_eq!(with_more.engines.len(), 5);
    assert_eq!((&with_more.archives, &with_more.exports), (&lock.archives, &lock.exports));
    workspace.planforge(&["package", "tiny.toml", "--locked"]).succeeds();
    workspace.planforge(&["package", "tiny.toml", "--locked", "--gpu", "a100"]).fails(
        4,
        &["engine `tensorrt-fp16-a100` is to be made, the lock does not have it", "archive `tensorrt-fp32-a100`"],
    );
}

#[test]
fn drift_is_named() {
    let workspace = Workspace::tiny();
    workspace.planforge(&["lock", "tiny.toml"]).succeeds();
    let pipeline = text_of(&workspace, "tiny.toml");
    workspace.edit("tiny.toml", "batch = [1, 2, 4]", "batch = [1, 2, 8]");
    workspace.edit("tiny.toml", "copies = 3", "copies = 2\ntop_folder = false");
    drifts(
        &workspace,
        &["option `profiles.0.batch` is [1, 2, 8], the lock has [1, 2, 4]", "option `package.top_folder` is false"],
    );
    workspace.write("tiny.toml", &pipeline);
    workspace.edit("tiny.toml", "gpus = [\"t4\", \"l4\"]", "gpus = [\"t4\", \"l4\", \"a10g\"]");
    drifts(&workspace, &["engine `tensorrt-fp16-a10g` is to be made", "archive `tensorrt-fp32-a10g` is to be made"]);
    workspace.write("tiny.toml", &pipeline);
    workspace.edit("tiny.lock", "planforge = \"", "planforge = \"0.0.");
    drifts(&workspace, &["tool `planforge` is ", "the lock has 0.0."]);
    workspace.planforge(&["lock", "tiny.toml"]).succeeds();
    let lock = lock_of(&workspace, "tiny.lock");
    let digest = lock.archives["onnx-fp16"].sha256.to_string();
    workspace.edit("tiny.lock", &digest, &digest.replace(|c: char| c.is_ascii_digit(), "a"));
    drifts(&workspace, &[&format!("archive `onnx-fp16` is {}", &digest[..12])]);
    // What differs though nothing it is made of does is reported.
    let ended = workspace.planforge(&["package", "tiny.toml", "--json"]);
    ended.succeeds();
    assert!(ended.stderr.contains("Not reproduced: archive `onnx-fp16` is "), "{}", ended.stderr);
    let report: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert!(report["notes"].to_string().contains("Not reproduced"), "{report}");
    assert_eq!(lock_of(&workspace, "tiny.lock"), lock);

    let config = text_of(&workspace, "model/config.json");
    workspace.write("model/config.json", &format!("{config} "));
    drifts(&workspace, &["file `config.json` is ", "the lock has "]);
    let ended = workspace.planforge(&["export", "tiny.toml"]);
    ended.succeeds();
    assert!(ended.stderr.contains("lock     engine `tensorrt-fp16-t4` is absent, the lock has"), "{}", ended.stderr);
    let lock = lock_of(&workspace, "tiny.lock");
    assert!(lock.engines.is_empty() && lock.archives.is_empty(), "what was made of another checkpoint is gone");
    assert_eq!(lock.exports.len(), 2);
}

#[test]
fn a_lock_that_cannot_be_read_is_named_with_line_and_key() {
    let workspace = Workspace::tiny();
    workspace.planforge(&["export", "tiny.toml"]).succeeds();
    let good = text_of(&workspace, "tiny.lock");
    let line = good.lines().position(|line| line.starts_with("commit")).unwrap() + 1;
    workspace.edit("tiny.lock", "commit = \"local\"", "commit = 5");
    let place = format!("line {line}");
    for command in ["export", "host", "verify"] {
        workspace.planforge(&[command, "tiny.toml"]).fails(2, &["`tiny.lock` is not a valid lock", &place, "commit"]);
    }
    workspace.write("tiny.lock", &good.replace("format = 1", "format = 7"));
    workspace
        .planforge(&["export", "tiny.toml"])
        .fails(2, &["`tiny.lock`: key `format`: a lock of format 7", "reads format 1: use a newer one"]);
    assert!(text_of(&workspace, "tiny.lock").contains("format = 7"));
}

/// A Hub cache with two commits of a repository.
struct TwoCommits {
    workspace: Workspace,
}

const COMMITS: [&str; 2] = ["1111111111111111111111111111111111111111", "2222222222222222222222222222222222222222"];

impl TwoCommits {
    fn new() -> Self {
        let workspace = Workspace::tiny();
        for commit in COMMITS {
            let snapshot = workspace.path("hub/models--someone--tiny/snapshots").join(commit);
            fs_err::create_dir_all(&snapshot).unwrap();
            for file in ["config.json", "model.safetensors", "modules.json", "tokenizer.json"] {
                if workspace.path("model").join(file).exists() {
                    fs_err::copy(workspace.path("model").join(file), snapshot.join(file)).unwrap();
                }
            }
            for folder in ["1_Pooling", "2_Normalize"] {
                let config = workspace.path("model").join(folder).join("config.json");
                if config.exists() {
                    fs_err::create_dir_all(snapshot.join(folder)).unwrap();
                    fs_err::copy(config, snapshot.join(folder).join("config.json")).unwrap();
                }
            }
            fs_err::write(snapshot.join("README.md"), commit).unwrap();
        }
        workspace.edit("tiny.toml", "path = \"model\"", "repo = \"someone/tiny\"");
        let hub = Self { workspace };
        hub.point_main_at(COMMITS[0]);
        hub
    }

    fn point_main_at(&self, commit: &str) {
        fs_err::create_dir_all(self.workspace.path("hub/models--someone--tiny/refs")).unwrap();
        self.workspace.write("hub/models--someone--tiny/refs/main", commit);
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        let mut command = self.workspace.command(arguments);
        command.env("HF_HUB_CACHE", self.workspace.path("hub"));
        end(command)
    }

    fn commit(&self, arguments: &[&str]) -> String {
        let ended = self.run(&[arguments, &["tiny.toml", "--json"]].concat());
        ended.succeeds();
        let report: Value = serde_json::from_str(&ended.stdout).unwrap();
        report["source"]["commit"].as_str().unwrap().to_owned()
    }
}

#[test]
fn a_backend_that_archives_carry_is_named_where_it_changes() {
    let workspace = Workspace::tiny();
    workspace.edit("tiny.toml", "copies = 3", "copies = 3\ninclude_backend = true");
    workspace.write("backend.so", "a library");
    let common = ["tiny.toml", "--gpu", "l4", "--precision", "fp16", "--triton-backend", "backend.so"];
    let with_backend = |arguments: &[&str]| workspace.planforge(&[arguments, &common].concat());
    with_backend(&["lock"]).succeeds();
    let digest = planforge_core::digest_bytes(b"a library");
    assert_eq!(lock_of(&workspace, "tiny.lock").tools["triton-backend"], format!("sha256:{digest}"));
    // NVIDIA's backend serves the ONNX export, so its archive carries none.
    let names_backend = |variant: &str| {
        let statement = format!("planforge-out/tiny/archives/{variant}/tiny.tar.gz.intoto.json");
        text_of(&workspace, &statement).contains("\"triton-backend\"")
    };
    assert_eq!(["onnx-fp16", "tensorrt-fp16-l4"].map(names_backend), [false, true]);
    workspace.write("backend.so", "another library");
    let changed = with_backend(&["package", "--locked", "--output", "elsewhere"]);
    changed.fails(4, &["tool `triton-backend`", "archive `tensorrt-fp16-l4`"]);
    assert!(!changed.stderr.contains("archive `onnx-fp16`"), "{}", changed.stderr);
}

#[test]
fn a_branch_that_moves_is_followed_only_when_asked() {
    let hub = TwoCommits::new();
    assert_eq!(hub.commit(&["export"]), COMMITS[0]);
    hub.point_main_at(COMMITS[1]);
    assert_eq!(hub.commit(&["export"]), COMMITS[0]);
    assert_eq!(hub.commit(&["fetch", "--locked"]), COMMITS[0]);
    let lock = lock_of(&hub.workspace, "tiny.lock");
    assert_eq!((lock.source.commit.as_str(), lock.source.revision.as_deref()), (COMMITS[0], Some("main")));

    let ended = hub.run(&["lock", "--update", "tiny.toml"]);
    ended.succeeds();
    assert!(ended.stderr.contains(&format!("source `commit` is {}, the lock has {}", COMMITS[1], COMMITS[0])));
    assert_eq!(lock_of(&hub.workspace, "tiny.lock").source.commit.as_str(), COMMITS[1]);
    assert_eq!(hub.commit(&["fetch", "--locked"]), COMMITS[1]);
    hub.run(&["lock", "--update", "--locked", "tiny.toml"]).fails(2, &["--update", "cannot be used with", "--locked"]);

    // Another revision is another question.
    hub.workspace.edit("tiny.toml", "someone/tiny\"", &format!("someone/tiny\"\nrevision = \"{}\"", COMMITS[0]));
    hub.run(&["fetch", "tiny.toml", "--locked"]).fails(4, &["source `commit` is 1111", "source `revision` is 1111"]);
    assert_eq!(hub.commit(&["fetch"]), COMMITS[0]);
}

#[test]
fn files_of_a_locked_commit_never_change() {
    let hub = TwoCommits::new();
    hub.commit(&["fetch"]);
    let config = format!("hub/models--someone--tiny/snapshots/{}/config.json", COMMITS[0]);
    hub.workspace.write(&config, &format!("{}\n\n", text_of(&hub.workspace, &config)));
    for command in ["fetch", "export", "verify"] {
        hub.run(&[command, "tiny.toml"]).fails(4, &["the lock `tiny.lock` does not hold", "file `config.json` is "]);
    }
}

#[test]
fn what_the_lock_names_is_rebuilt_and_compared() {
    let workspace = Workspace::tiny();
    workspace.planforge(&["verify", "tiny.toml"]).fails(4, &["missing lock `tiny.lock`"]);
    workspace.planforge(&["lock", "tiny.toml"]).succeeds();
    // One engine for two GPU types, without an archive.
    workspace.planforge(&["compile", "tiny.toml", "--gpu", "l40s,a10g", "--fat", "--precision", "fp16"]).succeeds();
    let verified = workspace.json(&["verify", "tiny.toml"]);
    assert_eq!(verified["passed"], true, "{verified}");
    let items = verified["items"].as_array().unwrap();
    let count =
        |kind: &str| items.iter().filter(|item| item["kind"] == kind && item["locked"] == item["found"]).count();
    assert_eq!((count("file"), count("engine"), count("archive")), (6, 4, 5), "{verified}");
    assert!(count("export") >= 4, "graphs and their weights: {verified}");
    assert!(!workspace.files("planforge-out").iter().any(|file| file.starts_with(".verify")));

    let lock = lock_of(&workspace, "tiny.lock");
    let digest = lock.engines["tensorrt-fp16-sm86-sm89"].sha256.to_string();
    workspace.edit("tiny.lock", &digest, &digest.replace(|c: char| c.is_ascii_digit(), "a"));
    let ended = workspace.planforge(&["verify", "tiny.toml"]);
    ended.fails(4, &["rebuild produced different bytes:\n  tiny: engine `tensorrt-fp16-sm86-sm89` is "]);
    let differing: Vec<_> = ended.stdout.lines().filter(|line| line.contains("DIFFERS")).collect();
    assert!(differing.len() == 1 && differing[0].contains(&digest[..12]), "{}", ended.stdout);
    assert!(ended.stdout.contains("1 of "), "{}", ended.stdout);
}

#[test]
fn archives_say_where_they_came_from() {
    let (hub, other) = (TwoCommits::new(), TwoCommits::new());
    let statement = |hub: &TwoCommits, arguments: &[&str], variant: &str| {
        hub.run(&[&["package", "tiny.toml"], arguments].concat()).succeeds();
        text_of(&hub.workspace, &format!("planforge-out/tiny/archives/{variant}/tiny.tar.gz.intoto.json"))
    };
    let first = statement(&hub, &[], "onnx-fp32");
    assert_eq!(
        first,
        statement(&other, &["--gpu", "l4", "--precision", "fp32"], "onnx-fp32"),
        "builds of other targets at the same time"
    );
    let archive = "planforge-out/tiny/archives/tensorrt-fp16-t4/tiny.tar.gz";
    let sum = planforge_core::digest_bytes(&fs_err::read(hub.workspace.path(archive)).unwrap());
    let engine: Value = serde_json::from_str(&text_of(&hub.workspace, &format!("{archive}.intoto.json"))).unwrap();
    assert_eq!(engine["_type"], "https://in-toto.io/Statement/v1");
    assert_eq!(engine["predicateType"], "https://slsa.dev/provenance/v1");
    assert_eq!(engine["subject"], serde_json::json!([{ "name": "tiny.tar.gz", "digest": { "sha256": sum.as_str() } }]));
    let definition = &engine["predicate"]["buildDefinition"];
    let sources = definition["resolvedDependencies"].as_array().unwrap();
    assert_eq!(sources[0]["uri"], "https://huggingface.co/someone/tiny");
    assert_eq!(sources[0]["digest"], serde_json::json!({ "gitCommit": COMMITS[0] }));
    let weights = sources.iter().find(|source| source["name"] == "model.safetensors").unwrap();
    let file = fs_err::read(hub.workspace.path("model/model.safetensors")).unwrap();
    assert_eq!(weights["digest"]["sha256"], planforge_core::digest_bytes(&file).as_str());
    assert_eq!(weights["uri"], format!("https://huggingface.co/someone/tiny/resolve/{}/model.safetensors", COMMITS[0]));
    assert_eq!(definition["externalParameters"]["variant"], "tensorrt-fp16-t4");
    let versions = engine["predicate"]["runDetails"]["builder"]["version"].as_object().unwrap();
    assert_eq!(versions.keys().collect::<Vec<_>>(), ["onnxruntime", "planforge", "tensorrt-rtx"]);

    let shown = hub.run(&["inspect", archive]);
    shown.succeeds();
    for words in
        [sum.as_str(), "tensorrt-fp16-t4 of pipeline tiny", "tensorrt-rtx 1.7", COMMITS[0], "model.safetensors"]
    {
        assert!(shown.stdout.contains(words), "`{words}` is not in {}", shown.stdout);
    }
    fs_err::copy(hub.workspace.path(archive), hub.workspace.path("other.tar.gz")).unwrap();
    assert!(hub.run(&["inspect", "other.tar.gz"]).stdout.contains("no record of its origin in its folder"));
    hub.workspace.write("other.tar.gz.intoto.json", &first);
    hub.run(&["inspect", "other.tar.gz"])
        .fails(4, &["`other.tar.gz.intoto.json` is about another file than `other.tar.gz`"]);
    hub.workspace.write("other.tar.gz.intoto.json", "{\n}");
    hub.run(&["inspect", "other.tar.gz"])
        .fails(2, &["other.tar.gz.intoto.json` is not a valid provenance statement", "line 2"]);
}

#[test]
fn in_toto_s_own_library_takes_the_statements() {
    let Some(python) = python() else { return };
    let hub = TwoCommits::new();
    hub.run(&["package", "tiny.toml"]).succeeds();
    let folder = hub.workspace.path("planforge-out/tiny/archives");
    let check = |file: &Path| {
        let script = repository().join("scripts/reference/check-statement.py");
        let mut command = Command::new(&python);
        command.arg(script).arg(file).env("PYTHONDONTWRITEBYTECODE", "1");
        end_quietly(command)
    };
    for variant in ["onnx-fp32", "tensorrt-fp16-t4"] {
        let ended = check(&folder.join(variant).join("tiny.tar.gz.intoto.json"));
        ended.succeeds();
        assert!(ended.stdout.starts_with("tiny.tar.gz "), "{}", ended.stdout);
    }
    let statement = text_of(&hub.workspace, "planforge-out/tiny/archives/onnx-fp32/tiny.tar.gz.intoto.json");
    let other = hub.workspace.path("other.intoto.json");
    for (from, to) in [("Statement/v1", "Statement/v0"), ("\"builder\"", "\"maker\""), ("\"sha256\"", "\"\"")] {
        assert!(statement.contains(from), "{statement}");
        fs_err::write(&other, statement.replace(from, to)).unwrap();
        assert!(!check(&other).status.success(), "{from}");
    }
}

#[test]
fn the_committed_lock_of_the_real_model_holds() {
    let workspace = Workspace::empty();
    for file in ["all-MiniLM-L6-v2.toml", "all-MiniLM-L6-v2.lock"] {
        fs_err::copy(repository().join("pipelines").join(file), workspace.path(file)).unwrap();
    }
    let mut command = workspace.command(&["package", "all-MiniLM-L6-v2.toml", "--locked"]);
    command.env("HF_HUB_CACHE", sample_hub());
    end(command).succeeds();
}
