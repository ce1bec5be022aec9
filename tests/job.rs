//! The main job on a tiny checkpoint.

use crate::support::Workspace;
use planforge_testkit::TinyBert;
use serde_json::Value;

fn outcomes(report: &Value) -> Vec<(String, String)> {
    let rows = report["artifacts"].as_array().unwrap().iter();
    rows.map(|row| {
        (format!("{} {}", row["step"], row["subject"]).replace('"', ""), row["outcome"].as_str().unwrap().to_owned())
    })
    .collect()
}

#[test]
fn a_run_makes_everything_and_the_second_one_reuses_it() {
    let workspace = Workspace::tiny();
    let first = workspace.planforge(&["run", "tiny.toml"]);
    first.succeeds();
    for word in ["tensorrt-fp16-t4", "onnx-fp32 x 3", "probe: 3 copies of onnx-fp32 fit in 90 %", "responses/s", "t4"] {
        assert!(first.stdout.contains(word), "`{word}` is not in:\n{}", first.stdout);
    }
    // Without a terminal progress is plain lines.
    assert!(
        first.stderr.contains("  compile  tensorrt-fp16-t4") && !first.stderr.contains('\u{1b}'),
        "{}",
        first.stderr
    );
    let files = workspace.files("planforge-out/tiny");
    for file in [
        "snapshot.json",
        "export/onnx-fp32/model.onnx",
        "engines/tensorrt-fp16-t4/model.plan",
        "engines/tensorrt-fp32-l4/build.log",
        "archives/onnx-fp16/tiny.tar.gz",
        "store/tiny/onnx-fp32/tiny-v2.tar.gz",
        "report.html",
        "report.json",
        "probe.csv",
        "load.csv",
    ] {
        assert!(files.iter().any(|known| known == file), "{file} is not among {files:?}");
    }
    // t4 takes fp16 only, and the third copy is the last.
    assert!(!files.iter().any(|file| file.contains("tensorrt-fp32-t4") || file.contains("-v3.tar.gz")));
    assert_eq!(workspace.half_written(), [""; 0]);

    let first: Value =
        serde_json::from_slice(&fs_err::read(workspace.path("planforge-out/tiny/report.json")).unwrap()).unwrap();
    assert!(
        outcomes(&first).iter().filter(|(what, _)| !what.starts_with("fetch")).all(|(_, outcome)| outcome == "built")
    );
    let second = workspace.json(&["run", "tiny.toml"]);
    assert!(outcomes(&second).iter().all(|(_, outcome)| outcome == "cached"), "{:?}", outcomes(&second));
    assert_eq!(digests(&first), digests(&second));
    assert_eq!(second["capacity"]["copies"], 3);
    assert_eq!(second["load"]["total"]["failures"], 0);
    assert!(second["load"]["total"]["requests"].as_u64().unwrap() > 10);
}

fn digests(report: &Value) -> Vec<&Value> {
    report["artifacts"].as_array().unwrap().iter().map(|row| &row["sha256"]).collect()
}

#[test]
fn commands_run_their_part_and_no_more() {
    let workspace = Workspace::tiny();
    workspace.planforge(&["export", "tiny.toml"]).succeeds();
    let files = workspace.files("planforge-out/tiny");
    assert!(files.iter().any(|file| file == "export/onnx-fp16/model.onnx"));
    assert!(!files.iter().any(|file| file.starts_with("engines") || file.starts_with("archives")), "{files:?}");
    let compiled = workspace.json(&["compile", "tiny.toml", "--gpu", "l40s"]);
    let gpus: Vec<_> = compiled["engines"].as_array().unwrap().iter().map(|engine| &engine["gpu"]).collect();
    assert_eq!(gpus, ["l40s", "l40s"]);
    workspace.package_without_engines("[\"onnx\"]");
    let compiled = workspace.json(&["compile", "tiny.toml", "--gpu", "l40s"]);
    assert_eq!(compiled["engines"].as_array().unwrap().len(), 2, "naming a GPU asks for engines");
    let published = workspace.json(&["publish", "tiny.toml", "--copies", "2"]);
    assert!(published["archives"].as_array().unwrap().iter().all(|archive| archive["copies"] == 2));
    assert!(published["load"].is_null());
}

#[test]
fn a_classifier_goes_the_whole_way_and_names_its_labels() {
    let workspace = Workspace::tiny();
    fs_err::remove_dir_all(workspace.path("model")).unwrap();
    let labels = ["calm", "angry", "tired"].map(str::to_owned).to_vec();
    TinyBert { labels, ..TinyBert::default() }.write(&workspace.path("model")).unwrap();
    workspace.edit("tiny.toml", "sentence-embedding", "text-classification");
    let report = workspace.json(&["run", "tiny.toml"]);
    assert_eq!(report["task"], "text-classification");
    assert_eq!(report["load"]["total"]["failures"], 0);
    let texts = ["infer", "tiny.toml", "--text", "the cat sat .", "--text", "a dog ran"];
    let scores = workspace.json(&texts);
    assert_eq!((&scores["output"], &scores["shape"]), (&"logits".into(), &serde_json::json!([2, 3])));
    assert_eq!(scores["labels"], serde_json::json!(["calm", "angry", "tired"]));
    let shown = workspace.planforge(&texts).stdout;
    let lines: Vec<_> = shown.lines().skip(1).take(4).collect();
    assert!(lines[0].ends_with("the cat sat .") && lines[1..].iter().all(|line| line.contains('%')), "{shown}");
    // The tiny head serves tokens as well.
    workspace.edit("tiny.toml", "text-classification", "token-classification");
    let shown = workspace.planforge(&texts).stdout;
    assert!(shown.contains("logits [2, 6, 3]"), "{shown}");
    let labelled = shown.lines().filter(|line| ["calm", "angry", "tired"].iter().any(|label| line.ends_with(label)));
    assert_eq!(labelled.count(), 6 + 5, "{shown}");
}

