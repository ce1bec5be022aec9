//! Engines whose builds once differed: networks with several convolutions, and with several outputs.

use crate::support::{Workspace, end};
use planforge_testkit::repository;
use serde_json::Value;
use std::collections::BTreeSet;

/// Builds of each engine. Without a heap whose addresses repeat, hardly two of them were the same.
const BUILDS: usize = 5;

/// Digests of the engines of one run, in an environment of `filler` bytes more.
fn engines(workspace: &Workspace, filler: usize) -> Vec<String> {
    let mut command = workspace.command(&["compile", "p.toml", "--json"]);
    command.env("FILLER", "x".repeat(filler));
    let ended = end(command);
    ended.succeeds();
    assert!(!ended.stderr.contains("may differ"), "{}", ended.stderr);
    let report: Value = serde_json::from_str(&ended.stdout).unwrap();
    let rows = report["artifacts"].as_array().unwrap().iter();
    let engines: Vec<_> = rows.filter(|row| row["step"] == "compile").collect();
    assert!(engines.iter().all(|row| row["outcome"] == "built"), "{report}");
    engines.iter().map(|row| row["sha256"].to_string()).collect()
}

fn are_the_same(workspace: impl Fn() -> Workspace + Sync, count: usize) {
    // Some at once, so that their threads run at other times.
    let found: BTreeSet<Vec<String>> = std::thread::scope(|scope| {
        let workspace = &workspace;
        let start = |number| scope.spawn(move || engines(&workspace(), 3000 * number));
        let builds: Vec<_> = (0..BUILDS).map(start).collect();
        builds.into_iter().map(|build| build.join().unwrap()).collect()
    });
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found.first().unwrap().len(), count);
}

#[test]
fn engines_of_convolutional_networks_are_the_same_in_every_build() {
    are_the_same(
        || {
            let workspace = Workspace::empty();
            std::os::unix::fs::symlink(repository().join("fixtures/models/timm-resnet50"), workspace.path("model"))
                .unwrap();
            workspace.write(
                "p.toml",
                "name = \"p\"\ntask = \"image-classification\"\n[source]\npath = \"model\"\n[[profiles]]\nbatch = [1, 4, 8]\n\
                 [export]\nprecisions = [\"fp32\", \"fp16\"]\n[compile]\ngpus = [\"a10g\"]\n\
                 [package]\nplatforms = [\"tensorrt\"]\n",
            );
            workspace
        },
        2,
    );
}

#[test]
fn engines_with_several_outputs_are_the_same_in_every_build() {
    are_the_same(
        || {
            let workspace = Workspace::tiny();
            fs_err::rename(workspace.path("tiny.toml"), workspace.path("p.toml")).unwrap();
            let all = "[compile]\noutputs = [\"last_hidden_state\", \"pooler_output\", \"sentence_embedding\"]";
            workspace.edit("p.toml", "[compile]", all);
            workspace
        },
        3,
    );
}
