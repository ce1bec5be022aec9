//! Requests that get no inference.

use super::*;
use std::time::Duration;

/// The container's response to a request.
async fn container_error(served: &Served, body: &Value) -> String {
    let (status, kind, error) = api_error(served.invoke("m", body).await).await;
    assert_eq!((status, kind.as_str(), error.original_status_code), (424, "ModelError", Some(400)), "{error:?}");
    let original = error.original_message.unwrap();
    assert_eq!(error.message, format!("Received client error (400) from primary with message \"{original}\""));
    serde_json::from_str::<Value>(&original).unwrap()["error"].as_str().unwrap().to_owned()
}

/// The container's response to one row of `ids` with this data and type, and a good mask.
async fn ids_error(served: &Served, datatype: &str, shape: &[u64], data: Value) -> String {
    let mask = tensor("mask", "INT64", &[1, 3], json!([1, 1, 1]));
    container_error(served, &json!({ "inputs": [mask, tensor("ids", datatype, shape, data)] })).await
}

#[tokio::test]
async fn inference_mistakes_have_tritons_messages() {
    let folders = Folders::new();
    folders.publish("m", "embed", 2);
    let served = Served::start(&folders, UNLIMITED).await;
    let good = || tensor("ids", "INT64", &[1, 3], json!([1, 2, 3]));
    let cases = [
        (
            json!({ "inputs": [good()] }),
            "[request id: <id_unknown>] expected 2 inputs but got 1 inputs for model 'm'. Got input(s) ['ids'], but \
            missing required input(s) ['mask']. Please provide all required input(s).",
        ),
        (
            json!({ "inputs": [good(), tensor("x", "INT64", &[1, 3], json!([1, 2, 3]))] }),
            "unexpected inference input 'x' for model 'm'",
        ),
        (json!({ "inputs": [good(), good()] }), "[request id: <id_unknown>] input 'ids' already exists in request"),
        (
            json!({ "inputs": [good(), tensor("mask", "INT64", &[2, 3], json!([1, 1, 1, 1, 1, 1]))] }),
            "[request id: <id_unknown>] input 'ids' batch size does not match other inputs for 'm'",
        ),
        (
            json!({ "inputs": [good(), tensor("mask", "INT64", &[1, 2], json!([1, 1]))] }),
            "input `mask` has sequence 2, input `ids` has sequence 3",
        ),
        (
            json!({ "inputs": [good(), tensor("mask", "INT64", &[1, 3], json!([1, 1, 1]))], "outputs": [{ "name": "no" }] }),
            "unexpected inference output 'no' for model 'm'",
        ),
        (
            json!({ "inputs": [tensor("ids", "INT64", &[3, 1], json!([1, 2, 3])), tensor("mask", "INT64", &[3, 1], json!([1, 2, 3]))] }),
            "[request id: <id_unknown>] inference request batch-size must be <= 2 for 'm'",
        ),
        (
            json!({ "inputs": [{ "name": "ids", "datatype": "INT64", "shape": [1, 3] }] }),
            "Input must set only one of the following fields: 'data', 'binary_data_size' in 'parameters', \
             'shared_memory_region' in 'parameters'. But no field is set",
        ),
    ];
    for (body, expected) in cases {
        assert_eq!(container_error(&served, &body).await, expected);
    }
    served.end().await;
}

#[tokio::test]
async fn elements_are_never_truncated() {
    let folders = Folders::new();
    folders.publish("m", "embed", 2);
    let served = Served::start(&folders, UNLIMITED).await;
    let cases = [
        ("INT64", json!([1, 1.5, 3]), "Unable to parse 'data': element 1 is 1.5, which is no INT64 (input 'ids')"),
        ("INT64", json!([1, 2, u64::MAX]), "element 2 is 18446744073709551615, which is no INT64"),
        ("INT32", json!([2_147_483_648_u64, 2, 3]), "element 0 is 2147483648, which is no INT32"),
        ("INT64", json!([true, 2, 3]), "element 0 is true, which is no INT64"),
        ("INT64", json!(["1", 2, 3]), "element 0 is \"1\", which is no INT64"),
        ("INT64", json!([[1, null], 3]), "element 1 is null, which is no INT64"),
        ("INT64", json!([{}, 2, 3]), "element 0 is an object, which is no INT64"),
        ("FP32", json!([1e300, 2, 3]), "element 0 is 1e300, which is no FP32"),
        ("FP16", json!([1, 2, 3]), "receiving FP16 data via JSON is not supported"),
        ("UINT8", json!([1, -2, 3]), "attempt to access JSON non-unsigned-integer as unsigned-integer"),
        ("BOOL", json!([1, 0, 1]), "element 0 is 1, which is no BOOL"),
        ("INT64", json!([1, 2]), "Unable to parse 'data': Shape does not match true shape of 'data' field"),
        ("INT64", json!([[1, 2, 3], [4]]), "Shape does not match true shape of 'data' field"),
        ("INT64", json!(7), "Unable to parse 'data': attempt to access JSON non-array as array"),
        ("FP32", json!([1, 2, 3]), "inference input 'ids' data-type is 'FP32', but model 'm' expects 'INT64'"),
        ("BYTES", json!(["a"]), "data-type is 'BYTES', but model 'm' expects 'INT64'"),
        ("WORD", json!([1, 2, 3]), "invalid datatype for input ids"),
    ];
    for (datatype, data, expected) in cases {
        let text = ids_error(&served, datatype, &[1, 3], data).await;
        assert!(text.contains(expected), "{text}");
    }
    let text = ids_error(&served, "INT64", &[1, 3, 1], json!([1, 2, 3])).await;
    assert!(
        text.contains("unexpected shape for input 'ids' for model 'm'. Expected [-1,-1], got [1,3,1]. NOTE:"),
        "{text}"
    );
    let text = ids_error(&served, "INT64", &[u64::MAX >> 1, 8, 8], json!([1])).await;
    assert!(text.contains("does not match"), "{text}");
    let text = ids_error(&served, "INT64", &[1 << 30, 1 << 20], json!([1])).await;
    assert!(text.contains("Shape does not match"), "{text}");
    served.end().await;
}

