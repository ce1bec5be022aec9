//! Links, sparse files, and files that a configuration names.

use super::Case;
use super::archive::{Archive, Spec};

const MODEL: &str = "m/1/model.onnx";
const CONFIG: &str = "m/config.pbtxt";

pub(super) fn cases() -> Vec<Case> {
    let all = [symbolic_links(), hard_links(), sparse_files(), labels(), models()].concat();
    all.into_iter().map(|(name, archive)| (name.to_owned(), archive)).collect()
}

fn good() -> Archive {
    Archive::of(&Spec::new())
}

fn symbolic_links() -> Vec<(&'static str, Archive)> {
    let moved = |to: &str| good().moved(MODEL, to);
    vec![
        ("links: to the model's file", moved("m/1/real").link(MODEL, "real")),
        ("links: up and down", moved("m/files/real").link(MODEL, "../files/real")),
        ("links: to the top", moved("real").link(MODEL, "../../real")),
        ("links: one after the other", moved("m/1/c").link(MODEL, "a").link("m/1/a", "./b").link("m/1/b", "c")),
        ("links: dangling", moved("m/1/real").link(MODEL, "none")),
        ("links: to a dangling one", moved("m/1/real").link(MODEL, "a").link("m/1/a", "none")),
        ("links: absolute", moved("m/1/real").link(MODEL, "/nowhere/real")),
        ("links: leads out", moved("m/1/real").link(MODEL, "../../../../real")),
        ("links: to itself", moved("m/1/real").link(MODEL, "model.onnx")),
        ("links: in a circle", moved("m/1/real").link(MODEL, "a").link("m/1/a", "model.onnx")),
        ("links: through a file", moved("m/1/real").link(MODEL, "real/x")),
        ("links: dangling, not used, in the version", good().link("m/1/a", "none")),
        ("links: two in a circle, not used", good().link("m/1/a", "b").link("m/1/b", "a")),
        ("links: dangling, next to the configuration", good().link("m/a", "none")),
        ("links: dangling, at the top", good().link("README", "none")),
        ("links: dangling, in a version that is not served", good().link("m/0/a", "none")),
        ("links: dangling, in another folder", good().link("m/other/a", "none")),
        ("links: to the configuration", good().moved(CONFIG, "m/real").link(CONFIG, "real")),
        ("links: configuration dangling", good().moved(CONFIG, "m/real").link(CONFIG, "none")),
        ("links: to the version", moved("m/v1/model.onnx").link("m/1", "v1")),
        ("links: another version", good().link("m/2", "1")),
        (
            "links: to the model's folder",
            good().moved(CONFIG, "real/config.pbtxt").moved(MODEL, "real/1/model.onnx").link("m", "real"),
        ),
        ("links: to its own folder", good().link("m/self", ".")),
    ]
}

fn hard_links() -> Vec<(&'static str, Archive)> {
    let to = |target: &str| good().moved(MODEL, "m/1/real").hard_link(MODEL, target);
    vec![
        ("links: hard", to("m/1/real")),
        ("links: hard, with a dot", to("./m/1/real")),
        ("links: hard, dangling", to("m/1/none")),
        ("links: hard, to a folder", to("m/1")),
        ("links: hard, absolute", to("/m/1/real")),
        ("links: hard, leads out", to("../m/1/real")),
        (
            "links: hard, one after the other",
            good().moved(MODEL, "m/1/real").hard_link("m/1/a", "m/1/real").hard_link(MODEL, "m/1/a"),
        ),
        ("links: hard, configuration", good().moved(CONFIG, "m/real").hard_link(CONFIG, "m/real")),
    ]
}

