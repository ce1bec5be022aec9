//! Good requests of every model, and many changes of each.

use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A body and how it is sent.
pub(super) struct Case {
    pub(super) model: &'static str,
    pub(super) content_type: String,
    pub(super) body: Vec<u8>,
}

/// Good requests of every model, and many changes of each.
pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (model, good) in good() {
        let mut add = |content_type: &str, body: Vec<u8>| {
            cases.push(Case { model, content_type: content_type.to_owned(), body });
        };
        for body in mutations(&good) {
            add("application/json", body.to_string().into_bytes());
        }
        for text in texts(&good) {
            add("application/json", text.into_bytes());
        }
        for (content_type, body) in binary(&good) {
            add(&content_type, body);
        }
    }
    cases
}

fn tensor(name: &str, datatype: &str, shape: &[u64], data: &Value) -> Value {
    json!({"name": name, "datatype": datatype, "shape": shape, "data": data})
}

fn good() -> BTreeMap<&'static str, Value> {
    BTreeMap::from([
        (
            "batched.tar.gz",
            json!({"inputs": [
                tensor("ids", "INT64", &[2, 3], &json!([1, 2, 15, 3, 0, 0])),
                tensor("mask", "INT64", &[2, 3], &json!([1, 1, 0, 1, 0, 0])),
            ]}),
        ),
        (
            "unbatched.tar.gz",
            json!({"inputs": [
                tensor("integer", "INT32", &[1, 3], &json!([1, -2, 3])),
                tensor("flag", "BOOL", &[2], &json!([true, false])),
                tensor("half", "FP16", &[2, 3], &json!([0.5, 1, -2, 3, 4, 5])),
            ]}),
        ),
        (
            "reshaped.tar.gz",
            json!({"inputs": [tensor("x", "FP32", &[1, 2, 4], &json!([1, 2, 3, 4, -1, -2, 0.5, 0.25]))]}),
        ),
        (
            "subset.tar.gz",
            json!({"inputs": [
                tensor("ids", "INT64", &[1, 3], &json!([1, 2, 15])),
                tensor("mask", "INT64", &[1, 3], &json!([1, 1, 0])),
            ]}),
        ),
    ])
}

/// Changes of a request that stay JSON.
fn mutations(good: &Value) -> Vec<Value> {
    let mut bodies = vec![good.clone()];
    let mut with = |change: &dyn Fn(&mut Value)| {
        let mut body = good.clone();
        change(&mut body);
        bodies.push(body);
    };
    change_request(&mut with);
    change_outputs(&mut with);
    empty(&mut with);
    for index in 0..good["inputs"].as_array().unwrap().len() {
        change_input(index, &mut with);
        leave_out_or_repeat(index, &mut with);
    }
    bodies
}

type With<'a> = dyn FnMut(&dyn Fn(&mut Value)) + 'a;

fn change_request(with: &mut With<'_>) {
    for id in [json!("a"), json!(""), json!(7), json!(-7), json!(1.5), json!(true), json!(null), json!([]), json!({})] {
        with(&|body| body["id"] = id.clone());
    }
    for (key, value) in
        [("priority", json!(1)), ("timeout", json!(1_000_000)), ("unknown", json!("x")), ("sequence_id", json!(3))]
    {
        with(&|body| body["parameters"] = json!({key: value}));
    }
    for value in [json!(null), json!([]), json!("x"), json!(3), json!({})] {
        with(&|body| body["inputs"] = value.clone());
        with(&|body| body["outputs"] = value.clone());
        with(&|body| body["parameters"] = value.clone());
    }
}

fn change_outputs(with: &mut With<'_>) {
    let outputs = ["sums", "tokens", "half_out", "integer_out", "flag_out", "y", "nope", ""];
    for name in outputs {
        with(&|body| body["outputs"] = json!([{"name": name}]));
        with(&|body| body["outputs"] = json!([{"name": name}, {"name": name}]));
        for parameter in [
            json!({"binary_data": false}),
            json!({"binary_data": "x"}),
            json!({"classification": 2}),
            json!({"classification": 9}),
            json!({"classification": 0}),
            json!({"classification": "2"}),
            json!({"classification": -1}),
            json!({"classification": 1.5}),
            json!({"unknown": 1}),
            json!({"shared_memory_region": 1}),
            json!({"shared_memory_region": "r"}),
            json!({"shared_memory_region": "r", "shared_memory_byte_size": 16}),
        ] {
            with(&|body| body["outputs"] = json!([{"name": name, "parameters": parameter}]));
        }
    }
}

