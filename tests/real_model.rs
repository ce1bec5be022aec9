//! The main job on the real all-MiniLM-L6-v2, compared with values that `transformers` computed.

use crate::support::{Hosted, Workspace};
use planforge_testkit::repository;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Largest absolute difference of an fp32 embedding from the reference.
const FP32_TOLERANCE: f64 = 1e-5;
/// Smallest cosine similarity of an fp16 embedding with the reference.
const FP16_COSINE_FLOOR: f64 = 0.9999;
/// The same of a bf16 embedding, and what it would take more digits to reach.
const BF16_COSINE_FLOOR: f64 = 0.999;
const BF16_COSINE_CEILING: f64 = 0.999_999_9;
/// The pooler's output is not scaled to length 1, so its rounding errors are larger.
const POOLER_TOLERANCE: f64 = 2e-5;

/// Made by scripts/reference/sentence-embeddings.py.
#[derive(Deserialize)]
struct Reference {
    sentences: Vec<Sentence>,
}

#[derive(Deserialize)]
struct Sentence {
    sentence: String,
    input_ids: Vec<i64>,
    sentence_embedding: Vec<f64>,
    pooler_output: Vec<f64>,
}

fn reference() -> Vec<Sentence> {
    let path = repository().join("fixtures/all-MiniLM-L6-v2/sentence-embeddings.json");
    let reference: Reference = serde_json::from_slice(&fs_err::read(path).unwrap()).unwrap();
    assert!(reference.sentences.len() >= 8);
    reference.sentences
}

/// All sentences as one request, padded to the longest.
fn request(sentences: &[Sentence], outputs: &[&str]) -> Value {
    let longest = sentences.iter().map(|sentence| sentence.input_ids.len()).max().unwrap();
    let padded = |value: fn(&Sentence, usize) -> i64| -> Vec<i64> {
        sentences.iter().flat_map(|sentence| (0..longest).map(move |index| value(sentence, index))).collect()
    };
    let inputs = [
        ("input_ids", padded(|sentence, index| sentence.input_ids.get(index).copied().unwrap_or(0))),
        ("attention_mask", padded(|sentence, index| i64::from(index < sentence.input_ids.len()))),
        ("token_type_ids", padded(|_, _| 0)),
    ];
    let shape = [sentences.len(), longest];
    let inputs: Vec<_> = inputs
        .iter()
        .map(|(name, data)| json!({ "name": name, "shape": shape, "datatype": "INT64", "data": data }))
        .collect();
    json!({ "inputs": inputs, "outputs": outputs.iter().map(|name| json!({ "name": name })).collect::<Vec<_>>() })
}

