//! Archives with one thing wrong.

use super::*;
use planforge_archive::{Content, Entries};
use std::io::Write;
use std::path::Path;

const GOOD: &str = "backend: \"planforge\"\nmax_batch_size: 8\ninput { name: \"x\" data_type: TYPE_FP32 dims: 4 }\n\
                    output { name: \"y\" data_type: TYPE_FP32 dims: 4 }\n";

/// A tar.gz of files, of which those without a text have a letter; paths that end in `/` are folders.
fn archive(folder: &Path, name: &str, entries: &[(&str, &str)]) -> std::path::PathBuf {
    let path = folder.join(name);
    let gzip = flate2::write::GzEncoder::new(fs_err::File::create(&path).unwrap(), flate2::Compression::fast());
    let mut tar = tar::Builder::new(gzip);
    for (entry, text) in entries {
        let mut header = tar::Header::new_gnu();
        let is_folder = entry.ends_with('/');
        let text = if text.is_empty() && !is_folder { "x" } else { text };
        header.set_size(text.len() as u64);
        header.set_mode(0o755);
        if is_folder {
            header.set_entry_type(tar::EntryType::Directory);
        }
        tar.append_data(&mut header, entry, text.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap().flush().unwrap();
    path
}

fn found(entries: &[(&str, &str)]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let findings = lint(&archive(folder.path(), "m.tar.gz", entries)).unwrap();
    findings.iter().map(|finding| format!("{}: {}", finding.place, finding.message)).collect()
}

#[test]
fn good_archives_have_no_findings() {
    assert!(found(&[("m/config.pbtxt", GOOD), ("m/1/model.onnx", "")]).is_empty());
    assert!(found(&[("./config.pbtxt", GOOD), ("./1/model.onnx", ""), ("README", "")]).is_empty());
}

#[test]
fn archives_that_want_too_much_are_not_read() {
    let long = format!("{GOOD}{}", "# Long.\n".repeat(1 << 18));
    let refused = "m.tar.gz: `m/config.pbtxt` is larger than 1048576 bytes";
    assert_eq!(found(&[("m/config.pbtxt", &long), ("m/1/model.onnx", "")]), [refused]);
    // Files that are not a model's are not read.
    let elsewhere = [("m/a/config.pbtxt", long.as_str()), ("m/my.config.pbtxt", &long)];
    assert!(found(&[&elsewhere[..], &[("m/config.pbtxt", GOOD), ("m/1/model.onnx", "")]].concat()).is_empty());
    let lists: Vec<String> = (0..5).map(|number| format!("m/1/{number}.weights.json")).collect();
    let list = " ".repeat(15 << 20);
    let lists: Vec<(&str, &str)> = lists.iter().map(|path| (path.as_str(), list.as_str())).collect();
    assert_eq!(found(&lists), ["m.tar.gz: its paths and configurations take more than 67108864 bytes of memory"]);
}

#[test]
fn layouts_are_checked() {
    let start = |entries: &[(&str, &str)]| found(entries).remove(0);
    assert_eq!(start(&[]), ".: there is neither a folder nor a `config.pbtxt` at the top");
    assert_eq!(start(&[("m/config.pbtxt", GOOD)]), "m: the version folder, such as `1`, is missing");
    assert_eq!(start(&[("m/config.pbtxt", GOOD), ("m/v1/", "")]), "m: no folder is a version, such as `1`: v1");
    let deep = [("r/m/config.pbtxt", GOOD), ("r/m/1/model.onnx", "")];
    assert_eq!(start(&deep), "r: the model is one folder too deep, in `m`");
    assert!(start(&[("a/config.pbtxt", GOOD), ("b/1/", "")]).contains("several folders at the top"));
    assert_eq!(start(&[("m/config.pbtxt", GOOD), ("m/1/", "")]), "m/1/model.onnx: the model's file is missing");
}

#[test]
fn files_for_single_gpus_must_be_there() {
    let map = |key: &str| {
        format!(
            "{GOOD}cc_model_filenames [ {{ key: \"{key}\" value: \"a.plan\" }}, {{ key: \"8.9\" value: \"b.plan\" }} ]"
        )
    };
    let with = |key: &str, file: &str| found(&[("m/config.pbtxt", &map(key)), ("m/1/a.plan", ""), (file, "")]);
    assert!(with("8.6", "m/1/b.plan").is_empty());
    let missing = "m/1/b.plan: the model's file for GPUs of compute capability 8.9 is missing";
    assert_eq!(with("8.6", "m/1/c.plan"), [missing]);
    let strange = "m/config.pbtxt:5: invalid compute capability `sm86`; expected e.g. `8.6`; no GPU takes `a.plan`";
    assert_eq!(with("sm86", "m/1/b.plan"), [strange]);
}

#[test]
fn the_backend_of_a_model_determines_its_file() {
    let with = |head: &str, file: &str| {
        found(&[("m/config.pbtxt", &GOOD.replace("backend: \"planforge\"", head)), (file, "")])
    };
    let good = [
        ("backend: \"pytorch\" runtime: \"model.py\"", "m/1/model.py"),
        ("platform: \"tensorflow_savedmodel\"", "m/1/model.savedmodel/saved_model.pb"),
        ("backend: \"tensorflow\"", "m/1/model.graphdef"),
        ("backend: \"openvino\"", "m/1/model.xml"),
        ("backend: \"mine\" platform: \"onnxruntime_onnx\"", "m/1/x"),
        ("", "m/1/model.plan"),
        ("default_model_filename: \"model.py\"", "m/1/model.py"),
    ];
    for (head, file) in good {
        let numbered = |finding: &String| finding.contains("takes outputs by their order");
        let findings = with(head, file);
        assert!(findings.iter().all(numbered), "{head}: {findings:?}");
    }
    for (head, file, message) in [
        ("backend: \"tensorflow\"", "m/1/x", "m/config.pbtxt:1: backend `tensorflow` takes platform"),
        ("backend: \"python\"", "m/1/x", "m/1/model.py: the model's file is missing"),
        (
            "platform: \"onnxruntime\" backend: \"onnxruntime\"",
            "m/1/x",
            "m/config.pbtxt:1: backend `onnxruntime` takes",
        ),
        ("platform: \"foo\"", "m/1/model.onnx", "m/config.pbtxt:1: unknown platform `foo`; expected one of"),
        (
            "default_model_filename: \"b.onnx\"",
            "m/1/b.onnx",
            "m/config.pbtxt: the server knows no backend for `b.onnx`",
        ),
        ("", "m/1/b.onnx", "m/config.pbtxt: the backend is unknown"),
        ("backend: \"x\" platform: \"ensemble\"", "m/1/x", "m/config.pbtxt:1: an ensemble has no backend"),
    ] {
        let findings = with(head, file);
        assert!(findings.iter().any(|finding| finding.starts_with(message)), "{head}: {findings:?}");
    }
}

#[test]
fn every_version_that_is_served_needs_its_file() {
    let with = |policy: &str| {
        found(&[
            ("m/config.pbtxt", &format!("{GOOD}{policy}")),
            ("m/1/", ""),
            ("m/2/model.onnx", ""),
            ("m/3_old/x", ""),
        ])
    };
    assert_eq!(with("version_policy { specific { versions: 2 } }").len(), 2, "of folders alone");
    let missing = |version: u32| format!("m/{version}/model.onnx: the model's file is missing");
    assert_eq!(with("")[0], missing(3));
    assert_eq!(with("version_policy { all { } }")[..2], [missing(1), missing(3)]);
}

/// PyTorch's backend numbers outputs itself where names have no number, unless there are states.
#[test]
fn outputs_of_modules_have_numbers() {
    let with = |extra: &str| {
        let config = GOOD.replace("planforge", "pytorch");
        found(&[("m/config.pbtxt", &format!("{config}{extra}")), ("m/1/model.pt", "")])
    };
    let by_order = "m/config.pbtxt:4: output `y` is not called `<name>__<number>`, so the PyTorch backend takes outputs \
                    by their order";
    assert_eq!(with(""), [by_order]);
    let state = with("sequence_batching { state { } }");
    assert_eq!(
        state,
        ["m/config.pbtxt:4: output `y` of a PyTorch model with states must be called `<name>__<number>`"]
    );
}

#[test]
fn fields_of_newer_servers_are_warned_about() {
    let config = "platform: \"torch_aoti\"\ninput { name: \"x\" data_type: TYPE_FP32 dims: 4 }\n\
                  output { name: \"y__0\" data_type: TYPE_FP32 dims: 4 }\nmodel_metrics { }";
    let said = |line: u32, release| {
        format!("m/config.pbtxt:{line}: Triton takes it since release {release}, and refuses it before")
    };
    assert_eq!(found(&[("m/config.pbtxt", config), ("m/1/model.pt2", "")]), [said(4, "24.11"), said(1, "26.03")]);
}

#[test]
fn warm_ups_are_requests_that_the_model_takes() {
    let with = |backend: &str, warmup: &str| {
        let config = format!("{}model_warmup {{ batch_size: {warmup} }}", GOOD.replace("planforge", backend));
        found(&[("m/config.pbtxt", &config), ("m/1/model.onnx", ""), ("m/warmup/x", "0123456789abcdef")])
    };
    let input = |name: &str, rest: &str| format!("inputs {{ key: \"{name}\" value {{ {rest} }} }}");
    let good = input("x", "data_type: 11 dims: 4 input_data_file: \"x\"");
    assert!(with("onnxruntime", &format!("1 {good}")).is_empty());
    let place = "m/config.pbtxt:5: ";
    assert_eq!(with("onnxruntime", "1"), [format!("{place}a warm-up lacks input `x`")]);
    let other = format!("1 {good} {}", input("z", "dims: 4 zero_data: true"));
    let unknown = [format!("{place}warm-up input `z` is none of the model's")];
    assert_eq!(with("onnxruntime", &other), unknown);
    let fatal = "a warm-up that fails crashes the whole server";
    assert_eq!(with("planforge", &other), [format!("{}; {fatal}", unknown[0])]);
    let config = GOOD.replace("TYPE_FP32", "TYPE_BOOL");
    let random = input("x", "data_type: TYPE_BOOL dims: 4 random_data: true");
    let config = format!("{config}model_warmup {{ batch_size: 1 {random} }}");
    let random = found(&[("m/config.pbtxt", &config), ("m/1/model.onnx", "")]);
    assert_eq!(random, [format!("{place}warm-up input `x` has random bytes, and of TYPE_BOOL 0 and 1 alone; {fatal}")]);
    let wrong = input("x", "data_type: TYPE_INT8 dims: [ 2, -1 ] input_data_file: \"y\"");
    assert_eq!(
        with("onnxruntime", &format!("1 {wrong}")),
        [
            format!("{place}warm-up input `x` has a dimension of -1"),
            format!("{place}warm-up file `warmup/y` is missing"),
            format!("{place}warm-up input `x` has data type TYPE_INT8, and the model's has TYPE_FP32"),
            format!("{place}warm-up input `x` has dims [2, -1], and the model's has [4]"),
        ]
    );
    let skipped = format!("{place}a warm-up with a `batch_size` of 0 is left out without a word");
    assert_eq!(with("onnxruntime", &format!("0 {wrong}")), [skipped]);
}

#[test]
fn settings_for_cuda_are_for_engines() {
    let cuda = "optimization { cuda { graphs: true graph_spec { batch_size: 9 } } }";
    let with = |head: &str, file: &str| {
        let config = GOOD.replace("backend: \"planforge\"", head);
        found(&[("m/config.pbtxt", &format!("{config}{cuda}")), (file, "")])
    };
    let unread = "m/config.pbtxt:5: only the TensorRT backend reads it, and planforge's for engines";
    assert_eq!(with("backend: \"planforge\"", "m/1/model.onnx"), [unread]);
    assert!(with("backend: \"planforge\" default_model_filename: \"model.plan\"", "m/1/model.plan").is_empty());
    let batch = "m/config.pbtxt:5: a graph's batch of 9 does not go with `max_batch_size`, 8";
    assert_eq!(with("backend: \"tensorrt\"", "m/1/model.plan"), [batch]);
}

#[test]
fn tags_of_metrics_are_labels_of_prometheus() {
    let with = |key: &str| {
        let config = format!("{GOOD}metric_tags {{ key: \"{key}\" value: \"b\" }}\nresponse_cache {{ enable: false }}");
        found(&[("m/config.pbtxt", &config), ("m/1/model.onnx", "")])
    };
    assert!(with("team_1").is_empty());
    for key in ["équipe", "1", "__team", "", "a b"] {
        assert!(with(key)[0].ends_with("letters, digits and `_`; it crashes the whole server"), "{key}");
    }
}

#[test]
fn models_of_an_ensemble_are_checked() {
    let step = "step { model_name: \"a\" model_version: -1 input_map { key: \"x\" value: \"x\" } output_map { key: \"y\" value: \"y\" } }";
    let tensors = GOOD.replace("backend: \"planforge\"\n", "").replace('\n', " ");
    let ensemble = format!("platform: \"ensemble\" {tensors} ensemble_scheduling {{ {step} }}");
    let with =
        |files: &[(&str, &str)]| found(&[&[("e/config.pbtxt", ensemble.as_str()), ("e/1/", "")], files].concat());
    assert!(with(&[("a/config.pbtxt", GOOD), ("a/1/model.onnx", "")]).is_empty());
    assert_eq!(with(&[("b/1/", "")]), ["e/config.pbtxt:1: model `a` of the ensemble is missing"]);
    assert_eq!(with(&[("a/config.pbtxt", GOOD)]), ["a: the version folder, such as `1`, is missing"]);
    assert_eq!(with(&[("a/config.pbtxt", GOOD), ("a/1/", "")]), ["a/1/model.onnx: the model's file is missing"]);
    assert!(with(&[("a/config.pbtxt", "nonsense"), ("a/1/", "")])[0].starts_with("a/config.pbtxt: "));
    let broken = with(&[("a/config.pbtxt", GOOD), ("a/1/model.onnx", ""), ("f/config.pbtxt", "nonsense")]);
    assert!(broken.is_empty(), "what the ensemble is not made of is not looked at: {broken:?}");
    let of_two = format!("{ensemble} nonsense");
    let findings = found(&[("e/config.pbtxt", &of_two), ("e/1/", ""), ("a/1/", "")]);
    assert_eq!(findings, ["e/config.pbtxt: `config.pbtxt` line 1: expected `:` or `{` after `nonsense`"]);
    let alone = |text: &str| found(&[("e/config.pbtxt", text), ("e/1/", "")]);
    assert_eq!(alone("platform: \"ensemble\""), ["e/config.pbtxt:1: an ensemble needs `ensemble_scheduling`"]);
    let itself = alone(&ensemble.replace("\"a\"", "\"e\""));
    assert_eq!(itself, ["e/config.pbtxt:1: ensemble `e` is made of itself"]);
    let empty = alone("platform: \"ensemble\" ensemble_scheduling { step { model_name: \"\" } }");
    assert_eq!(empty.len(), 3, "{empty:?}");
}

#[test]
fn weights_next_to_an_engine_must_exist() {
    let config = GOOD.replace("max_batch_size", "default_model_filename: \"model.plan\"\nmax_batch_size");
    let list = r#"{"format":1,"weights":[{"name":"w","data_type":"fp16","element_count":1,"transform":"identity",
        "sources":[{"file":"model.safetensors","offset":8,"byte_count":2}]}]}"#;
    let with = |list: &str, file: &str| {
        found(&[("m/config.pbtxt", &config), ("m/1/model.plan", ""), ("m/1/model.weights.json", list), (file, "")])
    };
    assert!(with(list, "m/1/model.safetensors").is_empty());
    let missing = "m/1/model.safetensors: the file is missing, and `m/1/model.weights.json` names it for weights of the \
                   engine";
    assert_eq!(with(list, "m/2.safetensors"), [missing]);
    let corrupt = with("{}", "m/1/model.safetensors").remove(0);
    assert!(corrupt.contains("is not a valid list of weights: missing field"), "{corrupt}");
}

