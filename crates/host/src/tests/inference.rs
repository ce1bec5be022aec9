//! Good requests.

use super::*;

#[tokio::test]
async fn all_outputs_are_returned_with_the_id() {
    let folders = Folders::new();
    folders.publish("m-v0.tar.gz", "embed", 4);
    let served = Served::start(&folders, UNLIMITED).await;
    let mut body = embed_request();
    body["id"] = json!("seven");
    let response = served.invoke("m-v0.tar.gz", &body).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["x-amzn-invoked-production-variant"], "AllTraffic");
    assert_eq!(response.headers()["content-type"], "application/json");
    let answer: planforge_core::InferResponse = response.json().await.unwrap();
    assert_eq!((answer.model_name.as_str(), answer.model_version.as_str()), ("m-v0.tar.gz", "1"));
    assert_eq!(answer.id.as_deref(), Some("seven"));
    let sums = tensor("sums", "FP32", &[2, 4], json!([30.0, 32.0, 34.0, 36.0, 30.0, 31.0, 32.0, 33.0]));
    let tokens = tensor("tokens", "INT64", &[2], json!([2, 1]));
    assert_eq!(serde_json::to_value(&answer.outputs).unwrap(), json!([sums, tokens]));
    served.end().await;
}

#[tokio::test]
async fn nested_data_and_chosen_outputs() {
    let folders = Folders::new();
    folders.publish("m", "embed", 4);
    let served = Served::start(&folders, UNLIMITED).await;
    let body = json!({ "outputs": [{ "name": "tokens" }], "inputs": [
        tensor("mask", "INT64", &[2, 3], json!([[1, 1, 0], [1, 0, 0]])),
        tensor("ids", "INT64", &[2, 3], json!([[1, 2, 15], [3, 0, 0]])),
    ] });
    let expected = json!([tensor("tokens", "INT64", &[2], json!([2, 1]))]);
    assert_eq!(served.outputs("m", &body).await, expected);
    let chunks =
        body.to_string().into_bytes().chunks(7).map(|chunk| Ok::<_, String>(chunk.to_vec())).collect::<Vec<_>>();
    let request = served.post("m").header("content-type", "application/octet-stream").header("expect", "100-continue");
    let stream = reqwest::Body::wrap_stream(futures_util::stream::iter(chunks));
    assert_eq!(request.body(stream).send().await.unwrap().json::<Value>().await.unwrap()["outputs"], expected);
    served.end().await;
}

#[tokio::test]
async fn other_element_types_pass_through() {
    let folders = Folders::new();
    folders.publish("m", "identity", 0);
    let served = Served::start(&folders, UNLIMITED).await;
    let tensors = |suffix: &str| {
        let mut half = tensor(&format!("half{suffix}"), "FP16", &[2, 3], Value::Null);
        half.as_object_mut().unwrap().remove("data");
        half["parameters"] = json!({ "binary_data_size": 12 });
        json!([
            half,
            tensor(&format!("integer{suffix}"), "INT32", &[1, 3], json!([i32::MIN, 0, i32::MAX])),
            tensor(&format!("flag{suffix}"), "BOOL", &[2], json!([true, false])),
        ])
    };
    // Triton sends and takes 16-bit numbers as raw bytes alone.
    let mut body = json!({ "inputs": tensors("") });
    body["outputs"] = json!([
        { "name": "half_out", "parameters": { "binary_data": true } }, { "name": "integer_out" }, { "name": "flag_out" },
    ]);
    let header = body.to_string();
    let kind = |size: usize| format!("application/vnd.sagemaker-triton.binary+json;json-header-size={size}");
    let raw = [0_u8, 56, 0, 184, 0, 64, 255, 123, 0, 60, 1, 0];
    let request = served.post("m").header("content-type", kind(header.len())).body([header.as_bytes(), &raw].concat());
    let response = request.send().await.unwrap();
    let size = response.headers()["content-type"].to_str().unwrap().rsplit_once('=').unwrap().1.parse().unwrap();
    let answer = response.bytes().await.unwrap();
    let (header, found) = answer.split_at(size);
    assert_eq!(serde_json::from_slice::<Value>(header).unwrap()["outputs"], tensors("_out"));
    assert_eq!(found, raw);
    served.end().await;
}

