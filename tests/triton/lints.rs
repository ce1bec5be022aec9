//! `planforge lint` predicts what the server does with an archive.

mod cases;
mod verdicts;

use super::{Packaged, with_options};
use crate::support::Workspace;
use cases::{CASES, EDITS, PLATFORMS, config};
use planforge_core::Task;
use planforge_testkit::{TritonOptions, TritonServer};
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// What `planforge lint` finds in an archive, and what the server does with it.
struct Outcome {
    findings: Value,
    is_served: bool,
    /// The server's response, and what it logged meanwhile.
    logged: String,
}

/// Changes an archive, lints it, and has the server load it.
fn lint_and_load(server: &TritonServer, packaged: &Packaged, change: impl Fn(&Path)) -> Outcome {
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
    let logged = format!("{}\n{}", answer.text(), &server.log()[before..]);
    if answer.status == 200 {
        // Asked within a millisecond of the load, the server is now and then ended by a signal.
        std::thread::sleep(Duration::from_millis(100));
        assert_eq!(server.unload("changed.tar.gz").status, 200);
    }
    fs_err::remove_dir_all(TritonServer::model_folder("changed.tar.gz")).unwrap();
    Outcome { findings, is_served: answer.status == 200, logged }
}

#[test]
fn findings_are_what_the_server_does() {
    let options = TritonOptions { auto_complete: true, ..TritonOptions::default() };
    with_options(concat!(module_path!(), "::findings_are_what_the_server_does"), &options, |server| {
        let packaged = Packaged::fixture("resnet", Task::ImageClassification);
        let mut wrong = Vec::new();
        for &(what, change, is_good) in CASES {
            wrong.extend(mistake(what, is_good, &lint_and_load(server, &packaged, change)));
        }
        for &(from, to, is_good) in EDITS.iter().chain(PLATFORMS) {
            let outcome = lint_and_load(server, &packaged, |top| config(top, from, to));
            wrong.extend(mistake(to, is_good, &outcome));
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    });
}

/// Where lint and the server disagree about whether an archive loads, or the server does not answer as predicted.
fn mistake(what: &str, is_good: bool, outcome: &Outcome) -> Option<String> {
    let Outcome { findings, is_served, logged } = outcome;
    let mut errors = findings.as_array().unwrap().iter().filter(|finding| finding["severity"] == "error").peekable();
    if *is_served != is_good {
        return Some(format!("{what}: served {is_served}: {logged}"));
    }
    if errors.peek().is_none() != is_good {
        return Some(format!("{what}: lint finds {findings}, the server: {logged}"));
    }
    let is_logged = |error: &Value| error["answer"].as_str().is_some_and(|answer| logged.contains(answer));
    (!is_good && !errors.any(is_logged)).then(|| format!("{what}: {findings} is not in: {logged}"))
}