fn change_input(index: usize, with: &mut With<'_>) {
    let input = |key: &'static str, value: Value| move |body: &mut Value| body["inputs"][index][key] = value.clone();
    for name in [json!("x y"), json!(""), json!(null), json!(5)] {
        with(&input("name", name));
    }
    for datatype in ["FP32", "FP16", "INT32", "INT64", "BOOL", "UINT8", "BYTES", "BF16", "FP64", "float", ""] {
        with(&input("datatype", json!(datatype)));
    }
    for shape in [
        json!([]),
        json!([0]),
        json!([1]),
        json!([3]),
        json!([6]),
        json!([2, 3]),
        json!([1, 3]),
        json!([3, 2]),
        json!([2, 4]),
        json!([1, 8]),
        json!([1, 2, 4]),
        json!([1, 4, 2]),
        json!([2, 2, 2]),
        json!([0, 3]),
        json!([-1, 3]),
        json!([5, 3]),
        json!([1, 1, 3]),
        json!("x"),
        json!(null),
        json!([1.5, 3]),
        json!(["1", 3]),
        json!([4_294_967_296_u64, 4_294_967_296_u64]),
    ] {
        with(&input("shape", shape));
    }
    for data in [json!(null), json!([null]), json!([])] {
        with(&|body| {
            body["inputs"][index]["datatype"] = json!("INT65");
            body["inputs"][index]["data"] = data.clone();
        });
    }
    for data in [
        json!([]),
        json!([1]),
        json!([[1, 2, 15], [3, 0, 0]]),
        json!([[1, 2], [15, 3], [0, 0]]),
        json!([1, 2, 3]),
        json!([1, 2, 3, 4, 5, 6]),
        json!([1, 2, 3, 4, 5, 6, 7, 8]),
        json!([1, 2, 3, 4, 5, 6, 7]),
        json!("x"),
        json!(null),
        json!(5),
        json!({}),
        json!(["1", "2", "3"]),
        json!([true, false]),
        json!([true, false, true]),
        json!([1, null, 3]),
        json!([[], []]),
    ] {
        with(&input("data", data));
    }
}

/// Requests without a sample.
fn empty(with: &mut With<'_>) {
    with(&|body| {
        for input in body["inputs"].as_array_mut().unwrap() {
            input["shape"][0] = json!(0);
            input["data"] = json!([]);
        }
    });
}

fn leave_out_or_repeat(index: usize, with: &mut With<'_>) {
    with(&|body| {
        body["inputs"].as_array_mut().unwrap().remove(index);
    });
    with(&|body| {
        let again = body["inputs"][index].clone();
        body["inputs"].as_array_mut().unwrap().push(again);
    });
    with(&|body| {
        body["inputs"][index].as_object_mut().unwrap().remove("data");
    });
    with(&|body| {
        body["inputs"][index].as_object_mut().unwrap().remove("datatype");
    });
    with(&|body| {
        body["inputs"][index].as_object_mut().unwrap().remove("shape");
    });
    with(&|body| body["inputs"][index]["parameters"] = json!({"binary_data_size": 24}));
    with(&|body| body["inputs"][index]["parameters"] = json!({"unknown": "x"}));
    for parameters in [
        json!({"shared_memory_region": 1}),
        json!({"shared_memory_region": "r"}),
        json!({"shared_memory_region": "r", "shared_memory_byte_size": 24}),
        json!({"shared_memory_region": "r", "shared_memory_byte_size": "x"}),
        json!({"shared_memory_region": "r", "shared_memory_byte_size": 24, "shared_memory_offset": "x"}),
    ] {
        with(&|body| {
            body["inputs"][index].as_object_mut().unwrap().remove("data");
            body["inputs"][index]["parameters"] = parameters.clone();
        });
    }
}

