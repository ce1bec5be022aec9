//! The local endpoint with models in its own process, in a Triton that it starts, and in a container that runs already: one suite
//! over all.

mod bodies;
mod soak;

use crate::support::{Hosted, Workspace, triton_backend};
use planforge_testkit::{TinyBert, TritonOptions, TritonServer, isolated, native};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Set where namespaces can be made, so that none of these tests may be skipped.
const REQUIRED: &str = "PLANFORGE_REQUIRE_TRITON";

/// Requests that come at the same time, and clients that send them.
const REQUESTS: usize = 2000;
const CLIENTS: usize = 32;
/// Requests for a copy before the next one's turn. Triton takes two seconds to unload one.
const TURN: usize = 20;
const TURN_OF_TRITON: usize = 100;
const COPIES: usize = 8;

/// A pipeline of eight copies of a model of about 8 MiB.
fn workspace(container: &str, memory: &str) -> Workspace {
    let workspace = Workspace::tiny();
    fs_err::remove_dir_all(workspace.path("model")).unwrap();
    TinyBert { hidden_size: 384, ..TinyBert::default() }.write(&workspace.path("model")).unwrap();
    workspace.package_without_engines("[\"onnx\"]");
    workspace.edit("tiny.toml", "copies = 3", &format!("copies = {COPIES}\nonnx_backend = \"planforge\""));
    workspace.edit(
        "tiny.toml",
        "[load]",
        &format!("[host]\nmemory = \"{memory}\"\ncontainer = \"{container}\"\n[load]"),
    );
    workspace
}

/// Two texts of tokens that `seed` chooses.
fn request(seed: usize) -> Value {
    let (batch, sequence) = (1 + seed % 4, 4 + seed % 60);
    let input = |name: &str, value: &dyn Fn(usize) -> usize| {
        let data: Vec<usize> = (0..batch * sequence).map(value).collect();
        json!({"name": name, "shape": [batch, sequence], "datatype": "INT64", "data": data})
    };
    json!({"inputs": [
        input("input_ids", &|index| (seed * 7 + index * 5) % 38),
        input("attention_mask", &|index| usize::from(index % sequence < 4 + seed % sequence)),
        input("token_type_ids", &|_| 0),
    ]})
}

fn state(hosted: &Hosted) -> Value {
    let (status, state) = hosted.send(b"GET /planforge/state HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert_eq!(status, 200, "{state}");
    state
}

fn values(answer: &Value) -> Vec<f64> {
    answer["outputs"][0]["data"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
}

#[track_caller]
fn assert_close(found: &Value, expected: &Value) {
    let (found, expected) = (values(found), values(expected));
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        assert!((found - expected).abs() < 1e-5, "{found} instead of {expected}");
    }
}

/// The suite. `expected` are answers to requests of the seeds 0, 1, …
fn serves_as_sagemaker_does(hosted: &Hosted, workspace: &Workspace, expected: &[Value], turn: usize) {
    answers_are_right_while_copies_come_and_go(hosted, expected, turn);
    let (loaded, first) = one_copy_after_the_other(hosted, expected);
    answers_are_right_while_copies_come_and_go(hosted, expected, turn);
    // What was unloaded has given back its memory, so that as many copies fit.
    let (loaded_again, last) = one_copy_after_the_other(hosted, expected);
    assert!(loaded_again + 1 >= loaded, "{loaded_again} copies are loaded, {loaded} before");
    if loaded_again == loaded {
        assert!(last < 1.05 * first, "{last} bytes are in use, {first} before");
    }
    mistakes_are_named(hosted);
    archives_that_cannot_be_served_are_refused(hosted, workspace);
    let state = state(hosted);
    let invocations: u64 =
        state["invocations"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(invocations, (2 * COPIES * expected.len() + 2 * REQUESTS) as u64, "{state:#}");
    for metric in ["Invocations", "ModelCacheHit", "ModelLoadingTime", "ModelUnloadingTime", "ModelDownloadingTime"] {
        assert!(state["metrics"][metric]["SampleCount"].as_u64().unwrap() > 0, "{metric}: {state:#}");
    }
}

/// Loaded copies, and bytes in use, after requests for all copies, of which not all fit.
fn one_copy_after_the_other(hosted: &Hosted, expected: &[Value]) -> (usize, f64) {
    for copy in 0..COPIES {
        for (seed, expected) in expected.iter().enumerate() {
            let (status, answer) = hosted.invoke("tiny", &format!("tiny-v{copy}.tar.gz"), &request(seed));
            assert_eq!(status, 200, "{answer}");
            assert_close(&answer, expected);
        }
    }
    let state = state(hosted);
    let loaded = state["models"].as_array().unwrap().len();
    assert!((2..COPIES).contains(&loaded), "{state:#}");
    (loaded, state["used_byte_count"].as_f64().unwrap())
}

/// Requests of many clients for all copies.
fn answers_are_right_while_copies_come_and_go(hosted: &Hosted, expected: &[Value], turn: usize) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= REQUESTS {
                        break;
                    }
                    let seed = index % expected.len();
                    let copy = (index / turn + index % 2) % COPIES;
                    let (status, answer) = hosted.invoke("tiny", &format!("tiny-v{copy}.tar.gz"), &request(seed));
                    assert_eq!(status, 200, "{answer}");
                    assert_close(&answer, &expected[seed]);
                }
            });
        }
    });
    let state = state(hosted);
    assert!(state["evictions"].as_u64().unwrap() > 0, "{state:#}");
    let used = state["used_byte_count"].as_u64().unwrap();
    assert!(used <= state["budget_byte_count"].as_u64().unwrap(), "{state:#}");
}