fn sparse_files() -> Vec<(&'static str, Archive)> {
    let forms: [(&'static str, &'static str, &'static [&'static str]); 4] = [
        (
            "sparse: of GNU's type",
            "sparse: of GNU's type, short",
            &["--format=gnu", "--sparse", "--hole-detection=raw"],
        ),
        (
            "sparse: 0.0",
            "sparse: 0.0, short",
            &["--format=posix", "--sparse-version=0.0", "--sparse", "--hole-detection=raw"],
        ),
        (
            "sparse: 0.1",
            "sparse: 0.1, short",
            &["--format=posix", "--sparse-version=0.1", "--sparse", "--hole-detection=raw"],
        ),
        (
            "sparse: 1.0",
            "sparse: 1.0, short",
            &["--format=posix", "--sparse-version=1.0", "--sparse", "--hole-detection=raw"],
        ),
    ];
    let warmup = "model_warmup { batch_size: 1 inputs { key: \"x\" value { \
                  data_type: TYPE_FP32 dims: 32768 input_data_file: \"x\" } } }";
    let tensor = |name| (name, "FP32", vec![32768]);
    let spec = Spec { inputs: vec![tensor("x")], outputs: vec![tensor("y")], ..Spec::with(warmup) };
    let of = |form, byte_count| Archive::of(&spec).file("m/warmup/x", vec![0; byte_count]).packed_as(form);
    forms.into_iter().flat_map(|(good, short, form)| [(good, of(form, 131_072)), (short, of(form, 131_071))]).collect()
}

fn labels() -> Vec<(&'static str, Archive)> {
    let with = |name: &str| {
        let spec = Spec::new();
        let config = spec
            .config()
            .replace("dims: [4] }\nparameters", &format!("dims: [4] label_filename: \"{name}\" }}\nparameters"));
        Archive::of(&spec).file(CONFIG, config)
    };
    vec![
        ("labels: there", with("l").file("m/l", "a\nb\n")),
        ("labels: empty", with("l").file("m/l", "")),
        ("labels: missing", with("l")),
        ("labels: without a name", with("")),
        ("labels: in the version", with("1/l").file("m/1/l", "a")),
        ("labels: above", with("../l").file("l", "a")),
        ("labels: a link", with("l").file("m/real", "a").link("m/l", "real")),
        ("labels: a link that dangles", with("1/l").link("m/1/l", "none")),
    ]
}

fn models() -> Vec<(&'static str, Archive)> {
    let named = |file: &str| Archive::of(&Spec::with(&format!("default_model_filename: \"{file}\"")));
    let by_gpu = |rest: &str| {
        Archive::of(&Spec::with(&format!("cc_model_filenames {{ key: \"8.6\" value: \"a.plan\" }} {rest}")))
    };
    let library = |parameter: &str, value: &str| {
        format!("parameters {{ key: \"{parameter}\" value {{ string_value: \"{value}\" }} }}")
    };
    vec![
        ("model: good", good()),
        ("model: missing", good().without(MODEL).folder("m/1")),
        ("model: empty", good().file(MODEL, "")),
        ("model: called otherwise", named("a.onnx").moved(MODEL, "m/1/a.onnx")),
        ("model: called otherwise, missing", named("a.onnx")),
        ("model: in a folder", named("a/b.onnx").moved(MODEL, "m/1/a/b.onnx")),
        ("model: above", named("../a.onnx").moved(MODEL, "m/a.onnx").folder("m/1")),
        ("model: for one GPU, missing", by_gpu("")),
        ("model: for one GPU, missing, and another", by_gpu("default_model_filename: \"b.plan\"")),
        (
            "model: with a batching strategy and sequences",
            Archive::of(&Spec::with(&format!(
                "sequence_batching {{ }} {}",
                library("TRITON_BATCH_STRATEGY_PATH", "/nowhere")
            ))),
        ),
        (
            "model: with an unknown agent",
            Archive::of(&Spec::with("model_repository_agents { agents { name: \"none\" } }")),
        ),
        ("model: with a library that is missing", Archive::of(&Spec::with("runtime: \"libnone.so\""))),
        ("model: a parameter twice", Archive::of(&Spec::with("parameters { key: \"a\" } parameters { key: \"a\" }"))),
        ("model: in version 0", good().moved(MODEL, "m/0/model.onnx")),
        ("model: of an instance of no known kind", Archive::of(&Spec::with("instance_group { kind: 17 }"))),
    ]
}
