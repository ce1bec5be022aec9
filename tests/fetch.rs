//! Fetching over HTTP, and the cache that it leaves.

use crate::support::{Hosted, Workspace, end};
use planforge_testkit::{Access, HubOptions, Mirror, TestHub};
use serde_json::Value;

#[test]
fn one_pipeline_file_works_online_and_then_offline() {
    let workspace = Workspace::tiny();
    fs_err::write(workspace.path("model/pytorch_model.bin"), "not needed").unwrap();
    let card = "---\nlicense: apache-2.0\nbase_model: someone/large\ntags:\n- bert\n---\n# Tiny\n";
    fs_err::write(workspace.path("model/README.md"), card).unwrap();
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
    let card = serde_json::json!({ "license": "apache-2.0", "base_models": ["someone/large"], "tags": ["bert"] });
    assert_eq!(online["source"]["card"], card);
    let asked = hub.requests();
    assert!(asked.iter().any(|request| request.contains("/model.safetensors")), "{asked:?}");
    assert!(!asked.iter().any(|request| request.contains("pytorch_model.bin")), "{asked:?}");
    let snapshot = workspace.path("hf/hub/models--someone--tiny/snapshots").join(hub.commit());
    let weights = fs_err::read(snapshot.join("model.safetensors")).unwrap();
    assert_eq!(weights, fs_err::read(workspace.path("model/model.safetensors")).unwrap());

    let offline = run("1");
    assert_eq!(hub.requests(), asked, "offline mode asks nothing");
    assert_eq!(offline["source"], online["source"]);
    let mut command = workspace.command(&["inspect", "tiny.toml"]);
    command.env_remove("HF_HUB_CACHE").env("HF_HOME", workspace.path("hf"));
    let text = end(command).stdout;
    assert!(text.contains("its authors say: license apache-2.0, made from someone/large, tags bert\n"), "{text}");
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
    assert!(fetched("0"), "the lock names the files");
    fs_err::remove_file(workspace.path("tiny.lock")).unwrap();
    assert!(!fetched("0"), "the same commit gives the same files, independent of what the cache had before");
    assert!(!fetched("1"));
}

#[test]
fn what_the_hub_does_not_have_is_named() {
    let workspace = Workspace::tiny();
    let hub = TestHub::start("someone/tiny", &workspace.path("model")).unwrap();
    let cases = [
        ("someone/else", "main", ["repository `someone/else` not found", "check the repository's name"]),
        ("someone/tiny", "v2", ["revision `v2` not found in `someone/tiny`", "key `source.revision`"]),
    ];
    for (repository, revision, words) in cases {
        let source = format!("repo = \"{repository}\"\nrevision = \"{revision}\"");
        let workspace = Workspace::tiny();
        workspace.edit("tiny.toml", "path = \"model\"", &source);
        let mut command = workspace.command(&["fetch", "tiny.toml"]);
        command.env("HF_ENDPOINT", hub.url()).env("HF_HUB_OFFLINE", "0").env("HF_HUB_CACHE", workspace.path("cache"));
        end(command).fails(1, &words);
    }
}

#[test]
fn a_gated_repository_is_fetched_with_a_token_that_stays_out_of_logs_and_redirects() {
    let workspace = Workspace::tiny();
    workspace.edit("tiny.toml", "path = \"model\"", "repo = \"someone/tiny\"");
    let hub = TestHub::with(HubOptions {
        name: "someone/tiny".to_owned(),
        folder: workspace.path("model"),
        large: 1000,
        access: Access::Gated("hf_granted".to_owned()),
        former_name: None,
        mirror: Mirror::default(),
        wrong_responses: Vec::new(),
    });
    let hub = hub.unwrap();
    let run = |arguments: &[&str], variables: &[(&str, &str)]| {
        let mut command = workspace.command(&[&["fetch", "tiny.toml"], arguments].concat());
        command.env("HF_ENDPOINT", hub.url()).env("HF_HUB_OFFLINE", "0").env_remove("HF_HUB_CACHE");
        end({
            command.env("HF_HOME", workspace.path("hf")).envs(variables.iter().copied());
            command
        })
    };
    run(&[], &[]).fails(1, &["`someone/tiny` is gated", &format!("at `{}/someone/tiny`", hub.url()), "set HF_TOKEN"]);
    run(&[], &[("HF_TOKEN", "hf_other")]).fails(1, &["`someone/tiny` is gated"]);
    // As `hf auth login` stores it.
    fs_err::write(workspace.path("hf/token"), "hf_granted").unwrap();
    for arguments in [&["--all-files"][..], &["-vv"], &["-vv", "--json"]] {
        let ended = run(arguments, &[("PLANFORGE_LOG", "trace")]);
        ended.succeeds();
        let output = format!("{}{}", ended.stdout, ended.stderr);
        assert!(!output.contains("hf_granted") && !output.contains("signature="), "{output}");
        fs_err::remove_dir_all(workspace.path("hf/hub")).unwrap();
    }
    let elsewhere: Vec<_> = hub.seen().into_iter().filter(|seen| seen.line.starts_with("CDN ")).collect();
    assert!(!elsewhere.is_empty() && elsewhere.iter().all(|seen| !seen.has_token), "{elsewhere:?}");
}

