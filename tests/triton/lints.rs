//! What `planforge lint` says of an archive is what the server does with it.

mod cases;

use super::{Packaged, with_options};
use crate::support::Workspace;
use cases::{CASES, EDITS, PLATFORMS, config};
use planforge_core::Task;
use planforge_testkit::{TritonOptions, TritonServer};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// Changes an archive, and returns what is said of it by `planforge lint`, and then by the server.
fn both(server: &TritonServer, packaged: &Packaged, change: impl Fn(&Path)) -> (Value, bool, String) {
    let workspace = Workspace::empty();
    let top = workspace.path("top");
    fs_err::create_dir(&top).unwrap();
    let run = |command: &mut Command| assert!(command.status().unwrap().success());
    run(Command::new("tar").arg("-xzf").arg(&packaged.archive).arg("-C").arg(&top));
    change(&top);
    let archive = workspace.path("changed.tar.gz");
    run(Command::new("tar").arg("-czf").arg(&archive).arg("-C").arg(&top).arg("."));
    let ended = workspace.planforge(&["lint", "changed.tar.gz", "--json"]);
    let linted: Value = serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("{}", ended.stderr));
    let findings = linted[0]["findings"].clone();
    let is_bad = findings.as_array().unwrap().iter().any(|finding| finding["severity"] == "error");
    assert_eq!(ended.status.code(), Some(if is_bad { 4 } else { 0 }), "{}", ended.stderr);
    let before = server.log().len();
    let answer = server.load(&archive, "changed.tar.gz");
    let told = format!("{}\n{}", answer.text(), &server.log()[before..]);
    if answer.status == 200 {
        assert_eq!(server.unload("changed.tar.gz").status, 200);
    }
    fs_err::remove_dir_all(TritonServer::model_folder("changed.tar.gz")).unwrap();
    (findings, answer.status == 200, told)
}

#[test]
fn findings_are_what_the_server_does() {
    let options = TritonOptions { auto_complete: true, ..TritonOptions::default() };
    with_options(concat!(module_path!(), "::findings_are_what_the_server_does"), &options, |server| {
        let packaged = Packaged::fixture("resnet", Task::ImageClassification);
        let mut wrong = Vec::new();
        for &(what, change, is_good) in CASES {
            let (findings, is_served, told) = both(server, &packaged, change);
            compare(&mut wrong, (what, is_good), &findings, (is_served, &told));
        }
        for &(from, to, is_good) in EDITS.iter().chain(PLATFORMS) {
            let (findings, is_served, told) = both(server, &packaged, |top| config(top, from, to));
            compare(&mut wrong, (to, is_good), &findings, (is_served, &told));
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    });
}

/// Both agree about whether it loads, and the answer that lint predicts is given.
fn compare(wrong: &mut Vec<String>, (what, is_good): (&str, bool), findings: &Value, (is_served, told): (bool, &str)) {
    let errors: Vec<&Value> =
        findings.as_array().unwrap().iter().filter(|finding| finding["severity"] == "error").collect();
    if is_served != is_good {
        wrong.push(format!("{what}: served {is_served}: {told}"));
    }
    if errors.is_empty() == is_good {
        let is_told = |error: &&Value| error["answer"].as_str().is_some_and(|answer| told.contains(answer));
        if !is_good && !errors.iter().any(is_told) {
            wrong.push(format!("{what}: {findings} is not told in: {told}"));
        }
    } else {
        wrong.push(format!("{what}: lint says {findings}, the server: {told}"));
    }
}
