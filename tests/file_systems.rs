//! File systems that lack file locks, links, modes and more: results are the same as elsewhere.

use crate::support::{Ended, Hosted, Workspace, end};
use planforge_testkit::{TestHub, repository};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// What a file system lacks, with the error numbers that it answers, as `fixtures/file-systems/refuse.c` has them.
const LACKS_ALL: &str = "flock=38,symlink=1,link=95,noreplace=22,fsync=22,chmod=1,copy_file_range=95";

/// The library of `fixtures/file-systems`, built with the C compiler that Rust links with.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap().keep();
        let library = folder.join("refuse.so");
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library);
        let built = compiler.arg(repository().join("fixtures/file-systems/refuse.c")).status().unwrap();
        assert!(built.success());
        library
    })
}

fn refuse<'a>(command: &'a mut Command, calls: &str) -> &'a mut Command {
    command.env("LD_PRELOAD", library()).env("REFUSE", calls)
}

/// Runs the program where these calls are refused.
fn run(workspace: &Workspace, calls: &str, arguments: &[&str]) -> Ended {
    let mut command = workspace.command(arguments);
    refuse(&mut command, calls);
    end(command)
}

fn onnx() -> Workspace {
    let workspace = Workspace::tiny();
    workspace.package_without_engines("[\"onnx\"]");
    workspace
}

/// The lock of a run on a file system that has everything.
fn usual_lock() -> String {
    let workspace = onnx();
    workspace.planforge(&["package", "tiny.toml"]).succeeds();
    fs_err::read_to_string(workspace.path("tiny.lock")).unwrap()
}

#[test]
fn a_file_system_without_locks_is_warned_of_once() {
    for errno in [38, 37, 95, 22] {
        let workspace = onnx();
        let ended = run(&workspace, &format!("flock={errno}"), &["package", "tiny.toml", "--quiet"]);
        ended.succeeds();
        assert_eq!(ended.stderr.matches("no file locks").count(), 1, "{}", ended.stderr);
        assert!(ended.stderr.contains("planforge-out/.cache"), "{}", ended.stderr);
    }
}

#[test]
fn two_processes_without_locks_do_not_harm_each_other() {
    let workspace = onnx();
    let hub = TestHub::start("someone/tiny", &workspace.path("model")).unwrap();
    workspace.edit("tiny.toml", "path = \"model\"", "repo = \"someone/tiny\"");
    let started: Vec<_> = (0..3)
        .map(|_| {
            let mut command = workspace.command(&["package", "tiny.toml"]);
            command.env("HF_ENDPOINT", hub.url()).env("HF_HUB_CACHE", workspace.path("hub")).env("HF_HUB_OFFLINE", "0");
            refuse(&mut command, "flock=38").stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for child in started {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    workspace.planforge(&["cache", "check"]).succeeds();
    assert_eq!(workspace.half_written(), [""; 0]);
    let left = workspace.files("hub").into_iter().filter(|path| path.ends_with(".incomplete"));
    assert_eq!(left.collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn the_hub_cache_is_filled_without_links() {
    for calls in ["symlink=1", "symlink=95,link=1", "flock=37,symlink=38,link=31"] {
        let workspace = onnx();
        let hub = TestHub::start("someone/tiny", &workspace.path("model")).unwrap();
        workspace.edit("tiny.toml", "path = \"model\"", "repo = \"someone/tiny\"");
        let fetch = |offline: &str, further: &str| {
            let mut command = workspace.command(&["fetch", "tiny.toml", further]);
            command.env("HF_ENDPOINT", hub.url()).env("HF_HUB_CACHE", workspace.path("hub"));
            refuse(command.env("HF_HUB_OFFLINE", offline), calls);
            let ended = end(command);
            ended.succeeds();
        };
        fetch("0", "--quiet");
        let snapshot = workspace.path("hub/models--someone--tiny/snapshots").join(hub.commit());
        for file in ["config.json", "model.safetensors"] {
            let there = snapshot.join(file);
            assert!(!there.is_symlink());
            assert!(fs_err::read(there).unwrap() == fs_err::read(workspace.path("model").join(file)).unwrap());
        }
        // Nothing is downloaded again, and offline all is there.
        let before = hub.requests().len();
        fs_err::remove_file(workspace.path("tiny.lock")).unwrap();
        fetch("0", "--quiet");
        assert!(!hub.requests()[before..].iter().any(|line| line.contains("/resolve/")), "{:?}", hub.requests());
        fetch("1", "--locked");
        let folder = workspace.files("hub/models--someone--tiny");
        assert!(!folder.iter().any(|path| path.starts_with(".planforge-")), "{folder:?}");
    }
}

#[test]
fn everything_works_on_a_file_system_that_lacks_everything() {
    let workspace = onnx();
    let url = format!("file://{}", workspace.path("store").display());
    workspace.edit("tiny.toml", "[load]", &format!("[store]\nurl = \"{url}\"\n\n[load]"));
    let ended = run(&workspace, LACKS_ALL, &["run", "tiny.toml"]);
    ended.succeeds();
    assert_eq!(fs_err::read_to_string(workspace.path("tiny.lock")).unwrap(), usual_lock());
    for arguments in [
        &["publish", "tiny.toml", "--copies", "5"][..],
        &["cache", "check"],
        &["verify", "tiny.toml"],
        &["infer", "tiny.toml", "--text", "the cat"],
        &["cache", "prune", "--max-size", "1 KiB"],
        &["unpublish", "tiny.toml"],
    ] {
        run(&workspace, LACKS_ALL, arguments).succeeds();
    }
    assert_eq!(workspace.files("store/tiny"), [""; 0]);
    assert_eq!(workspace.half_written(), [""; 0]);
}

#[test]
fn archives_with_links_are_served_without_links() {
    let workspace = onnx();
    workspace.edit("tiny.toml", "precisions = [\"fp32\", \"fp16\"]", "precisions = [\"fp32\"]");
    workspace.planforge(&["publish", "tiny.toml"]).succeeds();
    let script =
        "set -e; store=planforge-out/tiny/store/tiny/onnx-fp32; mkdir x; tar -xzf $store/tiny-v0.tar.gz -C x; cd x
                  top=$(find . -name config.pbtxt -printf '%h'); cd $top
                  mv 1 files; ln -s files versions; ln -s versions 1; cd $OLDPWD
                  tar -czf linked.tar.gz --exclude linked.tar.gz $(ls | grep -v linked); mv linked.tar.gz ../$store/";
    let made = Command::new("sh").args(["-c", script]).current_dir(workspace.folder.path()).status().unwrap();
    assert!(made.success());
    let hosted = Hosted::start_with(&workspace, "tiny.toml", |command| {
        refuse(command, LACKS_ALL);
    });
    let request = serde_json::json!({ "inputs": [
        { "name": "input_ids", "shape": [1, 4], "datatype": "INT64", "data": [1, 2, 3, 4] },
        { "name": "attention_mask", "shape": [1, 4], "datatype": "INT64", "data": [1, 1, 1, 1] },
        { "name": "token_type_ids", "shape": [1, 4], "datatype": "INT64", "data": [0, 0, 0, 0] },
    ] });
    let answers = ["tiny-v0.tar.gz", "linked.tar.gz"].map(|target| {
        let (status, body) = hosted.invoke("tiny", target, &request);
        assert_eq!(status, 200, "{body}");
        body["outputs"].clone()
    });
    assert_eq!(answers[0], answers[1]);
    hosted.stop();
}
