//! Fetching over HTTP, and the cache that it leaves.

use crate::support::{Workspace, end};
use planforge_testkit::TestHub;
use serde_json::Value;

#[test]
fn one_pipeline_file_works_online_and_then_offline() {
    let workspace = Workspace::tiny();
    fs_err::write(workspace.path("model/pytorch_model.bin"), "not needed").unwrap();
    let hub = TestHub::start("someone/tiny", &workspace.path("model")).unwrap();
    workspace.edit("tiny.toml", "path = \"model\"", "repo = \"someone/tiny\"");
    let run = |offline: &str| {
        let mut command = workspace.command(&["fetch", "tiny.toml", "--json"]);
        command.env("HF_ENDPOINT", hub.url()).env("HF_HUB_OFFLINE", offline);
        command.env_remove("HF_HUB_CACHE").env("HF_HOME", workspace.path("hf"));
        let ended = end(command);
        ended.succeeds();
        serde_json::from_str::<Value>(&ended.stdout).unwrap()
    };
    let online = run("0");
    assert_eq!(online["source"]["commit"], hub.commit());
    let asked = hub.requests();
    assert!(asked.iter().any(|request| request.contains("/model.safetensors")), "{asked:?}");
    assert!(!asked.iter().any(|request| request.contains("pytorch_model.bin")), "{asked:?}");
    let snapshot = workspace.path("hf/hub/models--someone--tiny/snapshots").join(hub.commit());
    let weights = fs_err::read(snapshot.join("model.safetensors")).unwrap();
    assert_eq!(weights, fs_err::read(workspace.path("model/model.safetensors")).unwrap());

    let offline = run("1");
    assert_eq!(hub.requests(), asked, "offline mode asks nothing");
    assert_eq!(offline["source"], online["source"]);
    assert_eq!(offline["artifacts"][0]["outcome"], "cached");
    assert_eq!(offline["artifacts"][0]["sha256"], online["artifacts"][0]["sha256"]);
}

#[test]
fn pytorch_files_are_fetched_until_there_are_safetensors() {
    let workspace = Workspace::tiny();
    let weights = workspace.path("model/model.safetensors");
    fs_err::rename(&weights, workspace.path("model.safetensors")).unwrap();
    fs_err::write(workspace.path("model/pytorch_model.bin"), [0; 1 << 20]).unwrap();
    let hub = TestHub::start("someone/tiny", &workspace.path("model")).unwrap();
    let source = format!("repo = \"someone/tiny\"\nrevision = \"{}\"", hub.commit());
    workspace.edit("tiny.toml", "path = \"model\"", &source);
    let fetched = |offline: &str| {
        let mut command = workspace.command(&["fetch", "tiny.toml", "--json"]);
        command.env("HF_ENDPOINT", hub.url()).env("HF_HUB_OFFLINE", offline);
        command.env_remove("HF_HUB_CACHE").env("HF_HOME", workspace.path("hf"));
        let ended = end(command);
        ended.succeeds();
        ended.stdout.lines().any(|line| line.contains("pytorch_model.bin"))
    };
    assert!(fetched("0"));
    assert!(fetched("1"), "the cache is enough in offline mode");
    assert!(fetched("0"));
    fs_err::rename(workspace.path("model.safetensors"), &weights).unwrap();
    assert!(!fetched("0"), "the same commit gives the same files, whatever the cache had before");
    assert!(!fetched("1"));
}

#[test]
fn what_the_hub_does_not_have_is_named() {
    let workspace = Workspace::tiny();
    let hub = TestHub::start("someone/tiny", &workspace.path("model")).unwrap();
    for (repository, revision) in [("someone/else", "main"), ("someone/tiny", "v2")] {
        let source = format!("repo = \"{repository}\"\nrevision = \"{revision}\"");
        let workspace = Workspace::tiny();
        workspace.edit("tiny.toml", "path = \"model\"", &source);
        let mut command = workspace.command(&["fetch", "tiny.toml"]);
        command.env("HF_ENDPOINT", hub.url()).env("HF_HUB_OFFLINE", "0").env("HF_HUB_CACHE", workspace.path("cache"));
        let words = [format!("cannot give `{repository}` at `{revision}`"), "check the repository's name".to_owned()];
        end(command).fails(1, &words.each_ref().map(String::as_str));
    }
}
