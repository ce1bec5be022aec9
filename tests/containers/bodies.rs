//! The same bodies to the endpoint's own process and to Triton; what may differ is listed here with its reason.

mod cases;
mod fuzz;

use self::cases::{Case, cases};
use self::fuzz::fuzzed;
use super::{REQUIRED, published, workspace};
use crate::support::{Hosted, Workspace};
use planforge_testkit::{isolated, repository};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// A model of the fixtures and a configuration for it.
const MODELS: [(&str, &str, &str); 4] = [
    (
        "batched.tar.gz",
        "embed",
        "max_batch_size: 4 input [{ name: \"ids\" data_type: TYPE_INT64 dims: [-1] }, { name: \"mask\" data_type: TYPE_INT64 dims: [-1] }]
         output [{ name: \"sums\" data_type: TYPE_FP32 dims: [4] label_filename: \"labels.txt\" },
                 { name: \"tokens\" data_type: TYPE_INT64 dims: [1] reshape { shape: [] } }]",
    ),
    (
        "unbatched.tar.gz",
        "identity",
        "max_batch_size: 0 input [{ name: \"half\" data_type: TYPE_FP16 dims: [2, 3] }, { name: \"integer\" data_type: TYPE_INT32 dims: [-1, 3] },
                { name: \"flag\" data_type: TYPE_BOOL dims: [-1] }]
         output [{ name: \"half_out\" data_type: TYPE_FP16 dims: [2, 3] }, { name: \"integer_out\" data_type: TYPE_INT32 dims: [-1, 3] },
                 { name: \"flag_out\" data_type: TYPE_BOOL dims: [-1] }]",
    ),
    (
        "reshaped.tar.gz",
        "quantized",
        "max_batch_size: 8 input { name: \"x\" data_type: TYPE_FP32 dims: [2, 4] reshape { shape: [8] } }
         output { name: \"y\" data_type: TYPE_FP32 dims: [2, 2] reshape { shape: [4] } label_filename: \"labels.txt\" }",
    ),
    (
        "subset.tar.gz",
        "embed",
        "max_batch_size: 2 input [{ name: \"ids\" data_type: TYPE_INT64 dims: [3] }, { name: \"mask\" data_type: TYPE_INT64 dims: [3] }]
         output { name: \"sums\" data_type: TYPE_FP32 dims: [4] }",
    ),
];

/// Parts of Triton's errors after which texts may differ: those of its JSON reader, and of libraries below it.
const OPEN_ENDED: [&str; 3] = ["failed to parse the request JSON buffer", "Unable to parse '", "inference failed"];

/// Name, element type, shape and elements of an output: numbers, or texts and raw bytes.
type Output = (String, String, Value, Vec<f64>, Vec<String>);

/// What came back.
#[derive(Debug, PartialEq)]
enum Outcome {
    /// The outputs.
    Outputs(Vec<Output>),
    /// Status of the container and its text.
    Error(u64, String),
}

#[test]
fn bodies_are_answered_as_triton_answers_them() {
    isolated(concat!(module_path!(), "::bodies_are_answered_as_triton_answers_them"), REQUIRED, || {
        let cases = cases();
        assert!(cases.len() >= 400, "{} bodies", cases.len());
        let [own, triton] = ["embedded", "triton"].map(|container| outcomes(container, &cases));
        let answered = triton.iter().filter(|outcome| matches!(outcome, Outcome::Outputs(_))).count();
        assert!(
            (60..cases.len() - 100).contains(&answered),
            "{answered} of {} bodies have an answer, not the first: {:?}",
            cases.len(),
            triton.first()
        );
        let (differences, report) = differences(&cases, &own, &triton);
        assert_eq!(differences, 0, "of {} bodies:\n{report}", cases.len());
    });
}

#[test]
fn bodies_changed_by_chance_are_answered_as_triton_answers_them() {
    isolated(
        concat!(module_path!(), "::bodies_changed_by_chance_are_answered_as_triton_answers_them"),
        REQUIRED,
        || {
            let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
            let (seed, count) =
                (number("PLANFORGE_FUZZ_SEED").unwrap_or(0), number("PLANFORGE_FUZZ_BODIES").unwrap_or(500));
            let cases = fuzzed(seed, usize::try_from(count).unwrap());
            let [own, triton] = ["embedded", "triton"].map(|container| outcomes(container, &cases));
            let answered = triton.iter().filter(|outcome| matches!(outcome, Outcome::Outputs(_))).count();
            let (differences, report) = differences(&cases, &own, &triton);
            println!("{count} bodies of seed {seed}: {answered} have an answer, {differences} differ\n{report}");
            assert_eq!(differences, 0);
        },
    );
}

/// How many outcomes differ, and which.
fn differences(cases: &[Case], own: &[Outcome], triton: &[Outcome]) -> (usize, String) {
    let mut report = String::new();
    let mut differences = 0;
    for ((case, own), triton) in cases.iter().zip(own).zip(triton) {
        if !is_same(own, triton) {
            differences += 1;
            let body = case.body.escape_ascii().to_string().replace("\\\"", "\"");
            let body: String = body.chars().take(400).collect();
            writeln!(report, "{} {}\n  {body}\n  own    {own:?}\n  triton {triton:?}", case.model, case.content_type)
                .unwrap();
        }
    }
    (differences, report)
}

/// Answers of one kind of container.
fn outcomes(container: &str, cases: &[Case]) -> Vec<Outcome> {
    let workspace = workspace(container, "4 GiB");
    workspace.planforge(&["publish", "tiny.toml"]).succeeds();
    let store = published(&workspace);
    for (name, fixture, config) in MODELS {
        write(&workspace, &store.join(name), fixture, config);
    }
    let hosted = Hosted::start(&workspace, "tiny.toml");
    let outcomes = cases.iter().map(|case| outcome(&hosted, case)).collect();
    hosted.stop();
    outcomes
}

/// An archive of a model of the fixtures.
pub(super) fn write(workspace: &Workspace, archive: &std::path::Path, fixture: &str, config: &str) {
    let folder = workspace.path("packed/m");
    let _ = fs_err::remove_dir_all(&folder);
    fs_err::create_dir_all(folder.join("1")).unwrap();
    fs_err::write(folder.join("config.pbtxt"), format!("backend: \"planforge\" {config}")).unwrap();
    fs_err::write(folder.join("labels.txt"), "first\nsecond one\n\nfourth\n").unwrap();
    // A linear layer of eight inputs and four outputs in FP32.
    let fixture = if fixture == "quantized" { "bfloat" } else { fixture };
    for item in fs_err::read_dir(repository().join("fixtures/tiny-onnx").join(fixture)).unwrap() {
        let item = item.unwrap();
        fs_err::copy(item.path(), folder.join("1").join(item.file_name())).unwrap();
    }
    let mut tar = std::process::Command::new("tar");
    let packed = tar.arg("-czf").arg(archive).arg("-C").arg(workspace.path("packed")).arg("m").status();
    assert!(packed.unwrap().success());
}

fn outcome(hosted: &Hosted, Case { model, content_type, body }: &Case) -> Outcome {
    let (status, found_type, answer) = hosted.invoke_bytes("tiny", model, content_type, body);
    if status != 200 {
        let error: Value = serde_json::from_slice(&answer).unwrap();
        let original = error["OriginalMessage"].as_str().map_or_else(|| error.to_string(), str::to_owned);
        let text = serde_json::from_str::<Value>(&original).ok().and_then(|it| Some(it["error"].as_str()?.to_owned()));
        return Outcome::Error(error["OriginalStatusCode"].as_u64().unwrap_or(status.into()), text.unwrap_or(original));
    }
    let json_size = found_type.split_once("json-header-size=").map(|(_, size)| size.parse().unwrap());
    let (json, mut raw) = answer.split_at(json_size.unwrap_or(answer.len()));
    // Not JSON, but what Triton writes.
    let text =
        String::from_utf8_lossy(json).replace("NaN", "1e99").replace("-Infinity", "-2e99").replace("Infinity", "2e99");
    let answer: Value = serde_json::from_str(&text).unwrap();
    let outputs = answer["outputs"].as_array().unwrap().iter().map(|output| {
        let (mut numbers, mut texts) = (Vec::new(), Vec::new());
        match output["data"].as_array() {
            Some(data) => data.iter().for_each(|value| match value {
                Value::Number(number) => numbers.push(number.as_f64().unwrap()),
                other => texts.push(other.to_string()),
            }),
            None => {
                let size = usize::try_from(output["parameters"]["binary_data_size"].as_u64().unwrap()).unwrap();
                let (own, rest) = raw.split_at(size);
                raw = rest;
                texts.push(own.iter().fold(String::new(), |all, byte| format!("{all}{byte:02x}")));
            }
        }
        let text = |key: &str| output[key].as_str().unwrap().to_owned();
        (text("name"), text("datatype"), output["shape"].clone(), numbers, texts)
    });
    let mut outputs: Vec<_> = outputs.collect();
    // Triton's order is that of the backend.
    outputs.sort_by(|left, right| left.0.cmp(&right.0));
    assert_eq!(answer["model_name"], json!(model));
    Outcome::Outputs(outputs)
}

/// Whether two answers are the same: numbers within rounding to decimals, texts up to where the reader's own begin.
fn is_same(own: &Outcome, triton: &Outcome) -> bool {
    match (own, triton) {
        // A server that has ended leaves open what it makes of the body: 2.51 does so for sizes of shapes above 2^63.
        (Outcome::Error(400, _), Outcome::Error(0, text)) if text.starts_with("The container ended") => true,
        (Outcome::Error(own_status, own), Outcome::Error(status, text)) => {
            let is_open_ended = OPEN_ENDED.iter().any(|start| own.starts_with(start) && text.starts_with(start));
            own_status == status && (own == text || is_open_ended)
        }
        (Outcome::Outputs(own), Outcome::Outputs(other)) => {
            own.len() == other.len()
                && own.iter().zip(other).all(|(own, other)| {
                    let close = |(own, other): (&f64, &f64)| (own - other).abs() <= 1e-6 * other.abs().max(1.0);
                    (&own.0, &own.1, &own.2, &own.4) == (&other.0, &other.1, &other.2, &other.4)
                        && own.3.len() == other.3.len()
                        && own.3.iter().zip(&other.3).all(close)
                })
        }
        _ => false,
    }
}