#[test]
fn a_changed_option_rebuilds_what_depends_on_it_alone() {
    let workspace = Workspace::tiny();
    let before = workspace.json(&["package", "tiny.toml"]);
    workspace.edit("tiny.toml", "batch = [1, 2, 4]", "batch = [1, 2, 8]");
    let after = workspace.json(&["package", "tiny.toml"]);
    let changed =
        |what: &str, report: &Value| outcomes(report).iter().any(|(row, outcome)| row == what && outcome == "built");
    assert!(changed("export onnx-fp32", &before));
    assert!(!changed("export onnx-fp32", &after) && changed("compile tensorrt-fp16-l4", &after));
    assert!(changed("package onnx-fp32", &after), "max_batch_size is in the archive");
}

#[test]
fn a_budget_that_holds_no_copy_is_reported() {
    let workspace = Workspace::tiny();
    workspace.edit("tiny.toml", "[load]", "[host]\nmemory = \"64 KiB\"\n[load]");
    let ended = workspace.planforge(&["run", "tiny.toml"]);
    ended.succeeds();
    assert!(ended.stdout.contains("probe: 0 copies of onnx-fp32 fit in 90 % of 64.0 KiB"), "{}", ended.stdout);
    assert!(!ended.stdout.contains("load:"), "{}", ended.stdout);
    let page = fs_err::read_to_string(workspace.path("planforge-out/tiny/report.html")).unwrap();
    assert!(page.contains("not one copy fits"));
}

#[test]
fn the_report_is_written_anew_from_its_json() {
    let workspace = Workspace::tiny();
    workspace.planforge(&["run", "tiny.toml"]).succeeds();
    let page = workspace.path("planforge-out/tiny/report.html");
    let before = fs_err::read(&page).unwrap();
    fs_err::remove_file(&page).unwrap();
    workspace.planforge(&["report", "planforge-out/tiny/report.json"]).succeeds();
    assert_eq!(fs_err::read(&page).unwrap(), before);
}

#[test]
fn probe_and_load_take_a_running_endpoint() {
    let workspace = Workspace::tiny();
    let hosted = crate::support::Hosted::start(&workspace, "tiny.toml");
    let url = format!("http://{}", hosted.address);
    let capacity = workspace.json(&["probe", "tiny.toml", "--url", &url]);
    assert_eq!((&capacity["copies"], &capacity["limit"]), (&3.into(), &"published-copies".into()));
    let load = workspace.json(&["load", "tiny.toml", "--url", &url]);
    assert_eq!(load["total"]["failures"], 0);
    hosted.stop();
}

#[test]
fn answers_lie_in_the_context_and_masks_are_filled() {
    let workspace = Workspace::tiny();
    TinyBert { word_heads: true, ..TinyBert::default() }.write(&workspace.path("model")).unwrap();
    workspace.edit("tiny.toml", "sentence-embedding", "question-answering");
    let context = "A small dog ran on the road, and the cat sat.";
    let arguments = ["infer", "tiny.toml", "--text", "the dog ran on ?", "--text", "a cat", "--context", context];
    let found = workspace.json(&arguments);
    assert_eq!(found["output"], "start_logits, end_logits");
    let guesses = found["guesses"].as_array().unwrap();
    assert_eq!(guesses.len(), 2);
    for guess in guesses {
        let answer = guess[0]["text"].as_str().unwrap();
        assert!(!answer.is_empty() && context.contains(answer), "{answer}");
        assert!((0.0..=1.0).contains(&guess[0]["probability"].as_f64().unwrap()));
    }
    workspace
        .planforge(&["infer", "tiny.toml", "--text", "why"])
        .fails(2, &["needs --text with a question and --context"]);
    workspace.planforge(&["check", "tiny.toml"]).succeeds();
    workspace.planforge(&["compile", "tiny.toml", "--gpu", "l4"]).succeeds();

    workspace.edit("tiny.toml", "question-answering", "fill-mask");
    let found = workspace.json(&["infer", "tiny.toml", "--text", "the [MASK] sat", "--text", "a [MASK] ran on and on"]);
    let words: Vec<_> =
        found["guesses"].as_array().unwrap().iter().map(|guess| guess.as_array().unwrap().len()).collect();
    assert_eq!(words, [5, 5]);
    workspace.planforge(&["infer", "tiny.toml", "--text", "a cat"]).fails(2, &["a text has no `[MASK]` to fill"]);
    workspace.planforge(&["check", "tiny.toml"]).succeeds();
}
