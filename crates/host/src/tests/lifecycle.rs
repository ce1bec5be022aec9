//! From bind to end.

use super::*;
use crate::Error;
use std::time::Duration;

#[tokio::test]
async fn concurrent_requests_share_one_load() {
    let folders = Folders::new();
    folders.publish("m", "embed", 4);
    let served = Served::start(&folders, UNLIMITED).await;
    assert!(served.state().await.models.is_empty());
    let body = embed_request();
    let requests = (0..16).map(|_| served.outputs("m", &body));
    let answers = futures_util::future::join_all(requests).await;
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert_eq!(folders.unpacked(), ["0"]);
    let state = served.state().await;
    assert_eq!((state.endpoint.as_str(), state.budget_byte_count, state.evictions), ("e", UNLIMITED, 0));
    assert_eq!((state.models.len(), state.models[0].invocations), (1, 16));
    served.end().await;
}

#[tokio::test]
async fn copies_are_models_of_their_own() {
    let folders = Folders::new();
    for name in ["a", "b", "sub/c"] {
        folders.publish(name, "embed", 4);
    }
    let served = Served::start(&folders, UNLIMITED).await;
    for name in ["a", "b", "sub/c", "a"] {
        served.outputs(name, &embed_request()).await;
    }
    let names: Vec<String> = served.state().await.models.into_iter().map(|model| model.target_model).collect();
    assert_eq!(names, ["b", "sub/c", "a"], "least recently used first");
    assert_eq!(folders.unpacked().len(), 3);
    served.end().await;
}

#[tokio::test]
async fn the_end_waits_for_requests_and_removes_files() {
    let folders = Folders::new();
    folders.publish("m", "wide", 4);
    fs_err::create_dir(folders.work()).unwrap();
    fs_err::write(folders.work().join("not-ours"), "").unwrap();
    let served = Served::start(&folders, UNLIMITED).await;
    let request = served.post("m").body(wide_request(2.0).to_string());
    let answer = tokio::spawn(request.send());
    while folders.unpacked().is_empty() {
        tokio::task::yield_now().await;
    }
    served.end().await;
    assert_eq!(answer.await.unwrap().unwrap().status(), 200);
    assert_eq!(fs_err::read_dir(folders.work()).unwrap().count(), 1, "only the other file is left");
}

#[tokio::test]
async fn the_end_is_bounded() {
    let folders = Folders::new();
    folders.publish("m", "embed", 4);
    let mut options = options(&folders, UNLIMITED);
    options.drain_timeout = Duration::from_millis(50);
    let served = Served::start_with(options).await;
    let (started, has_started) = oneshot::channel::<()>();
    let body = futures_util::stream::unfold(Some(started), async |started| match started {
        Some(started) => {
            let _ = started.send(());
            Some((Ok::<_, String>(b"{".to_vec()), None))
        }
        None => std::future::pending().await,
    });
    let request = tokio::spawn(served.post("m").body(reqwest::Body::wrap_stream(body)).send());
    has_started.await.unwrap();
    served.state().await;
    served.end().await;
    request.abort();
}

#[tokio::test]
async fn clients_that_leave_hold_nothing() {
    let folders = Folders::new();
    folders.publish("m", "wide", 4);
    let served = Served::start(&folders, UNLIMITED).await;
    for _ in 0..8 {
        let request = tokio::spawn(served.post("m").body(wide_request(2.0).to_string()).send());
        tokio::task::yield_now().await;
        request.abort();
    }
    served.outputs("m", &wide_request(2.0)).await;
    // Would wait for the drain time if a lease were left.
    served.end().await;
    assert_eq!(fs_err::read_dir(folders.work()).unwrap().count(), 0);
}

#[tokio::test]
async fn addresses_and_names_are_checked() {
    let folders = Folders::new();
    load_library();
    let first = Host::bind(options(&folders, 1)).await.unwrap();
    let mut taken = options(&folders, 1);
    taken.address = first.address();
    let error = Host::bind(taken).await.unwrap_err();
    assert!(matches!(error, Error::AddressInUse { .. }));
    assert_eq!(error.to_string(), format!("address `{}` is in use; choose another port", first.address()));
    let mut open = options(&folders, 1);
    open.address = "0.0.0.0:0".parse().unwrap();
    assert!(matches!(Host::bind(open).await.unwrap_err(), Error::NotLoopback { .. }));
    for name in ["", "-a", "a-", "a_b", "a/b", &"a".repeat(64)] {
        let mut misnamed = options(&folders, 1);
        misnamed.endpoint = name.to_owned();
        assert!(matches!(Host::bind(misnamed).await.unwrap_err(), Error::EndpointName { .. }));
    }
    let work = folders.work();
    drop(first);
    assert_eq!(fs_err::read_dir(work).unwrap().count(), 0);
}

#[tokio::test]
async fn what_was_done_is_counted_once() {
    let folders = Folders::new();
    folders.publish("m", "embed", 4);
    fs_err::write(folders.store().join("bad"), "not an archive").unwrap();
    let served = Served::start(&folders, UNLIMITED).await;
    for name in ["m", "m", "m", "bad"] {
        served.invoke(name, &embed_request()).await;
    }
    let metrics = served.state().await.metrics;
    let counts = |name: &str| (metrics[name].sample_count, metrics[name].sum);
    assert_eq!(counts("Invocations"), (4, 4.0));
    assert_eq!(counts("ModelCacheHit"), (4, 2.0), "two of four found their model loaded");
    assert_eq!((counts("ModelLoadingTime").0, counts("ModelLoadingWaitTime").0), (1, 2));
    assert_eq!((counts("InvocationModelErrors").1, counts("Invocation4XXErrors").1), (1.0, 1.0));
    let text =
        served.client.get(format!("http://{}/metrics", served.address)).send().await.unwrap().text().await.unwrap();
    for line in [
        "planforge_loads_total{endpoint=\"e\",outcome=\"200\"} 1",
        "planforge_loads_total{endpoint=\"e\",outcome=\"400\"} 1",
        "planforge_loaded_models{endpoint=\"e\"} 1",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    served.end().await;
}
