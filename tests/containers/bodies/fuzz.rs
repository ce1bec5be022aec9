//! Requests that chance has changed: bytes of any, parts of those in JSON.

use super::cases::{Case, cases};
use rand::prelude::IndexedRandom as _;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};

/// Texts that mean something to a reader of requests.
const TOKENS: [&str; 40] = [
    "null",
    "true",
    "false",
    "NaN",
    "Infinity",
    "-Infinity",
    "-1",
    "0",
    "1e999",
    "1e-999",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551616",
    "1.5",
    "-0",
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    "\"",
    "\\",
    "\\u0000",
    "\\ud800",
    "//",
    "/*",
    "\n",
    "\t",
    "\0",
    "\u{7f}",
    "\u{fffd}",
    "\"inputs\":",
    "\"data\":",
    "\"shape\":",
    "\"parameters\":",
    "\"binary_data_size\":",
    "\"datatype\":",
    "\"INT64\"",
    "[[[[[[[[",
];

/// `count` changed requests; the same for the same seed.
pub(super) fn fuzzed(seed: u64, count: usize) -> Vec<Case> {
    let mut random = StdRng::seed_from_u64(seed);
    let originals = cases();
    let case = |_| {
        let original = originals.choose(&mut random).unwrap();
        let mut content_type = original.content_type.clone();
        let mut body = original.body.clone();
        for _ in 0..random.random_range(1..4) {
            let parsed: Option<Value> = serde_json::from_slice(&body).ok().filter(|_| random.random_bool(0.7));
            match parsed {
                Some(mut value) => {
                    change_value(&mut random, &mut value);
                    body = value.to_string().into_bytes();
                }
                None => change_bytes(&mut random, &mut body),
            }
        }
        if random.random_bool(0.02) {
            let size: i64 = random.random_range(-2..body.len() as i64 + 3);
            content_type = format!("application/vnd.sagemaker-triton.binary+json;json-header-size={size}");
        }
        Case { model: original.model, content_type, body }
    };
    (0..count).map(case).collect()
}

fn change_bytes(random: &mut StdRng, body: &mut Vec<u8>) {
    let at = random.random_range(0..=body.len());
    let end = (at + random.random_range(0..9)).min(body.len());
    match random.random_range(0..6) {
        0 if at < body.len() => body[at] ^= 1 << random.random_range(0..8),
        1 => body.insert(at, random.random()),
        2 => drop(body.drain(at..end)),
        3 => {
            let part = body[at..end].to_vec();
            body.splice(at..at, part);
        }
        4 => body.truncate(at),
        _ => {
            let token = TOKENS.choose(random).unwrap();
            body.splice(at..end, token.bytes());
        }
    }
}

/// Changes one value in a tree.
fn change_value(random: &mut StdRng, value: &mut Value) {
    let goes_on = random.random_bool(0.75);
    match value {
        Value::Array(items) if goes_on && !items.is_empty() => {
            let index = random.random_range(0..items.len());
            match random.random_range(0..8) {
                0 => drop(items.remove(index)),
                1 => items.insert(index, items[index].clone()),
                _ => change_value(random, &mut items[index]),
            }
        }
        Value::Object(fields) if goes_on && !fields.is_empty() => {
            let key = fields.keys().nth(random.random_range(0..fields.len())).unwrap().clone();
            match random.random_range(0..10) {
                0 => drop(fields.remove(&key)),
                1 => drop(fields.insert("parameters".to_owned(), any_parameters(random))),
                2 => {
                    let moved = fields.remove(&key).unwrap();
                    fields.insert(format!("{key}x"), moved);
                }
                _ => change_value(random, &mut fields[&key]),
            }
        }
        other => *other = any_value(random, other),
    }
}

fn any_parameters(random: &mut StdRng) -> Value {
    let name = [
        "binary_data_size",
        "binary_data",
        "classification",
        "shared_memory_region",
        "priority",
        "timeout",
        "sequence_id",
        "sequence_start",
        "x",
    ]
    .choose(random)
    .unwrap();
    match random.random_range(0..3) {
        0 => any_value(random, &json!(1)),
        1 => json!({*name: random.random_range(0..4)}),
        _ => json!({*name: any_value(random, &json!(1))}),
    }
}

fn any_value(random: &mut StdRng, old: &Value) -> Value {
    match random.random_range(0..14) {
        0 => Value::Null,
        1 => json!(random.random::<bool>()),
        2 => json!(random.random_range(-3..9)),
        3 => json!(random.random::<i64>()),
        4 => json!(random.random::<u64>()),
        5 => json!(f64::from(random.random::<f32>()) * 10f64.powi(random.random_range(-45..45))),
        6 => json!([]),
        7 => json!({}),
        8 => json!([old]),
        9 => json!(old.to_string()),
        10 => json!({"a": old}),
        11 => json!(["INT64", "FP32", "BOOL", "BYTES", "", "ids", "sums"].choose(random).unwrap()),
        12 => json!(vec![1; random.random_range(1..9)]),
        _ => json!([[1, 2], [3, 4]]),
    }
}