#[tokio::test]
async fn bodies_that_are_not_a_request_are_refused() {
    let folders = Folders::new();
    folders.publish("m", "identity", 0);
    let served = Served::start(&folders, UNLIMITED).await;
    let send = async |body: &[u8], header: (&'static str, &str)| {
        let response = served.post("m").header(header.0, header.1).body(body.to_vec()).send().await.unwrap();
        let (status, _, error) = api_error(response).await;
        assert_eq!(status, 424);
        error.message
    };
    let any = ("x-amz-date", "20260101T000000Z");
    for body in [b"{".as_slice(), b"\xff\xfe", &b"[".repeat(100_000)] {
        let text = send(body, any).await;
        assert!(text.contains("failed to parse the request JSON buffer"), "{text}");
    }
    for (body, expected) in [
        (b"".as_slice(), "Raw request must only have 1 input (found 1) to be deduced but got 3 inputs"),
        (b"[]", "Unable to parse 'inputs': attempt to access non-existing object member 'inputs'"),
        (b"{}", "Unable to parse 'inputs': attempt to access non-existing object member 'inputs'"),
        (b"{\"inputs\":3}", "Unable to parse 'inputs': attempt to access JSON non-array as array"),
    ] {
        let text = send(body, any).await;
        assert!(text.contains(expected), "{text}");
    }
    let text = send(b"{}", ("content-encoding", "gzip")).await;
    assert!(text.contains("content encoding 'gzip'"), "{text}");
    let kind = "application/vnd.sagemaker-triton.binary+json;json-header-size=99";
    let text = send(b"{}", ("content-type", kind)).await;
    assert!(text.contains("inference header size should be in range (0, 2), got: 99"), "{text}");
    let nan = json!({ "inputs": [
        tensor("integer", "INT32", &[1, 3], json!([1, 2, 3])), tensor("flag", "BOOL", &[1], json!([true])),
        { "name": "half", "datatype": "FP16", "shape": [2, 3], "parameters": { "binary_data_size": 12 } },
    ] });
    let nan = nan.to_string();
    let kind = format!("application/vnd.sagemaker-triton.binary+json;json-header-size={}", nan.len());
    let text = send(&[nan.as_bytes(), &[0xff; 12]].concat(), ("content-type", &kind)).await;
    assert!(text.contains("sending FP16 data via JSON is not supported"), "{text}");
    served.end().await;
}

#[tokio::test]
async fn invalid_requests_do_not_reach_a_model() {
    let folders = Folders::new();
    folders.publish("m", "embed", 0);
    let served = Served::start(&folders, UNLIMITED).await;
    let url = format!("http://{}", served.address);
    let check = async |request: RequestBuilder, expected: (u16, &str, &str)| {
        let (status, kind, error) = api_error(request.send().await.unwrap()).await;
        assert_eq!((status, kind.as_str()), (expected.0, expected.1), "{error:?}");
        assert!(error.message.contains(expected.2), "{error:?}");
    };
    let invocations = format!("{url}/endpoints/e/invocations");
    let post = |path: &str| served.client.post(format!("{url}{path}")).header(TARGET_MODEL_HEADER, "m").body("{}");
    check(served.client.post(&invocations), (400, "ValidationError", "is missing a target model header")).await;
    check(served.post("../m"), (400, "ValidationError", "'../m'")).await;
    check(served.post("none.tar.gz"), (400, "ValidationError", "'none.tar.gz' does not exist")).await;
    check(post("/endpoints/x/invocations"), (400, "ValidationError", "Endpoint x of account 000000000000 not found."))
        .await;
    check(
        served.post("m").body(vec![b' '; planforge_core::MAX_BODY_BYTE_COUNT + 1]),
        (400, "ValidationError", "larger than 6291456 bytes"),
    )
    .await;
    check(post("/nowhere"), (404, "UnknownOperationException", "")).await;
    check(served.client.get(&invocations), (405, "UnknownOperationException", "")).await;
    let ping = served.client.get(format!("{url}/ping")).send().await.unwrap();
    assert_eq!(ping.status(), 200);
    assert!(served.state().await.models.is_empty(), "nothing was loaded");
    served.end().await;
}

