use super::*;
use crate::{GpuCatalogue, Variant};

const SMALL: &str =
    "name = \"m\"\ntask = \"sentence-embedding\"\n[source]\nrepo = \"o/n\"\n[[profiles]]\nbatch = [1, 2, 4]\n";

fn read(text: &str) -> Result<Pipeline> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.toml");
    fs_err::write(&path, text).unwrap();
    Pipeline::read(&path)
}

fn message(text: &str) -> String {
    read(text).unwrap_err().to_string()
}

#[test]
fn defaults_fill_a_small_file() {
    let pipeline = read(SMALL).unwrap();
    assert_eq!(u32::from(pipeline.package.copies), 8);
    assert_eq!(pipeline.source.revision, "main");
    assert_eq!(pipeline.max_batch_size(), 4);
}

#[test]
fn mistakes_name_line_and_key() {
    let unknown = message(&format!("{SMALL}[export]\nprecison = [\"fp16\"]\n"));
    assert!(unknown.contains("line 8") && unknown.contains("precison") && unknown.contains("precisions"), "{unknown}");
    let profile = message(&SMALL.replace("[1, 2, 4]", "[4, 2, 1]"));
    assert!(profile.contains("line 6") && profile.contains("min <= opt <= max"), "{profile}");
    let copies = message(&format!("{SMALL}[package]\ncopies = 0\n"));
    assert!(
        copies.contains("line 8: key `package.copies`: invalid number of copies 0; expected 1 to 100000"),
        "{copies}"
    );
    let threshold = message(&format!("{SMALL}[probe]\nthreshold = 1.5\n"));
    assert!(threshold.contains("invalid threshold 1.5"), "{threshold}");
    let name = message(&SMALL.replace("\"m\"", "\"MUSHROOM\""));
    assert!(name.contains("OOM"), "{name}");
}

#[test]
fn contradictions_name_the_key() {
    let both = message(&SMALL.replace("repo =", "path = \"x\"\nrepo ="));
    assert!(both.contains("both `source.repo` and `source.path` are set"), "{both}");
    let gpus = message(&format!("{SMALL}[package]\nplatforms = [\"tensorrt\"]\n"));
    assert!(gpus.contains("compile.gpus"), "{gpus}");
    let unused = message(&format!("{SMALL}[package]\npytorch_precisions = [\"fp32\"]\n"));
    assert!(unused.contains("package.pytorch_precisions") && unused.contains("does not name \"pytorch\""), "{unused}");
    let own = SMALL.replace("repo = ", "graph = \"model.onnx\"\nrepo = ");
    let graph = message(&format!("{own}[package]\nplatforms = [\"onnx\", \"pytorch\"]\n"));
    assert!(graph.contains("package.platforms") && graph.contains("cannot be converted to PyTorch"), "{graph}");
}