#[test]
fn fetching_goes_through_a_proxy() {
    let workspace = Workspace::tiny();
    workspace.edit("tiny.toml", "path = \"model\"", "repo = \"someone/tiny\"");
    let hub = TestHub::start("someone/tiny", &workspace.path("model")).unwrap();
    let mut command = workspace.command(&["fetch", "tiny.toml"]);
    command.env("HF_ENDPOINT", "http://hub.invalid").env("HTTP_PROXY", hub.url()).env("NO_PROXY", "127.0.0.1");
    command.env("HF_HUB_OFFLINE", "0").env("HF_HUB_CACHE", workspace.path("cache"));
    end(command).succeeds();
    assert!(hub.requests().iter().any(|line| line.contains("/resolve/")), "{:?}", hub.requests());
}

#[test]
fn a_locked_commit_in_the_cache_needs_no_hub() {
    let pytorch = planforge_testkit::repository().join("fixtures/pytorch/bert");
    for weights in ["model.safetensors", "pytorch_model.bin"] {
        let workspace = Workspace::tiny();
        workspace.package_without_engines("[\"onnx\"]");
        if weights == "pytorch_model.bin" {
            fs_err::remove_dir_all(workspace.path("model")).unwrap();
            fs_err::create_dir(workspace.path("model")).unwrap();
            copy_files(&pytorch, &workspace.path("model"));
            // A smaller model, without a tokenizer.
            workspace.edit("tiny.toml", "sentence-embedding", "feature-extraction");
            workspace.edit("tiny.toml", "sequence = [4, 16, 64]", "sequence = [4, 8, 16]");
            workspace.edit("tiny.toml", "samples = ", "# samples = ");
        }
        let hub = TestHub::start("someone/tiny", &workspace.path("model")).unwrap();
        workspace.edit("tiny.toml", "path = \"model\"", "repo = \"someone/tiny\"");
        let command = |endpoint: &str, arguments: &[&str]| {
            let mut command = workspace.command(arguments);
            command.env("HF_ENDPOINT", endpoint).env("HF_HUB_CACHE", workspace.path("hub")).env("HF_HUB_OFFLINE", "0");
            command
        };
        end(command(&hub.url(), &["package", "tiny.toml"])).succeeds();
        let asked = hub.requests().len();
        // Whoever asks there is refused, and has tried six times.
        for arguments in [
            &["fetch", "tiny.toml"][..],
            &["export", "tiny.toml"],
            &["check", "tiny.toml"],
            &["inspect", "tiny.toml"],
            &["plan", "tiny.toml", "--gpu", "l4"],
            &["infer", "tiny.toml", "--text", "the cat"],
            &["compile", "tiny.toml"],
            &["package", "tiny.toml", "--locked"],
            &["lock", "tiny.toml"],
            &["publish", "tiny.toml"],
            &["check", "tiny.toml", "--served"],
            &["probe", "tiny.toml"],
            &["load", "tiny.toml"],
            &["run", "tiny.toml"],
            &["verify", "tiny.toml"],
            &["unpublish", "tiny.toml"],
        ] {
            if weights == "pytorch_model.bin" && arguments[0] == "infer" {
                continue;
            }
            let ended = end(command("http://127.0.0.1:9", arguments));
            ended.succeeds();
            assert!(!ended.stderr.contains("trying again"), "{arguments:?}: {}", ended.stderr);
        }
        let hosted = Hosted::start_with(&workspace, "tiny.toml", |command| {
            command.env("HF_ENDPOINT", "http://127.0.0.1:9").env("HF_HUB_CACHE", workspace.path("hub"));
            command.env("HF_HUB_OFFLINE", "0");
        });
        hosted.stop();
        assert_eq!(hub.requests().len(), asked);
    }
}

fn copy_files(from: &std::path::Path, to: &std::path::Path) {
    for item in fs_err::read_dir(from).unwrap().map(Result::unwrap).filter(|item| item.path().is_file()) {
        fs_err::copy(item.path(), to.join(item.file_name())).unwrap();
    }
}