/// An output of an answer, one row for each sentence.
fn rows(answer: &Value, name: &str) -> Vec<Vec<f64>> {
    let output = answer["outputs"].as_array().unwrap().iter().find(|output| output["name"] == name).unwrap();
    let width = usize::try_from(output["shape"][1].as_u64().unwrap()).unwrap();
    let data: Vec<f64> = output["data"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect();
    data.chunks(width).map(<[f64]>::to_vec).collect()
}

fn max_difference(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

fn cosine(a: &[f64], b: &[f64]) -> f64 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[track_caller]
fn assert_fp32(found: &[Vec<f64>], sentences: &[Sentence]) {
    assert_eq!(found.len(), sentences.len());
    for (found, sentence) in found.iter().zip(sentences) {
        assert_eq!(found.len(), 384);
        let difference = max_difference(found, &sentence.sentence_embedding);
        assert!(difference <= FP32_TOLERANCE, "`{}` differs by {difference:e}", sentence.sentence);
    }
}

#[track_caller]
fn assert_fp16(found: &[Vec<f64>], sentences: &[Sentence]) {
    assert_eq!(found.len(), sentences.len());
    for (found, sentence) in found.iter().zip(sentences) {
        let cosine = cosine(found, &sentence.sentence_embedding);
        assert!(cosine >= FP16_COSINE_FLOOR, "`{}` has cosine {cosine}", sentence.sentence);
    }
}

/// Digits are lost in each value, so it must not agree too well either.
#[track_caller]
fn assert_bf16(found: &[Vec<f64>], sentences: &[Sentence]) {
    assert_eq!(found.len(), sentences.len());
    for (found, sentence) in found.iter().zip(sentences) {
        let cosine = cosine(found, &sentence.sentence_embedding);
        let range = BF16_COSINE_FLOOR..BF16_COSINE_CEILING;
        assert!(range.contains(&cosine), "`{}` has cosine {cosine}", sentence.sentence);
    }
}

/// The first three sentences mean the same, then come two pairs; every other pair has less in common.
#[track_caller]
fn assert_sensible(embeddings: &[Vec<f64>]) {
    let alike = [(0, 1), (0, 2), (1, 2), (3, 4), (5, 6)];
    let similarity = |(a, b): (usize, usize)| cosine(&embeddings[a], &embeddings[b]);
    let least = alike.iter().copied().map(similarity).fold(1.0, f64::min);
    for a in 0..embeddings.len() {
        for b in a + 1..embeddings.len() {
            let other = similarity((a, b));
            assert!(alike.contains(&(a, b)) || other < least - 0.1, "{a} and {b}: {other}, the pairs: {least}");
        }
    }
}

#[test]
fn the_whole_job_gives_the_embeddings_of_transformers() {
    let workspace = Workspace::real();
    let report = workspace.json(&["run", "real.toml"]);
    assert!(report["checks"].as_array().unwrap().iter().all(|check| check["passed"] == true), "{}", report["checks"]);
    assert_eq!(report["load"]["total"]["failures"], 0);
    assert_capacity(&report["capacity"]);
    assert_engines(&workspace, &report);

    let sentences = reference();
    let both = request(&sentences, &["sentence_embedding", "pooler_output"]);
    let hosted = Hosted::start(&workspace, "real.toml");
    let (status, answer) = hosted.invoke("all-MiniLM-L6-v2", "all-MiniLM-L6-v2-v3.tar.gz", &both);
    assert_eq!(status, 200, "{answer}");
    let embeddings = rows(&answer, "sentence_embedding");
    assert_fp32(&embeddings, &sentences);
    assert_sensible(&embeddings);
    for (found, sentence) in rows(&answer, "pooler_output").iter().zip(&sentences) {
        let difference = max_difference(&found[..sentence.pooler_output.len()], &sentence.pooler_output);
        assert!(difference <= POOLER_TOLERANCE, "{difference:e}");
    }
    assert_boto3(&hosted, &sentences[0]);
    hosted.stop();

    workspace.edit("real.toml", "variant = \"onnx-fp32\"", "variant = \"onnx-fp16\"");
    let hosted = Hosted::start(&workspace, "real.toml");
    let (status, answer) = hosted.invoke("all-MiniLM-L6-v2", "all-MiniLM-L6-v2-v0.tar.gz", &both);
    assert_eq!(status, 200, "{answer}");
    let embeddings = rows(&answer, "sentence_embedding");
    assert_fp16(&embeddings, &sentences);
    assert_sensible(&embeddings);
    hosted.stop();
}

/// The probe stops before the copy that would pass 90 % of the budget.
#[track_caller]
fn assert_capacity(capacity: &Value) {
    assert_eq!(capacity["limit"], "threshold", "{capacity}");
    let number = |key: &str| capacity[key].as_u64().unwrap();
    let allowed = number("budget_byte_count") * 9 / 10;
    let last = usize::try_from(number("copies")).unwrap() - 1;
    let used = capacity["steps"][last]["used_byte_count"].as_u64().unwrap();
    assert!(used <= allowed, "{capacity}");
    assert!(used + number("byte_count_per_copy") > allowed * 95 / 100, "{capacity}");
    assert!((4..7).contains(&number("copies")), "{capacity}");
    // The weights are 87 MiB. The largest values of 32 texts of 256 tokens are 96 MiB of attention and 48 MiB between the two
    // products of a layer, in twos.
    assert!((280 << 20..420 << 20).contains(&number("byte_count_per_copy")), "{capacity}");
    assert!((4 << 20..40 << 20).contains(&number("base_byte_count")), "{capacity}");
}

/// The bytes that boto3 sends (scripts/reference/boto3-request.py), as they are but for the connection,
/// which one of them would keep open.
#[track_caller]
fn assert_boto3(hosted: &Hosted, sentence: &Sentence) {
    let recorded = fs_err::read(repository().join("fixtures/sagemaker-runtime/boto3-invoke-endpoint.http")).unwrap();
    let (status, answer) = hosted.send(&recorded);
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["model_name"], "all-MiniLM-L6-v2-v0.tar.gz");
    let found = rows(&answer, "sentence_embedding");
    assert!(max_difference(&found[0], &sentence.sentence_embedding) <= FP32_TOLERANCE);
}

/// An engine for each GPU type and precision, each with its own compute capability in its header.
#[track_caller]
fn assert_engines(workspace: &Workspace, report: &Value) {
    let headers: BTreeMap<String, Value> = report["engines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|engine| {
            let name = format!("tensorrt-{}-{}", engine["precision"], engine["gpu"]).replace('"', "");
            (name, engine["header_compute_capabilities"].clone())
        })
        .collect();
    let expected = [
        ("tensorrt-fp16-a10g", "8.6"),
        ("tensorrt-fp16-l4", "8.9"),
        ("tensorrt-fp16-t4", "7.5"),
        ("tensorrt-fp32-a10g", "8.6"),
        ("tensorrt-fp32-l4", "8.9"),
    ];
    assert_eq!(headers.keys().collect::<Vec<_>>(), expected.map(|(name, _)| name));
    for (name, capability) in expected {
        assert_eq!(headers[name], json!([capability]));
        let plan = workspace.path(&format!("planforge-out/all-MiniLM-L6-v2/engines/{name}/model.plan"));
        let header = planforge_tensorrt::read_header(&fs_err::read(plan).unwrap()).unwrap();
        let shown: Vec<_> = header.compute_capabilities.iter().map(ToString::to_string).collect();
        assert_eq!(shown, [capability]);
        assert_eq!(header.version.map(|number| number.to_string()).join("."), "1.7.1.116");
    }
}

