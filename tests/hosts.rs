//! `planforge host`: several endpoints at one address, tokens, and logs.

use crate::disks::can_mount;
use crate::support::{Hosted, Workspace};
use planforge_testkit::TinyBert;
use serde_json::{Value, json};

const SECRET: &str = "0123456789abcdef";

/// Two pipelines of one model.
fn workspace() -> Workspace {
    let workspace = Workspace::tiny();
    workspace.package_without_engines("[\"onnx\"]");
    let text = fs_err::read_to_string(workspace.path("tiny.toml")).unwrap();
    fs_err::write(workspace.path("other.toml"), text.replace("name = \"tiny\"", "name = \"other\"")).unwrap();
    workspace
}

fn request() -> Value {
    let input = |name: &str, data: [i64; 3]| json!({"name": name, "datatype": "INT64", "shape": [1, 3], "data": data});
    json!({"inputs": [
        input("input_ids", [1, 2, 3]), input("attention_mask", [1, 1, 1]), input("token_type_ids", [0, 0, 0]),
    ]})
}

#[test]
fn pipelines_are_endpoints_at_one_address() {
    let workspace = workspace();
    let hosted = Hosted::start_all(&workspace, &["tiny.toml", "other.toml"], |_| {});
    let (status, tiny) = hosted.invoke("tiny", "tiny-v0.tar.gz", &request());
    assert_eq!(status, 200, "{tiny}");
    let (status, other) = hosted.invoke("other", "other-v1.tar.gz", &request());
    assert_eq!((status, &other["outputs"]), (200, &tiny["outputs"]), "{other}");
    let url = format!("http://{}", hosted.address);
    for pipeline in ["tiny.toml", "other.toml"] {
        let capacity = workspace.json(&["probe", pipeline, "--url", &url]);
        assert_eq!((&capacity["copies"], &capacity["limit"]), (&3.into(), &"published-copies".into()), "{capacity}");
    }
    hosted.stop();
}

#[test]
fn pipelines_of_one_name_are_refused() {
    let workspace = workspace();
    workspace
        .planforge(&["host", "tiny.toml", "tiny.toml", "--port", "0"])
        .fails(2, &["two endpoints have the name `tiny`"]);
    workspace
        .planforge(&["host", "tiny.toml", "other.toml", "--container", "http://127.0.0.1:1"])
        .fails(2, &["`tiny` uses a container that runs already", "one by one"]);
}

#[test]
fn an_address_in_use_is_found_before_anything_is_built() {
    let workspace = workspace();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    workspace.planforge(&["host", "tiny.toml", "--port", &port]).fails(2, &["is in use; choose another port"]);
    assert_eq!(workspace.files("planforge-out"), [""; 0]);
}

#[test]
fn other_machines_need_a_token() {
    let workspace = workspace();
    let everywhere = ["host", "tiny.toml", "--port", "0", "--listen", "0.0.0.0"];
    workspace
        .planforge(&everywhere)
        .fails(2, &["`0.0.0.0:0` can be reached from other machines", "PLANFORGE_HOST_TOKEN"]);
    let short = workspace.command(&everywhere).env("PLANFORGE_HOST_TOKEN", "secret").output().unwrap();
    let stderr = String::from_utf8_lossy(&short.stderr);
    assert_eq!(short.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("PLANFORGE_HOST_TOKEN: an access token has 16") && !stderr.contains("secret"), "{stderr}");
    for pipelines in [vec!["tiny.toml"], vec!["tiny.toml", "other.toml"]] {
        let hosted = Hosted::start_all(&workspace, &pipelines, |command| {
            command.env("PLANFORGE_HOST_TOKEN", SECRET);
        });
        let (status, answer) = hosted.invoke("tiny", "tiny-v0.tar.gz", &request());
        assert_eq!(status, 403, "{answer}");
        let arguments = ["probe", "tiny.toml", "--url", &format!("http://{}", hosted.address)];
        workspace.planforge(&arguments).fails(1, &["Missing Authentication Token", "hint: set PLANFORGE_HOST_TOKEN"]);
        let probed = workspace.command(&arguments).env("PLANFORGE_HOST_TOKEN", SECRET).output().unwrap();
        assert!(probed.status.success(), "{}", String::from_utf8_lossy(&probed.stderr));
        hosted.stop();
    }
}

#[test]
fn two_endpoints_of_a_pipeline_have_a_log_each() {
    let workspace = workspace();
    let first = Hosted::start(&workspace, "tiny.toml");
    let second = Hosted::start(&workspace, "tiny.toml");
    let (status, _) = second.invoke("tiny", "cut.tar.gz", &request());
    assert_eq!(status, 400);
    let (status, _) = second.invoke("tiny", "tiny-v0.tar.gz", &request());
    assert_eq!(status, 200);
    second.stop();
    first.stop();
    let logs = workspace.path("planforge-out/tiny/host");
    assert!(logs.join("host.log").is_file() && logs.join("host.2.log").is_file());
}

#[test]
fn a_full_disk_unloads_models_with_their_files() {
    if !can_mount() {
        return;
    }
    let workspace = workspace();
    fs_err::remove_dir_all(workspace.path("model")).unwrap();
    TinyBert { hidden_size: 384, ..TinyBert::default() }.write(&workspace.path("model")).unwrap();
    workspace.planforge(&["publish", "tiny.toml"]).succeeds();
    let store = workspace.path("planforge-out/tiny/store/tiny/onnx-fp32");
    let folder = tempfile::tempdir().unwrap();
    let unpacked = std::process::Command::new("tar")
        .arg("-xzf")
        .arg(store.join("tiny-v0.tar.gz"))
        .arg("-C")
        .arg(folder.path())
        .status();
    assert!(unpacked.unwrap().success());
    let size = std::process::Command::new("du").args(["-sk", "--apparent-size"]).arg(folder.path()).output().unwrap();
    let kib: u64 = String::from_utf8(size.stdout).unwrap().split_whitespace().next().unwrap().parse().unwrap();
    let models = workspace.path("planforge-out/tiny/host/models");
    fs_err::create_dir_all(&models).unwrap();
    let inner = workspace.command(&["host", "tiny.toml", "--port", "0", "--json"]);
    // Two of three fit.
    let script = r#"mount -t tmpfs -o "size=$0k" tmpfs "$1" || exit 99; shift; exec "$@""#;
    let mut command = std::process::Command::new("unshare");
    command.args(["--mount", "--map-root-user", "sh", "-c", script, &(kib * 5 / 2).to_string()]).arg(models);
    command.arg(inner.get_program()).args(inner.get_args()).current_dir(workspace.folder.path()).env_clear();
    command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.stdout(std::process::Stdio::piped());
    let hosted = Hosted::of(command);
    for copy in [0, 1, 2, 0, 1, 2] {
        let (status, answer) = hosted.invoke("tiny", &format!("tiny-v{copy}.tar.gz"), &request());
        assert_eq!(status, 200, "{answer}");
    }
    let (_, state) = hosted.send(b"GET /planforge/state HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert!(state["evictions"].as_u64().unwrap() >= 3, "{state:#}");
    hosted.stop();
}