#[tokio::test]
async fn failed_loads_are_forgotten() {
    let folders = Folders::new();
    fs_err::write(folders.store().join("m"), "no archive").unwrap();
    let served = Served::start(&folders, UNLIMITED).await;
    let text = container_error(&served, &embed_request()).await;
    assert!(
        text.starts_with("load failed for model 'm': version 1 is at UNAVAILABLE state: Internal: archive 'm'"),
        "{text}"
    );
    write_archive(&folders.store().join("m"), b"backend: \"onnxruntime\"", &[("model.onnx".to_owned(), vec![7; 99])]);
    let text = container_error(&served, &embed_request()).await;
    assert!(text.starts_with("load failed for model 'm'"), "{text}");
    let plan = [("model.plan".to_owned(), vec![7; 99])];
    write_archive(&folders.store().join("m"), b"backend: \"planforge\" default_model_filename: \"model.plan\"", &plan);
    let text = container_error(&served, &embed_request()).await;
    assert!(text.starts_with("load failed for model 'm'"), "{text}");
    assert!(folders.unpacked().is_empty());
    folders.publish("m", "embed", 0);
    assert_eq!(served.outputs("m", &embed_request()).await[1]["data"], json!([2, 1]));
    served.end().await;
}

#[tokio::test]
async fn slow_bodies_time_out() {
    let folders = Folders::new();
    folders.publish("m", "embed", 0);
    let mut options = options(&folders, UNLIMITED);
    options.body_timeout = Duration::from_millis(20);
    let served = Served::start_with(options).await;
    let never = futures_util::stream::pending::<std::result::Result<Vec<u8>, String>>();
    let request = served.post("m").body(reqwest::Body::wrap_stream(never));
    let (status, kind, error) = api_error(request.send().await.unwrap()).await;
    assert_eq!((status, kind.as_str()), (400, "ValidationError"));
    assert!(error.message.contains("did not arrive within 0.02 s"), "{error:?}");
    served.end().await;
}

#[tokio::test]
async fn loads_that_take_long_continue_after_the_response() {
    let folders = Folders::new();
    folders.publish("m", "wide", 0);
    let mut options = options(&folders, UNLIMITED);
    options.load_timeout = Duration::ZERO;
    let served = Served::start_with(options).await;
    let mut answers = 0;
    loop {
        let response = served.invoke("m", &wide_request(1.0)).await;
        if response.status() == 200 {
            break;
        }
        let (status, kind, _) = api_error(response).await;
        assert_eq!((status, kind.as_str()), (429, "ModelNotReadyException"));
        answers += 1;
    }
    assert!(answers > 0);
    assert_eq!(folders.unpacked(), ["0"], "there was one load");
    served.end().await;
}

#[tokio::test]
async fn inferences_that_take_long_time_out() {
    let folders = Folders::new();
    folders.publish("m", "wide", 0);
    let mut options = options(&folders, UNLIMITED);
    options.invocation_timeout = Duration::ZERO;
    let served = Served::start_with(options).await;
    // The time-out comes up a thousandth of a second later, and later on a machine with much to do. Reading, computing and
    // writing this takes a hundred times as long.
    let request = json!({ "inputs": [tensor("x", "FP32", &[256, 1024], json!(vec![1.0; 256 * 1024]))] });
    let (status, kind, error) = api_error(served.invoke("m", &request).await).await;
    assert_eq!((status, kind.as_str(), error.original_status_code), (424, "ModelError", Some(0)));
    assert!(error.message.contains("Your invocation timed out"), "{error:?}");
    assert_eq!(served.state().await.models.len(), 1);
    served.end().await;
}

#[tokio::test]
async fn the_only_variant_may_be_named_and_no_other() {
    let folders = Folders::new();
    folders.publish("m", "embed", 2);
    let served = Served::start(&folders, UNLIMITED).await;
    let request = |variant: &str| {
        served.post("m").header("X-Amzn-SageMaker-Target-Variant", variant).body(embed_request().to_string()).send()
    };
    assert_eq!(request("AllTraffic").await.unwrap().status(), 200);
    let (status, kind, error) = api_error(request("blue").await.unwrap()).await;
    assert_eq!((status, kind.as_str()), (400, "ValidationError"));
    assert_eq!(error.message, "Variant blue of endpoint e not found; its only one is AllTraffic.");
    served.end().await;
}