#[test]
fn the_command_line_gives_the_embeddings_of_transformers() {
    let workspace = Workspace::real();
    let sentences = reference();
    let texts = sentences.iter().flat_map(|sentence| ["--text", sentence.sentence.as_str()]);
    for (precision, assert) in
        [("fp32", assert_fp32 as fn(&[Vec<f64>], &[Sentence])), ("fp16", assert_fp16), ("bf16", assert_bf16)]
    {
        let arguments: Vec<&str> =
            ["infer", "real.toml", "--precision", precision].into_iter().chain(texts.clone()).collect();
        let answer = workspace.json(&arguments);
        let found: Vec<Vec<f64>> = serde_json::from_value(answer["values"].clone()).unwrap();
        assert(&found, &sentences);
    }
}

#[test]
fn two_builds_in_different_surroundings_are_identical() {
    let (first, second) = (Workspace::real(), Workspace::real());
    let first_report = first.json(&["package", "real.toml"]);
    // Another folder anyway; also another clock, language, mask of permissions and output folder.
    let mut command = second.command(&["package", "real.toml", "--output", "elsewhere/deeper", "--json"]);
    command
        .env("TZ", "Pacific/Kiritimati")
        .env("LC_ALL", "tr_TR.UTF-8")
        .env("USER", "nobody")
        .env("TMPDIR", second.path("."));
    let ended = crate::support::end(command);
    ended.succeeds();
    let second_report: Value = serde_json::from_str(&ended.stdout).unwrap();
    let digests = |report: &Value| -> BTreeMap<String, String> {
        let rows = report["artifacts"].as_array().unwrap().iter();
        rows.map(|row| (format!("{} {}", row["step"], row["subject"]), row["sha256"].to_string())).collect()
    };
    let (first_digests, second_digests) = (digests(&first_report), digests(&second_report));
    assert_eq!(first_digests, second_digests);
    // Snapshot, two exports, five engines, seven archives; and nothing was found in a cache.
    assert_eq!(first_digests.len(), 15);
    for report in [&first_report, &second_report] {
        let built = report["artifacts"].as_array().unwrap().iter().filter(|row| row["outcome"] == "built");
        assert_eq!(built.count(), 14);
    }
    let engines = |suffix: &str| {
        first_digests.iter().filter(|(what, _)| what.contains(suffix)).map(|(_, digest)| digest).collect::<Vec<_>>()
    };
    assert_ne!(engines("compile\" \"tensorrt-fp16-l4"), engines("compile\" \"tensorrt-fp16-a10g"));
}
