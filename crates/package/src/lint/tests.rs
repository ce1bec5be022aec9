//! Archives with one thing wrong.

use super::*;
use std::io::Write;

const GOOD: &str = "backend: \"planforge\"\nmax_batch_size: 8\ninput { name: \"x\" data_type: TYPE_FP32 dims: 4 }\n\
                    output { name: \"y\" data_type: TYPE_FP32 dims: 4 }\n";

/// A tar.gz of files; paths that end in `/` are folders.
fn archive(folder: &Path, name: &str, entries: &[(&str, &str)]) -> std::path::PathBuf {
    let path = folder.join(name);
    let gzip = flate2::write::GzEncoder::new(fs_err::File::create(&path).unwrap(), flate2::Compression::fast());
    let mut tar = tar::Builder::new(gzip);
    for (entry, text) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o755);
        if entry.ends_with('/') {
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
    // What is no model's is not looked at.
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
    assert_eq!(start(&[("m/config.pbtxt", GOOD)]), "m: there is no version folder, such as `1`");
    assert_eq!(start(&[("m/config.pbtxt", GOOD), ("m/v1/", "")]), "m: no folder is a version, such as `1`: v1");
    let deep = [("r/m/config.pbtxt", GOOD), ("r/m/1/model.onnx", "")];
    assert_eq!(start(&deep), "r: the model lies one folder too deep, in `m`");
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
    let strange = "m/config.pbtxt:5: `sm86` is no compute capability such as `8.6`, so no GPU takes `a.plan`";
    assert_eq!(with("sm86", "m/1/b.plan"), [strange]);
}

#[test]
fn weights_beside_an_engine_must_be_there() {
    let config = GOOD.replace("max_batch_size", "default_model_filename: \"model.plan\"\nmax_batch_size");
    let list = r#"{"format":1,"weights":[{"name":"w","data_type":"fp16","element_count":1,"transform":"identity",
        "sources":[{"file":"model.safetensors","offset":8,"byte_count":2}]}]}"#;
    let with = |list: &str, file: &str| {
        found(&[("m/config.pbtxt", &config), ("m/1/model.plan", ""), ("m/1/model.weights.json", list), (file, "")])
    };
    assert!(with(list, "m/1/model.safetensors").is_empty());
    let missing = "m/1/model.safetensors: weights of the engine lie in this file, says `m/1/model.weights.json`, and it is \
                   missing";
    assert_eq!(with(list, "m/2.safetensors"), [missing]);
    let damaged = with("{}", "m/1/model.safetensors").remove(0);
    assert!(damaged.contains("is not a valid list of weights: missing field"), "{damaged}");
}

#[test]
fn lines_and_answers_are_told() {
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