#[test]
fn findings_have_a_line_and_the_servers_response() {
    let folder = tempfile::tempdir().unwrap();
    let text = GOOD.replace("dims: 4 }\noutput", "dims: 0 }\noutput");
    let entries = [("m/config.pbtxt", text.as_str()), ("m/1/model.onnx", "")];
    let findings = lint(&archive(folder.path(), "MUSHROOM.tar.gz", &entries)).unwrap();
    assert_eq!((findings[0].severity, findings[0].place.as_str()), (Severity::Error, "m/config.pbtxt:3"));
    assert!(findings[0].answer.as_deref().unwrap().starts_with("model input 'x' dimension must be integer >= 1"));
    assert!(findings[1].message.contains("`OOM`"), "{findings:?}");
    fs_err::write(folder.path().join("no.tar.gz"), "no archive").unwrap();
    assert_eq!(lint(&folder.path().join("no.tar.gz")).unwrap()[0].severity, Severity::Error);
}

/// What is found in files with these bytes.
fn found_in(files: &[(&str, &[u8])]) -> Vec<String> {
    let entries = files.iter().map(|(path, bytes)| ((*path).to_owned(), Content::Bytes(bytes.to_vec())));
    let findings = lint_entries(&entries.collect::<Entries>());
    findings.iter().map(|finding| format!("{}: {}", finding.place, finding.message)).collect()
}