fn mistakes_are_named(hosted: &Hosted) {
    let mut body = request(1);
    body["inputs"][0]["name"] = json!("ids");
    let (status, answer) = hosted.invoke("tiny", "tiny-v0.tar.gz", &body);
    assert_eq!((status, &answer["OriginalStatusCode"]), (424, &json!(400)), "{answer}");
    let text = answer["OriginalMessage"].as_str().unwrap();
    assert!(text.contains("unexpected inference input 'ids' for model 'tiny-v0.tar.gz'"), "{text}");
    let (status, answer) = hosted.invoke("tiny", "no.tar.gz", &body);
    assert_eq!(status, 400, "{answer}");
}

fn archives_that_cannot_be_served_are_refused(hosted: &Hosted, workspace: &Workspace) {
    let store = published(workspace);
    fs_err::write(store.join("cut.tar.gz"), &fs_err::read(store.join("tiny-v0.tar.gz")).unwrap()[..2000]).unwrap();
    let empty = tempfile::tempdir().unwrap();
    fs_err::create_dir_all(empty.path().join("m/1")).unwrap();
    fs_err::write(empty.path().join("m/config.pbtxt"), "backend: \"planforge\" max_batch_size: -1").unwrap();
    fs_err::write(empty.path().join("m/1/model.onnx"), "no graph").unwrap();
    let mut tar = std::process::Command::new("tar");
    let packed = tar.arg("-czf").arg(store.join("bad.tar.gz")).arg("-C").arg(empty.path()).arg("m").status();
    assert!(packed.unwrap().success());
    for name in ["cut.tar.gz", "bad.tar.gz"] {
        let (status, answer) = hosted.invoke("tiny", name, &request(1));
        assert_eq!((status, &answer["OriginalStatusCode"]), (424, &json!(400)), "{answer}");
        let text = answer["OriginalMessage"].as_str().unwrap();
        assert!(!text.contains("planforge-out") && !text.contains("/opt/"), "{text}");
    }
}

/// The folder of the published copies.
fn published(workspace: &Workspace) -> PathBuf {
    workspace.path("planforge-out/tiny/store/tiny/onnx-fp32")
}

/// Answers of one copy with all the memory it wants, in this process.
fn expected() -> Vec<Value> {
    let workspace = workspace("embedded", "4 GiB");
    let hosted = Hosted::start(&workspace, "tiny.toml");
    let answer = |seed| hosted.invoke("tiny", "tiny-v0.tar.gz", &request(seed)).1;
    let answers = (0..12).map(answer).collect();
    hosted.stop();
    answers
}

#[test]
fn the_endpoint_itself_serves_as_sagemaker_does() {
    let workspace = workspace("embedded", "72 MiB");
    let hosted = Hosted::start(&workspace, "tiny.toml");
    serves_as_sagemaker_does(&hosted, &workspace, &expected(), TURN);
    hosted.stop();
}

#[test]
fn a_triton_that_it_starts_serves_as_sagemaker_does() {
    isolated(concat!(module_path!(), "::a_triton_that_it_starts_serves_as_sagemaker_does"), REQUIRED, || {
        let workspace = workspace("triton", "96 MiB");
        let hosted = Hosted::start(&workspace, "tiny.toml");
        serves_as_sagemaker_does(&hosted, &workspace, &expected(), TURN_OF_TRITON);
        hosted.stop();
    });
}

#[test]
fn a_container_that_runs_already_serves_as_sagemaker_does() {
    isolated(concat!(module_path!(), "::a_container_that_runs_already_serves_as_sagemaker_does"), REQUIRED, || {
        let backends = tempfile::tempdir().unwrap();
        let installed = backends.path().join("planforge");
        fs_err::create_dir(&installed).unwrap();
        let link = |file: &Path, name: &str| std::os::unix::fs::symlink(file, installed.join(name)).unwrap();
        link(&triton_backend(), "libtriton_planforge.so");
        link(&native().join("onnxruntime/libonnxruntime.so"), "libonnxruntime.so");
        let options = TritonOptions { backends: Some(backends.path().to_owned()), ..TritonOptions::default() };
        let server = TritonServer::start(&options);
        fs_err::create_dir_all("/opt/ml/models").unwrap();
        let workspace = workspace(&format!("http://127.0.0.1:{}", server.port()), "32 MiB");
        let hosted = Hosted::start(&workspace, "tiny.toml");
        serves_as_sagemaker_does(&hosted, &workspace, &expected(), TURN_OF_TRITON);
        // Sizes of archives are no measurement.
        let probed = workspace.planforge(&["probe", "tiny.toml", "--url", &format!("http://{}", hosted.address)]);
        assert_eq!(probed.status.code(), Some(2), "{}", probed.stderr);
        assert!(probed.stderr.contains("cannot read the memory of its container"), "{}", probed.stderr);
        hosted.stop();
        assert_eq!(fs_err::read_dir("/opt/ml/models").unwrap().count(), 0, "files of models are removed");
        server.stop();
    });
}

