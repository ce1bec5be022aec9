//! More connections, larger bodies and longer runs than the endpoint holds.

use super::*;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Opens connections that never end the head of a request.
fn half_open(address: SocketAddr, count: usize) -> Vec<TcpStream> {
    let open = |_| {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(b"POST /endpoints/e/invocations HTTP/1.1\r\nHost: localhost\r\n").unwrap();
        stream
    };
    (0..count).map(open).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_beyond_the_limit_is_told_to_come_back() {
    let folders = Folders::new();
    folders.publish("m", "embed", 4);
    let mut options = options(&folders, UNLIMITED);
    (options.max_connections, options.header_timeout) = (8, Duration::from_millis(1500));
    let served = Served::start_with(options).await;
    let mut slow = half_open(served.address, 8);
    let response = served.invoke("m", &embed_request()).await;
    assert_eq!((response.status().as_u16(), &response.headers()["retry-after"]), (503, &"1".parse().unwrap()));
    assert_eq!(api_error(response).await.1, "ServiceUnavailable");
    // Those that keep it waiting are closed, and everything is as before.
    let start = Instant::now();
    while served.invoke("m", &embed_request()).await.status() != 200 {
        assert!(start.elapsed() < Duration::from_secs(20), "connections without a request are never closed");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    slow[0].set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut answer = Vec::new();
    slow[0].read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
    drop(slow);
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_idle_connections_leave_room_for_busy_ones() {
    planforge_core::raise_descriptor_limit();
    let folders = Folders::new();
    folders.publish("m", "embed", 4);
    let served = Served::start(&folders, UNLIMITED).await;
    let idle: Vec<_> = (0..2000).map(|_| TcpStream::connect(served.address).unwrap()).collect();
    let body = embed_request();
    let answers = futures_util::future::join_all((0..64).map(|_| served.outputs("m", &body))).await;
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    drop(idle);
    served.end().await;
}

#[tokio::test]
async fn bodies_beyond_the_room_for_them_are_told_to_come_back() {
    let folders = Folders::new();
    folders.publish("m", "embed", 4);
    let mut options = options(&folders, UNLIMITED);
    options.max_body_bytes_at_once = 4096;
    let served = Served::start_with(options).await;
    served.outputs("m", &embed_request()).await;
    // A body in JSON counts with tensors of four times its length, one of raw bytes with a copy.
    let response = served.post("m").body(vec![b' '; 1000]).send().await.unwrap();
    assert_eq!(api_error(response).await.0, 503);
    let raw =
        served.post("m").header("content-type", "application/vnd.sagemaker-triton.binary+json;json-header-size=9");
    assert_eq!(api_error(raw.body(vec![b' '; 1000]).send().await.unwrap()).await.0, 424);
    served.outputs("m", &embed_request()).await;
    served.end().await;
}

/// The graph of `fixtures/tiny-onnx/endless` never ends.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_without_an_end_is_ended_at_its_time_limit() {
    let folders = Folders::new();
    folders.publish("m", "embed", 4);
    for name in ["a", "b", "c"] {
        folders.publish(name, "endless", 4);
    }
    let mut options = options(&folders, UNLIMITED);
    options.invocation_timeout = Duration::from_millis(300);
    let served = Served::start_with(options).await;
    let request = json!({ "inputs": [tensor("x", "FP32", &[1, 4], json!([1, 2, 3, 4]))] });
    // More than there are processors, and each twice: the second would wait for the first for ever.
    for name in ["a", "b", "c", "a", "b", "c"] {
        let (status, kind, error) = api_error(served.invoke(name, &request).await).await;
        assert_eq!((status, kind.as_str()), (424, "ModelError"), "{error:?}");
        assert!(error.message.contains("timed out"), "{error:?}");
    }
    // A client that leaves ends its run as well.
    let left = tokio::spawn(served.post("a").body(request.to_string()).send());
    tokio::time::sleep(Duration::from_millis(100)).await;
    left.abort();
    served.outputs("m", &embed_request()).await;
    // Would be cut off after the drain time if a run went on.
    let start = Instant::now();
    served.end().await;
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
}