#[test]
fn strings_of_a_warm_up_are_counted() {
    let config = GOOD.replace("TYPE_FP32 dims: 4 }\noutput", "TYPE_STRING dims: 2 }\noutput");
    let config = format!(
        "{config}model_warmup {{ batch_size: 1 inputs {{ key: \"x\" value {{ \
         data_type: TYPE_STRING dims: 2 input_data_file: \"f\" }} }} }}"
    );
    let with = |bytes: &[u8]| {
        found_in(&[("m/config.pbtxt", config.as_bytes()), ("m/1/model.onnx", b"x"), ("m/warmup/f", bytes)])
    };
    assert!(with(b"\x01\0\0\0a\0\0\0\0").is_empty());
    let message = |found: &str| [format!("m/config.pbtxt:5: warm-up file `warmup/f` is {found}; the tensor has [2]")];
    assert_eq!(with(b"\x01\0\0\0a"), message("1 strings"));
    assert_eq!(with(b"\0\0\0\0\0\0\0\0\0\0\0\0"), message("3 strings"));
    assert_eq!(with(b""), message("0 strings"));
    for bytes in [&b"\x01\0\0\0a\0\0"[..], b"\0\0\0\0\x02\0\0\0a"] {
        assert_eq!(with(bytes), message("not strings, each after its length"));
    }
}