#[tokio::test]
async fn floats_come_back_bit_for_bit() {
    let folders = Folders::new();
    folders.publish("m", "wide", 4);
    let served = Served::start(&folders, UNLIMITED).await;
    let mut values = vec![0.1_f32, -0.0, 1.0 / 3.0, f32::MAX, 1e-30, 16_777_217.0, 3.402_823e38];
    values.resize(1024, 0.3);
    let text = serde_json::to_string(&values).unwrap();
    let body = format!(r#"{{"inputs":[{{"name":"x","datatype":"FP32","shape":[1,1024],"data":{text}}}]}}"#);
    let answer = served.post("m").body(body).send().await.unwrap().text().await.unwrap();
    assert!(answer.contains("[0.1,"), "binary32 is written in its own shortest form");
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let found: Vec<f32> = serde_json::from_value(answer["outputs"][0]["data"].clone()).unwrap();
    assert_eq!(found.len(), 4096);
    assert_eq!(found[..1024], values);
    assert_eq!(found[3072..], values);
    served.end().await;
}

#[tokio::test]
async fn binary_tensors_go_both_ways() {
    let folders = Folders::new();
    folders.publish("m", "wide", 4);
    let served = Served::start(&folders, UNLIMITED).await;
    let values: Vec<f32> = (0..1024_u16).map(|index| f32::from(index) / 7.0).collect();
    let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let header = json!({
        "inputs": [{ "name": "x", "datatype": "FP32", "shape": [1, 1024], "parameters": { "binary_data_size": 4096 } }],
        "outputs": [{ "name": "y", "parameters": { "binary_data": true } }],
    });
    let header = header.to_string().into_bytes();
    for json_byte_count in [header.len(), 0] {
        let kind = format!("application/vnd.sagemaker-triton.binary+json;json-header-size={json_byte_count}");
        let body = [&header[..json_byte_count], &raw].concat();
        let response = served.post("m").header("content-type", &kind).body(body).send().await.unwrap();
        let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
        let body = response.bytes().await.unwrap();
        let (_, size) = kind.split_once("+json;json-header-size=").unwrap();
        let (answer, tensors) = body.split_at(size.parse().unwrap());
        let answer: Value = serde_json::from_slice(answer).unwrap();
        assert_eq!(answer["outputs"][0]["parameters"]["binary_data_size"], 16384);
        assert_eq!(tensors, raw.repeat(4));
    }
    served.end().await;
}

#[tokio::test]
async fn what_a_configuration_leaves_out_is_the_models_where_the_backend_completes_it() {
    let folders = Folders::new();
    let folder = repository().join("fixtures/tiny-onnx/embed");
    let files =
        ["model.onnx", "model.safetensors"].map(|name| (name.to_owned(), fs_err::read(folder.join(name)).unwrap()));
    let output = "max_batch_size: 4 output { name: \"tokens\" data_type: TYPE_INT64 dims: 1 reshape { shape: [] } }";
    for (name, backend) in [("completed", "onnxruntime"), ("strict", "planforge")] {
        let config = format!("backend: \"{backend}\" {output}").into_bytes();
        write_archive(&folders.store().join(name), &config, &files);
    }
    let served = Served::start(&folders, UNLIMITED).await;
    let expected = json!([tensor("tokens", "INT64", &[2, 1], json!([2, 1]))]);
    assert_eq!(served.outputs("completed", &embed_request()).await, expected);
    let (_, _, error) = api_error(served.invoke("strict", &embed_request()).await).await;
    assert!(error.message.contains("input `ids` of the model is not configured"), "{error:?}");
    served.end().await;
}