#[test]
fn pairs_of_texts_are_for_tasks_over_two_texts() {
    let pairs = |task: &str, keys: &str| {
        let file = SMALL.replace("sentence-embedding", task);
        read(&format!("{file}[export]\nsample_pairs = [{keys}]\n")).map_err(|error| error.to_string())
    };
    let sound = pairs("text-classification", r#"["a", "b"], ["a", "c"]"#).unwrap();
    assert_eq!(sound.export.sample_pairs.len(), 2);
    let task = pairs("sentence-embedding", r#"["a", "b"]"#).unwrap_err();
    assert!(task.contains("key `export.sample_pairs`") && task.contains("use `export.samples`"), "{task}");
    let both = pairs("question-answering", "[\"a\", \"b\"]]\nsamples = [\"a\"").unwrap_err();
    assert!(both.contains("keep one of the two"), "{both}");
    let one = pairs("text-classification", r#"["a"]"#).unwrap_err();
    assert!(one.contains("line 8: key `export.sample_pairs`"), "{one}");
    let text = pairs("text-classification", r#""a", "b""#).unwrap_err();
    assert!(text.contains("line 8: key `export.sample_pairs`"), "{text}");
}

#[test]
fn values_that_are_listed_twice_are_refused() {
    for (table, key, value) in [
        ("export", "precisions", "fp16"),
        ("export", "formats", "onnx"),
        ("package", "platforms", "pytorch"),
        ("package", "pytorch_precisions", "bf16"),
    ] {
        let platforms = if key == "pytorch_precisions" { "platforms = [\"pytorch\"]\n" } else { "" };
        let refused = message(&format!("{SMALL}[{table}]\n{platforms}{key} = [\"{value}\", \"{value}\"]\n"));
        let words = format!("key `{table}.{key}`: \"{value}\" is listed twice");
        assert!(refused.contains(&words), "{refused}");
    }
}

#[test]
fn a_backend_is_included_only_where_it_serves_something() {
    let package = |keys: &str| format!("{SMALL}[compile]\n{keys}\ninclude_backend = true\n");
    let served = |keys: &str| {
        let pipeline = read(&package(keys)).unwrap();
        [Platform::Onnx, Platform::Pytorch, Platform::Tensorrt]
            .map(|platform| pipeline.is_served_by_planforge(platform))
    };
    let engines = "gpus = [\"l4\"]\n[package]\nplatforms = [\"onnx\", \"tensorrt\"]";
    assert_eq!(served(engines), [false, false, true]);
    let both = "[package]\nonnx_backend = \"planforge\"\nplatforms = [\"onnx\", \"pytorch\"]";
    assert_eq!(served(&format!("builder = \"trtexec\"\n{both}")), [true, false, false]);
    for keys in [
        "[package]",
        "[package]\nonnx_backend = \"planforge\"\nplatforms = [\"pytorch\"]",
        &format!("builder = \"trtexec\"\n{engines}"),
    ] {
        let refused = message(&package(keys));
        let words =
            ["`package.include_backend`", "no archive needs planforge's backend", "`onnx_backend = \"planforge\"`"];
        assert!(words.iter().all(|word| refused.contains(word)), "{refused}");
    }
}

#[test]
fn weights_are_left_out_where_the_library_can_do_so() {
    let strip = "[compile]\nstrip_weights = true\n";
    assert!(read(&format!("{SMALL}{strip}")).unwrap().builder_options().strip_weights);
    let several = message(&format!("{SMALL}[[profiles]]\nbatch = [1, 8, 8]\n{strip}"));
    assert!(
        several.contains("key `compile.strip_weights`") && several.contains("one optimization profile"),
        "{several}"
    );
    let own = SMALL.replace("repo = ", "graph = \"model.onnx\"\nrepo = ");
    assert!(message(&format!("{own}{strip}")).contains("a prebuilt graph keeps its weights"));
    let inside = message(&format!("{SMALL}[export]\nself_contained = true\n{strip}"));
    assert!(inside.contains("remove `export.self_contained`"), "{inside}");
    read(&format!("{own}{strip}builder = \"trtexec\"\n")).unwrap();
}

#[test]
fn every_mistake_of_a_file_is_reported_at_once() {
    let text = "name = \"m\"\ntask = \"ner\"\ncolour = 1\n[source]\nrepo = \"o/n\"\npath = \"x\"\n[[profiles]]\nbatch = [1, 2]\n\
                seq_len = [1, 2, 4]\n[export]\nprecisions = \"fp16\"\n[package]\ncopies = \"2\"\n[store]\nregion = \"x\"\n\
                timeout_seconds = 0\n[load]\nstages = [{ users = 1, duration = 3 }]\n";
    let Error::Pipeline { mistakes, .. } = read(text).unwrap_err() else { panic!("another error") };
    let lines: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
    let expected = [
        "line 2: key `task`: unknown value `ner`; expected `feature-extraction`, `sentence-embedding`, \
         `text-classification`, `token-classification`, `question-answering`, `fill-mask`, \
         `image-classification` or `image-feature-extraction`; did you mean `token-classification`?",
        "line 3: unknown key `colour`; expected `name`, `profiles`, `source`, `task`, `compile`, `export`, `host`, `load`, \
         `package`, `probe`, `store` or `triton`",
        "line 6: key `source.path`: both `source.repo` and `source.path` are set; keep one of the two",
        "line 8: key `profiles.batch`: invalid number of values: [1, 2]; expected an array `[min, opt, max]` with 1 <= min \
         <= opt <= max",
        "line 9: unknown key `profiles.seq_len`; expected `batch` or `sequence`; did you mean `sequence`?",
        "line 11: key `export.precisions`: invalid type: string \"fp16\"; expected an array of `fp32`, `fp16` or `bf16`; \
         write for example `precisions = [\"fp16\"]`",
        "line 13: key `package.copies`: invalid type: string \"2\"; expected an integer from 1 to 100000; write for example \
         `copies = 2`",
        "line 15: key `store.region`: needs a store on S3; set `store.url = \"s3://bucket/prefix\"` or remove this key",
        "line 16: key `store.timeout_seconds`: invalid value 0; expected an integer of at least 1",
        "line 18: unknown key `load.stages.duration`; expected `seconds`, `users` or `spawn_rate`; did you mean `seconds`?",
        "line 18: missing key `load.stages.seconds`; expected an integer of at least 1; add for example `seconds = 20`",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn a_syntax_error_stops_and_duplicate_keys_do_not() {
    let syntax = message(&SMALL.replace("[1, 2, 4]", "").replace("\"m\"", "m"));
    assert!(syntax.ends_with("line 1: invalid TOML: `name = m`; write strings in quotation marks: \"m\""), "{syntax}");
    let missing = message(&SMALL.replace("[1, 2, 4]", ""));
    assert!(missing.ends_with("line 6: invalid TOML: `batch =`; expected a value behind `=`"), "{missing}");
    let twice = message(&format!("{SMALL}[package]\ncopies = 2\ncopies = 3\ncolour = 1\n"));
    assert!(twice.contains("line 9: duplicate key `copies`") && twice.contains("line 10: unknown key"), "{twice}");
}

#[test]
fn gpu_types_ask_for_engines_where_no_platforms_are_named() {
    let gpus = format!("{SMALL}[compile]\ngpus = [\"l4\"]\n");
    assert_eq!(read(&gpus).unwrap().package.platforms, [Platform::Onnx, Platform::Tensorrt]);
    assert_eq!(read(SMALL).unwrap().package.platforms, [Platform::Onnx]);
    let refused = message(&format!("{gpus}[package]\nplatforms = [\"onnx\"]\n"));
    assert!(
        refused.contains("line 10: key `package.platforms`: \"tensorrt\" is missing, but `compile.gpus`"),
        "{refused}"
    );
}

#[test]
fn the_variant_of_the_endpoint_is_one_of_the_packages() {
    let host = |variant: &str| format!("{SMALL}[compile]\ngpus = [\"l4\"]\n[host]\nvariant = \"{variant}\"\n");
    for known in ["onnx-fp32", "tensorrt-fp32-l4"] {
        read(&host(known)).unwrap();
    }
    let refused = message(&host("onnx-fp16"));
    let words = "unknown variant `onnx-fp16`; expected `onnx-fp32` or `tensorrt-fp32-GPU`; did you mean `onnx-fp32`?";
    assert!(refused.contains(words), "{refused}");
}

#[test]
fn requests_of_measurements_stay_within_the_profiles() {
    let pipeline = read(&SMALL.replace("batch = [1, 2, 4]", "batch = [1, 2, 4]\nsequence = [8, 64, 128]")).unwrap();
    assert_eq!(pipeline.probe_request(), (4, Some(128)));
    assert_eq!(pipeline.load_request(), (1, Some(64)));
    let batch = message(&format!("{SMALL}[load]\nbatch = 5\n"));
    assert!(batch.contains("`load.batch`") && batch.contains("1 to 4"), "{batch}");
}

#[test]
fn the_precisions_of_pytorch_are_the_exports_or_its_own() {
    let text = format!("{SMALL}[export]\nprecisions = [\"fp16\"]\n[package]\nplatforms = [\"pytorch\", \"onnx\"]\n");
    let ids = |text: &str| read(text).unwrap().variants(&[]).iter().map(Variant::id).collect::<Vec<_>>();
    assert_eq!(ids(&text), ["pytorch-fp16", "onnx-fp16"]);
    assert_eq!(ids(&format!("{text}pytorch_precisions = [\"fp32\"]\n")), ["pytorch-fp32", "onnx-fp16"]);
}

#[test]
fn a_fat_package_takes_the_engines_of_a_precision() {
    let text = format!(
        "{SMALL}[export]\nprecisions = [\"fp32\", \"fp16\"]\n[compile]\ngpus = [\"l4\", \"t4\"]\n[package]\nplatforms = [\"tensorrt\"]\nfat = true\n"
    );
    let pipeline = read(&text).unwrap();
    let (targets, _) = pipeline.engine_targets(&GpuCatalogue::built_in()).unwrap();
    let packages = pipeline.variants(&targets);
    assert_eq!(packages.iter().map(Variant::id).collect::<Vec<_>>(), ["tensorrt-fp32-sm89", "tensorrt-fp16-sm75-sm89"]);
    let packed = |package: &Variant| targets.iter().filter(|target| pipeline.is_packed(target, package)).count();
    assert_eq!(packages.iter().map(packed).collect::<Vec<_>>(), [1, 2]);
    let both = message(&text.replace("[package]", "fat = true\n[package]"));
    assert!(both.contains("`package.fat`") && both.contains("`compile.fat` already builds one engine"), "{both}");
    let none = message(&text.replace("tensorrt", "onnx"));
    assert!(none.contains("`package.fat`") && none.contains("does not name \"tensorrt\""), "{none}");
}

#[test]
fn t4_keeps_fp16_and_says_why_not_fp32() {
    let text = format!(
        "{SMALL}[export]\nprecisions = [\"fp32\", \"fp16\"]\n[compile]\ngpus = [\"t4\", \"l4\"]\n[package]\nplatforms = [\"onnx\", \"tensorrt\"]\n"
    );
    let pipeline = read(&text).unwrap();
    let (targets, skipped) = pipeline.engine_targets(&GpuCatalogue::built_in()).unwrap();
    let ids: Vec<_> = pipeline.variants(&targets).iter().map(Variant::id).collect();
    assert_eq!(ids, ["onnx-fp32", "onnx-fp16", "tensorrt-fp16-t4", "tensorrt-fp32-l4", "tensorrt-fp16-l4"]);
    assert_eq!(skipped.len(), 1);
    let only_fp32 = text.replace("[\"fp32\", \"fp16\"]", "[\"fp32\"]");
    assert!(read(&only_fp32).unwrap().engine_targets(&GpuCatalogue::built_in()).is_err());
}