#[test]
fn files_have_bytes() {
    let with = |config: &str, file: &str| found_in(&[("m/config.pbtxt", config.as_bytes()), (file, b"")]);
    assert_eq!(with(GOOD, "m/1/model.onnx"), ["m/1/model.onnx: the model's file is empty"]);
    let python = GOOD.replace("planforge", "python");
    assert_eq!(with(&python, "m/1/model.py"), ["m/1/model.py: the model's file is empty"]);
    let above = format!("{python}default_model_filename: \"../a.py\"");
    let message = "m/config.pbtxt: `../a.py` leads out of the version's folder, where no Python module is found";
    assert_eq!(found(&[("m/config.pbtxt", &above), ("m/a.py", "x"), ("m/1/", "")]), [message]);
    let environment = format!(
        "{python}parameters {{ key: \"EXECUTION_ENV_PATH\" value {{ string_value: \
         \"$$TRITON_MODEL_DIRECTORY/env.tar.gz\" }} }}"
    );
    let with = |file: &str| found(&[("m/config.pbtxt", &environment), ("m/1/model.py", "x"), (file, "x")]);
    assert!(with("m/env.tar.gz").is_empty());
    assert!(with("m/other")[0].ends_with("environment `$$TRITON_MODEL_DIRECTORY/env.tar.gz` is missing"));
    let own = format!("{GOOD}cc_model_filenames {{ key: \"8.6\" value: \"a.plan\" }}").replace("planforge", "python");
    assert!(found(&[("m/config.pbtxt", &own), ("m/1/model.py", "x")]).is_empty(), "Python takes one file for all");
}

