//! Ctrl-C at several points: the run stops cleanly, and the next one goes on.

use crate::support::{Workspace, interrupt, wait};
use std::io::{BufRead, BufReader, Read};
use std::process::Command;
use std::time::Duration;

/// Interrupts a run when its progress shows `line`.
fn interrupted_at(workspace: &Workspace, line: &str) {
    interrupted(workspace, &["run", "tiny.toml"], line, Duration::ZERO);
}

/// Interrupts a command some time after its progress shows `line`.
fn interrupted(workspace: &Workspace, command: &[&str], line: &str, delay: Duration) {
    let mut child = workspace.command(command).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut shown = String::new();
    while !shown.lines().any(|known| known.contains(line)) {
        assert!(stderr.read_line(&mut shown).unwrap() > 0, "`{line}` was not shown:\n{shown}");
    }
    std::thread::sleep(delay);
    interrupt(&child);
    stderr.read_to_string(&mut shown).unwrap();
    let status = wait(&mut child);
    assert_eq!(status.code(), Some(130), "{shown}");
    assert!(
        shown.contains("stopping") && shown.contains("error: interrupted") && !shown.contains("panicked"),
        "{shown}"
    );
    assert_eq!(workspace.half_written(), [""; 0], "{shown}");
    // Children would still have this folder as their own.
    let folder = workspace.folder.path().to_str().unwrap().to_owned();
    let left = Command::new("sh").args(["-c", "ls -l /proc/[0-9]*/cwd 2>/dev/null"]).output().unwrap();
    let left = String::from_utf8_lossy(&left.stdout).into_owned();
    assert!(!left.lines().any(|process| process.ends_with(&folder)), "{left}");
}

#[test]
fn an_interrupted_run_stops_cleanly_and_the_next_one_goes_on() {
    let workspace = Workspace::tiny();
    workspace.edit("tiny.toml", "seconds = 1", "seconds = 600");
    interrupted_at(&workspace, "export   onnx-fp32");
    interrupted_at(&workspace, "compile  tensorrt-fp16-t4");
    interrupted_at(&workspace, "publish  onnx-fp32");
    interrupted_at(&workspace, "probe    onnx-fp32");
    workspace.edit("tiny.toml", "seconds = 600", "seconds = 1");
    let report = workspace.json(&["run", "tiny.toml"]);
    let first_engine = report["engines"].as_array().unwrap().iter().find(|engine| engine["gpu"] == "t4").unwrap();
    assert_eq!(first_engine["outcome"], "cached", "work that was done is not done again");
    let undisturbed = Workspace::tiny().json(&["run", "tiny.toml"]);
    let digests = |report: &serde_json::Value| {
        report["artifacts"].as_array().unwrap().iter().map(|row| row["sha256"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(digests(&report), digests(&undisturbed));
}

#[test]
fn a_model_without_an_end_is_interrupted() {
    let workspace = Workspace::empty();
    fs_err::create_dir(workspace.path("model")).unwrap();
    let graph = planforge_testkit::repository().join("fixtures/tiny-onnx/endless/model.onnx");
    fs_err::copy(graph, workspace.path("model/model.onnx")).unwrap();
    workspace.write(
        "own.toml",
        "name = \"own\"\ntask = \"feature-extraction\"\n[source]\npath = \"model\"\ngraph = \"model.onnx\"\n\
         [[profiles]]\nbatch = [1, 2, 4]\n",
    );
    // The check begins after the export; its line comes when it is done.
    interrupted(&workspace, &["check", "own.toml"], "export   onnx-fp32", Duration::from_secs(1));
}