/// Texts that are not, or not quite, JSON.
fn texts(good: &Value) -> Vec<String> {
    let good = good.to_string();
    let mut texts: Vec<String> = ["", " ", "{", "[]", "null", "{}", "x", "\u{feff}{}"].map(str::to_owned).to_vec();
    texts.push(format!("{good} "));
    texts.push(format!("{good}x"));
    texts.push(good.replace(':', " : "));
    texts.push(good.replacen(',', ",,", 1));
    texts.push(good.replacen("\"data\":[", "\"data\":[NaN,", 1));
    for number in
        ["NaN", "Infinity", "-Infinity", "Inf", "-Inf", "nan", "+1", "1.", ".5", "0x1", "1e2", "1e400", "-0", "01"]
    {
        for first in ["1", "0.5"] {
            let (from, to) = (format!("\"data\":[{first},"), format!("\"data\":[{number},"));
            if good.contains(&from) {
                texts.push(good.replacen(&from, &to, 1));
            }
        }
    }
    texts.push(good.chars().take(good.len() / 2).collect());
    texts
}

/// Requests in the binary form.
fn binary(good: &Value) -> Vec<(String, Vec<u8>)> {
    let mut header = good.clone();
    let mut raw = Vec::new();
    for input in header["inputs"].as_array_mut().unwrap() {
        let before = raw.len();
        let numbers: Vec<f64> = input["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it.as_f64().unwrap_or(f64::from(u8::from(it == &json!(true)))))
            .collect();
        for number in numbers {
            match input["datatype"].as_str().unwrap() {
                "INT64" => raw.extend((number as i64).to_le_bytes()),
                "INT32" => raw.extend((number as i32).to_le_bytes()),
                "FP32" => raw.extend((number as f32).to_le_bytes()),
                "FP16" => raw.extend(half::f16::from_f64(number).to_le_bytes()),
                _ => raw.push(number as u8),
            }
        }
        input.as_object_mut().unwrap().remove("data");
        input["parameters"] = json!({"binary_data_size": raw.len() - before});
    }
    let kind = |size: String| format!("application/vnd.sagemaker-triton.binary+json;json-header-size={size}");
    let whole = |header: &Value, raw: &[u8]| {
        let text = header.to_string();
        (kind(text.len().to_string()), [text.as_bytes(), raw].concat())
    };
    let mut all =
        vec![whole(&header, &raw), whole(&header, &raw[..raw.len() - 1]), whole(&header, &[&raw[..], &[0]].concat())];
    for flag in [true, false] {
        let mut binary = header.clone();
        binary["parameters"] = json!({"binary_data_output": flag});
        all.push(whole(&binary, &raw));
    }
    for name in ["sums", "y", "half_out", "flag_out", "tokens"] {
        for parameters in [json!({"binary_data": true}), json!({"binary_data": true, "classification": 3})] {
            let mut binary = header.clone();
            binary["outputs"] = json!([{"name": name, "parameters": parameters}]);
            all.push(whole(&binary, &raw));
        }
    }
    for size in [json!(0), json!(1), json!(-1), json!("24"), json!(1.5), json!(null), json!(1_000_000)] {
        let mut binary = header.clone();
        binary["inputs"][0]["parameters"]["binary_data_size"] = size;
        all.push(whole(&binary, &raw));
    }
    for datatype in ["INT65", "FP64", "BYTES"] {
        let mut other = header.clone();
        other["inputs"][0]["datatype"] = json!(datatype);
        all.push(whole(&other, &raw));
        all.push(whole(&other, &raw[..raw.len() - 1]));
    }
    let (_, body) = whole(&header, &raw);
    let length = header.to_string().len();
    for size in [length - 1, length + 1, 0, body.len(), body.len() + 1, 99_999] {
        all.push((kind(size.to_string()), body.clone()));
    }
    all.push((kind("x".to_owned()), body.clone()));
    all.push((kind("0".to_owned()), raw.clone()));
    all.push((kind(length.to_string()).replace(';', "; "), body.clone()));
    all.push(("application/octet-stream".to_owned(), good.to_string().into_bytes()));
    all
}