/// A tar.gz of files and symbolic links, those with a `->`.
fn with_links(entries: &[(&str, &str)]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.tar.gz");
    let gzip = flate2::write::GzEncoder::new(fs_err::File::create(&path).unwrap(), flate2::Compression::fast());
    let mut tar = tar::Builder::new(gzip);
    for (entry, text) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        if let Some(target) = text.strip_prefix("-> ") {
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_size(0);
            tar.append_link(&mut header, entry, target).unwrap();
        } else {
            header.set_size(text.len() as u64);
            tar.append_data(&mut header, entry, text.as_bytes()).unwrap();
        }
    }
    tar.into_inner().unwrap().finish().unwrap().flush().unwrap();
    let findings = lint(&path).unwrap();
    findings.iter().map(|finding| format!("{:?} {}: {}", finding.severity, finding.place, finding.message)).collect()
}

#[test]
fn links_lead_to_something() {
    let documented = "AWS documents that SageMaker does not extract archives with links";
    let good =
        with_links(&[("m/real", GOOD), ("m/config.pbtxt", "-> real"), ("m/1/a", "x"), ("m/1/model.onnx", "-> a")]);
    let two = format!("Warning m/config.pbtxt: link to `real` and 1 more; {documented}");
    assert_eq!(good, [two], "texts are read through links");
    let with = |link: &str, target: &str| {
        let mut findings = with_links(&[("m/config.pbtxt", GOOD), ("m/1/model.onnx", "x"), (link, target)]);
        findings.retain(|finding| !finding.contains("AWS documents"));
        findings
    };
    assert_eq!(with("m/1/a", "-> b"), ["Error m/1/a: link `m/1/a` to `b`, which is not in the archive"]);
    assert_eq!(with("m/a", "-> /b"), ["Error m/a: link `m/a` to `/b`, which is an absolute path"]);
    assert_eq!(with("m/o/a", "-> b"), ["Warning m/o/a: link `m/o/a` to `b`, which is not in the archive"]);
    assert_eq!(with("a", "-> ../b"), ["Warning a: link `a` to `../b`, which leads out of the archive"]);
    let model = with_links(&[("m/config.pbtxt", GOOD), ("m/1/model.onnx", "-> ../../../x")]);
    let message = "Error m/1/model.onnx: the model's file is link `m/1/model.onnx` to `../../../x`, which leads out of the \
                   archive";
    assert_eq!(model[0], message);
    assert_eq!(model.len(), 2, "it is named once: {model:?}");
}

