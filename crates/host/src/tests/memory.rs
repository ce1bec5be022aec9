//! Budgets. Memory is counted for the whole process, so each of these tests runs in one of its own,
//! with an allocator that gives large blocks back at once.

use super::*;
use std::process::Command;

const ALONE: &str = "PLANFORGE_TEST_ALONE";

/// `true` in a process of its own; otherwise runs `test` in one and returns `false`.
fn alone(test: &str) -> bool {
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args([&format!("tests::memory::{test}"), "--exact", "--nocapture"])
        .envs([(ALONE, "1"), ("MALLOC_ARENA_MAX", "2"), ("MALLOC_MMAP_THRESHOLD_", "131072")])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    false
}

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(test);
}

/// What one loaded copy of `wide` takes, its model loaded twice so that first-time costs do not count.
async fn copy_size(folders: &Folders) -> (u64, u64) {
    let served = Served::start(folders, UNLIMITED).await;
    served.outputs("a", &wide_request(1.0)).await;
    let first = served.state().await.used_byte_count;
    served.outputs("b", &wide_request(1.0)).await;
    let second = served.state().await.used_byte_count;
    served.end().await;
    (first, second - first)
}

fn three_copies() -> Folders {
    let folders = Folders::new();
    for name in ["a", "b", "c"] {
        folders.publish(name, "wide", 4);
    }
    folders
}

#[test]
fn the_least_recently_used_model_is_evicted() {
    if !alone("the_least_recently_used_model_is_evicted") {
        return;
    }
    run(async {
        let folders = three_copies();
        let (_, size) = copy_size(&folders).await;
        assert!(size > 15 << 20, "{size}");
        let served = Served::start(&folders, 5 * size / 2).await;
        for name in ["a", "b", "a"] {
            served.outputs(name, &wide_request(1.0)).await;
        }
        assert_eq!(served.state().await.evictions, 0);
        served.outputs("c", &wide_request(1.0)).await;
        let state = served.state().await;
        let names: Vec<&str> = state.models.iter().map(|model| model.target_model.as_str()).collect();
        assert_eq!((state.evictions, names), (1, vec!["a", "c"]), "{state:?}");
        assert!(state.used_byte_count <= state.budget_byte_count, "{state:?}");
        assert!(state.models[1].byte_count > 15 << 20, "{state:?}");
        assert_eq!(folders.unpacked(), ["0", "2"]);
        served.end().await;
    });
}

#[test]
fn nothing_is_unloaded_under_a_request() {
    if !alone("nothing_is_unloaded_under_a_request") {
        return;
    }
    run(async {
        let folders = three_copies();
        let (_, size) = copy_size(&folders).await;
        let served = Served::start(&folders, 2 * size).await;
        let request = async |user: u16| {
            for turn in 0..6_u16 {
                let name = ["a", "b", "c"][usize::from((user + turn) % 3)];
                let value = f32::from(10 * user + turn);
                let outputs = served.outputs(name, &wide_request(value)).await;
                let data: Vec<f32> = serde_json::from_value(outputs[0]["data"].clone()).unwrap();
                assert_eq!(data, vec![value; 4096]);
            }
        };
        futures_util::future::join_all((0..6).map(request)).await;
        let state = served.state().await;
        assert!(state.evictions > 0, "{state:?}");
        served.end().await;
        assert_eq!(fs_err::read_dir(folders.work()).unwrap().count(), 0);
    });
}

#[test]
fn a_model_that_cannot_fit_is_refused_with_507() {
    if !alone("a_model_that_cannot_fit_is_refused_with_507") {
        return;
    }
    run(async {
        let folders = three_copies();
        folders.publish("tiny", "embed", 4);
        let (_, size) = copy_size(&folders).await;
        let served = Served::start(&folders, size / 2).await;
        for _ in 0..2 {
            served.outputs("tiny", &embed_request()).await;
            let (status, kind, error) = api_error(served.invoke("a", &wide_request(1.0)).await).await;
            assert_eq!((status, kind.as_str(), error.original_status_code), (424, "ModelError", Some(507)));
            assert!(error.message.contains("server error (507) from primary"), "{error:?}");
            assert!(error.message.contains("Out of memory"), "{error:?}");
        }
        let state = served.state().await;
        assert_eq!((state.models.len(), state.evictions), (1, 1), "the second api_error unloads nothing: {state:?}");
        assert_eq!(folders.unpacked().len(), 1);
        served.end().await;
    });
}