#[test]
fn a_triton_without_the_backend_that_its_models_need_is_not_started() {
    let workspace = workspace("triton", "4 GiB");
    // The server that scripts/setup fetches has no backend for ONNX models of its own.
    for backend in ["planforge", "onnxruntime"] {
        workspace.edit("tiny.toml", "onnx_backend = \"planforge\"", &format!("onnx_backend = \"{backend}\""));
        let ended = workspace.planforge(&["probe", "tiny.toml", "--triton-backend", "nowhere/libtriton_planforge.so"]);
        ended.fails(3, &["nowhere/libtriton_planforge.so` is missing", "cargo build --release", "hint: "]);
    }
}

#[test]
fn a_triton_that_is_killed_is_started_again() {
    isolated(concat!(module_path!(), "::a_triton_that_is_killed_is_started_again"), REQUIRED, || {
        let workspace = workspace("triton", "4 GiB");
        let hosted = Hosted::start(&workspace, "tiny.toml");
        for round in 0..3 {
            // The one that meets the end of the server is refused.
            let ask = || hosted.invoke("tiny", "tiny-v0.tar.gz", &request(round));
            let (status, answer) = Some(ask()).filter(|(status, _)| *status == 200).unwrap_or_else(ask);
            assert_eq!(status, 200, "{answer}");
            kill("tritonserver");
        }
        hosted.stop();
        assert!(processes("tritonserver").is_empty(), "no server outlives the endpoint");
    });
}

#[test]
fn a_triton_that_is_killed_in_a_request_or_a_load_is_started_again() {
    isolated(
        concat!(module_path!(), "::a_triton_that_is_killed_in_a_request_or_a_load_is_started_again"),
        REQUIRED,
        || {
            let workspace = workspace("triton", "4 GiB");
            workspace.planforge(&["publish", "tiny.toml"]).succeeds();
            bodies::write(&workspace, &published(&workspace).join("endless.tar.gz"), "endless", "max_batch_size: 4");
            let hosted = Hosted::start(&workspace, "tiny.toml");
            let endless = json!({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}]});
            let (endless, request) = (&endless, &request(1));
            let killed_after = |milliseconds: u64, target_model: &str, body: &Value| {
                std::thread::scope(|scope| {
                    let asked = scope.spawn(|| hosted.invoke("tiny", target_model, body));
                    std::thread::sleep(std::time::Duration::from_millis(milliseconds));
                    kill("tritonserver");
                    asked.join().unwrap()
                })
            };
            let (status, answer) = killed_after(2000, "endless.tar.gz", endless);
            assert_eq!(status, 424, "{answer}");
            for (copy, milliseconds) in [0, 3, 10, 30, 100].into_iter().enumerate() {
                let copy = format!("tiny-v{copy}.tar.gz");
                let ask = || hosted.invoke("tiny", &copy, request);
                // Of the server that follows, so that there is one to be killed.
                let (status, answer) = Some(hosted.invoke("tiny", "tiny-v7.tar.gz", request))
                    .filter(|(status, _)| *status == 200)
                    .unwrap_or_else(|| hosted.invoke("tiny", "tiny-v7.tar.gz", request));
                assert_eq!(status, 200, "{answer}");
                let (status, answer) = killed_after(milliseconds, &copy, request);
                assert!([200, 424, 500].contains(&status), "{status}: {answer}");
                let (status, answer) = Some(ask()).filter(|(status, _)| *status == 200).unwrap_or_else(ask);
                assert_eq!(status, 200, "after {milliseconds} ms: {answer}");
            }
            hosted.stop();
            assert!(processes("tritonserver").is_empty(), "no server outlives the endpoint");
        },
    );
}

/// Processes below this one whose program has this name.
fn processes(name: &str) -> Vec<u32> {
    let is_below = |process: u32| {
        let parent = |process: u32| {
            let status = fs_err::read_to_string(format!("/proc/{process}/status")).ok()?;
            status.lines().find_map(|line| line.strip_prefix("PPid:")?.trim().parse::<u32>().ok())
        };
        std::iter::successors(Some(process), |&process| parent(process)).any(|it| it == std::process::id())
    };
    let all = fs_err::read_dir("/proc").unwrap().flatten();
    let numbers = all.filter_map(|item| item.file_name().to_str()?.parse().ok());
    let is_named =
        |process: &u32| fs_err::read_to_string(format!("/proc/{process}/comm")).is_ok_and(|found| found.trim() == name);
    numbers.filter(is_named).filter(|&process| is_below(process)).collect()
}

fn kill(name: &str) {
    let found = processes(name);
    assert_eq!(found.len(), 1, "{found:?}");
    let killed = std::process::Command::new("kill").args(["-KILL", &found[0].to_string()]).status().unwrap();
    assert!(killed.success());
}