/// A backend that completes configurations may have what they lack; one that does not may not.
#[test]
fn models_of_an_ensemble_may_be_completed() {
    let step = "step { model_name: \"a\" model_version: -1 input_map { key: \"x\" value: \"x\" } output_map { key: \"y\" value: \"y\" } }";
    let tensors = GOOD.replace("backend: \"planforge\"\n", "");
    let ensemble = format!("platform: \"ensemble\"\n{tensors}ensemble_scheduling {{ {step} }}");
    let with = |config: &str, file: &str, text: &str| {
        let findings = found(&[("e/config.pbtxt", &ensemble), ("e/1/", ""), ("a/config.pbtxt", config), (file, text)]);
        findings.into_iter().filter(|finding| finding.starts_with("e/")).collect::<Vec<_>>()
    };
    let bare = |backend: &str| format!("backend: \"{backend}\"\nmax_batch_size: 8");
    assert!(with(&bare("onnxruntime"), "a/1/model.onnx", "x").is_empty());
    assert!(with(&bare("python"), "a/1/model.py", "def auto_complete_config(config): pass").is_empty());
    let missing = [
        "e/config.pbtxt:5: model `a` has no input `x`, which is to take tensor `x`",
        "e/config.pbtxt:5: model `a` has no output `y`, which is to be tensor `y`",
    ];
    assert_eq!(with(&bare("python"), "a/1/model.py", "def execute(requests): pass"), missing);
    assert_eq!(with(&bare("planforge"), "a/1/model.onnx", "x"), missing);
    let smaller = GOOD.replace("max_batch_size: 8", "max_batch_size: 4");
    let batch = "e/config.pbtxt:5: the ensemble has `max_batch_size` 8, and its model `a` has 4";
    assert_eq!(with(&smaller, "a/1/model.onnx", "x"), [batch]);
}
