//! Nothing hangs, nothing takes all memory, and exit code 0 means done: files that never end, images of too many pixels,
//! output that cannot be written, values that are not numbers, and what names and URLs may show.

use crate::support::{Workspace, end, tiny_vit};
use planforge_testkit::{TinyBert, repository};
use serde_json::Value;
use std::fs::OpenOptions;
use std::path::Path;
use std::process::{Command, Stdio};

/// The smallest ViT, exported in fp32.
fn vit() -> Workspace {
    tiny_vit(
        "name = \"vit\"\ntask = \"image-classification\"\n[source]\npath = \"model\"\n[[profiles]]\nbatch = [1, 2, 4]\n\
         [export]\nprecisions = [\"fp32\"]\n[package]\nplatforms = [\"onnx\"]\n",
    )
}

fn make_pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn output_that_is_not_written_is_an_error_and_a_closed_pipe_is_none() {
    let workspace = Workspace::tiny();
    let commands: [&[&str]; 6] =
        [&["gpus"], &["gpus", "--json"], &["doctor"], &["inspect", "tiny.toml"], &["--help"], &["--version"]];
    for arguments in commands {
        let mut command = workspace.command(arguments);
        command.stdout(OpenOptions::new().write(true).open("/dev/full").unwrap()).stderr(Stdio::piped());
        let output = command.output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(3), "{arguments:?}: {stderr}");
        assert!(stderr.contains("failed to write to standard output: No space left on device"), "{stderr}");
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = workspace.command(arguments);
        let status = command.stdout(writer).stderr(Stdio::null()).status().unwrap();
        assert_eq!(status.code(), Some(0), "{arguments:?}");
    }
}

#[test]
fn pipes_and_devices_in_place_of_files_are_refused_and_not_waited_for() {
    let words: &[&str] = &["is a pipe, socket or device; expected a file"];
    for file in ["model/config.json", "model/tokenizer.json", "model/model.safetensors", "model/modules.json"] {
        let workspace = Workspace::tiny();
        drop(fs_err::remove_file(workspace.path(file)));
        make_pipe(&workspace.path(file));
        workspace.planforge(&["export", "tiny.toml"]).fails(2, words);
        fs_err::remove_file(workspace.path(file)).unwrap();
        std::os::unix::fs::symlink("/dev/zero", workspace.path(file)).unwrap();
        workspace.planforge(&["export", "tiny.toml"]).fails(2, words);
    }
    let workspace = vit();
    make_pipe(&workspace.path("pipe"));
    make_pipe(&workspace.path("pipe.toml"));
    make_pipe(&workspace.path("pipe.onnx"));
    make_pipe(&workspace.path("pipe.tar.gz"));
    make_pipe(&workspace.path("pipe.plan"));
    let commands: [&[&str]; 9] = [
        &["plan", "pipe.toml"],
        &["lint", "pipe.tar.gz"],
        &["gpus", "--catalogue", "pipe"],
        &["report", "pipe"],
        &["inspect", "pipe.onnx"],
        &["inspect", "pipe.tar.gz"],
        &["inspect", "pipe.plan"],
        &["infer", "vit.toml", "--image", "pipe"],
        &["infer", "vit.toml", "--image", "/dev/zero"],
    ];
    for arguments in commands {
        workspace.planforge(arguments).fails(2, words);
    }
    make_pipe(&workspace.path("vit.lock"));
    workspace.planforge(&["package", "vit.toml"]).fails(2, words);
}

#[test]
fn files_beyond_a_limit_are_refused_with_limit_and_size() {
    let workspace = Workspace::tiny();
    let lengthen = |file: &str, byte_count: u64| {
        OpenOptions::new().append(true).create(true).open(workspace.path(file)).unwrap().set_len(byte_count).unwrap();
    };
    lengthen("large", (1 << 20) + 1);
    let large: &[&str] = &["`large` is too large: 1048577 bytes; expected at most 1048576"];
    workspace.planforge(&["gpus", "--catalogue", "large"]).fails(2, large);
    lengthen("large.json", (64 << 20) + 1);
    let large: &[&str] = &["is too large: 67108865 bytes; expected at most 67108864"];
    workspace.planforge(&["report", "large.json"]).fails(2, large);
    lengthen("graph.onnx", 1 << 31);
    let large: &[&str] = &["graph.onnx` is too large: 2147483648 bytes; expected at most 2147483647"];
    workspace.planforge(&["inspect", "graph.onnx"]).fails(2, large);
    lengthen("model/config.json", (64 << 20) + 1);
    workspace.planforge(&["export", "tiny.toml"]).fails(2, &["config.json` is too large: 67108865 bytes"]);
    lengthen("tiny.toml", (1 << 20) + 1);
    workspace.planforge(&["plan", "tiny.toml"]).fails(2, &["tiny.toml` is too large: 1048577 bytes"]);
}

#[test]
fn a_source_that_is_a_whole_disk_is_refused() {
    let workspace = Workspace::tiny();
    // A folder that contains itself has files without end.
    std::os::unix::fs::symlink(".", workspace.path("model/one")).unwrap();
    std::os::unix::fs::symlink(".", workspace.path("model/two")).unwrap();
    let words: &[&str] = &["model` has more than 100000 files; expected the folder of one checkpoint"];
    workspace.planforge(&["export", "tiny.toml"]).fails(2, words);
}

#[test]
fn images_that_are_truncated_or_too_large_are_refused() {
    let workspace = vit();
    let jpeg = fs_err::read(workspace.path("tall.jpg")).unwrap();
    for length in [jpeg.len() - 1, jpeg.len() - 2, jpeg.len() / 2] {
        fs_err::write(workspace.path("cut.jpg"), &jpeg[..length]).unwrap();
        let words = ["cannot read image `cut.jpg`: the file is truncated: it ends after", &format!("{length} bytes")];
        workspace.planforge(&["infer", "vit.toml", "--image", "cut.jpg"]).fails(2, &words);
    }
    workspace.edit("vit.toml", "[export]", "[export]\nsamples = [\"cut.jpg\"]");
    workspace.planforge(&["check", "vit.toml"]).fails(2, &["cut.jpg", "the file is truncated"]);
    let mut bomb = jpeg;
    let place = bomb.windows(2).position(|marker| marker == [0xff, 0xc0]).unwrap() + 5;
    bomb[place..place + 4].copy_from_slice(&[0xff, 0xdc, 0xff, 0xdc]);
    fs_err::write(workspace.path("bomb.jpg"), bomb).unwrap();
    let words: &[&str] = &["`bomb.jpg`: it has 65500x65500 pixels; expected at most 89478485 pixels"];
    workspace.planforge(&["infer", "vit.toml", "--image", "bomb.jpg"]).fails(2, words);
}

#[test]
fn image_sizes_of_a_configuration_are_bounded() {
    let workspace = vit();
    let file = workspace.path("model/config.json");
    let mut config: Value = serde_json::from_slice(&fs_err::read(&file).unwrap()).unwrap();
    config["model_args"].as_object_mut().unwrap().remove("img_size");
    config["pretrained_cfg"]["input_size"] = serde_json::json!([3, 100_000, 100_000]);
    fs_err::write(&file, config.to_string()).unwrap();
    let words: &[&str] = &["invalid image size [100000, 100000]; expected [height, width] of 1 to 16384 pixels each"];
    workspace.planforge(&["export", "vit.toml"]).fails(2, words);
}

#[test]
fn weights_that_are_not_finite_are_refused_by_name() {
    for (value, shown) in [(f32::NAN, "NaN"), (f32::INFINITY, "inf")] {
        let workspace = vit();
        let file = workspace.path("model/model.safetensors");
        let mut bytes = fs_err::read(&file).unwrap();
        let header_length = usize::try_from(u64::from_le_bytes(*bytes.first_chunk().unwrap())).unwrap();
        let header: Value = serde_json::from_slice(&bytes[8..8 + header_length]).unwrap();
        let offset = usize::try_from(header["head.weight"]["data_offsets"][0].as_u64().unwrap()).unwrap();
        let place = 8 + header_length + offset;
        bytes[place..place + 4].copy_from_slice(&value.to_le_bytes());
        fs_err::write(&file, bytes).unwrap();
        let words = format!("value of tensor `head.weight` out of range for fp32: {shown}");
        for arguments in
            [&["export", "vit.toml"][..], &["check", "vit.toml", "--json"], &["infer", "vit.toml", "--json"]]
        {
            let ended = workspace.planforge(arguments);
            ended.fails(2, &[&words]);
            assert_eq!(ended.stdout, "");
        }
    }
}

#[test]
fn outputs_that_are_not_finite_are_errors_and_never_null() {
    let workspace = vit();
    // Finite weights whose products overflow.
    let file = workspace.path("model/model.safetensors");
    let mut bytes = fs_err::read(&file).unwrap();
    let header_length = usize::try_from(u64::from_le_bytes(*bytes.first_chunk().unwrap())).unwrap();
    let header: Value = serde_json::from_slice(&bytes[8..8 + header_length]).unwrap();
    for name in ["head.weight", "norm.weight"] {
        let [start, end] = [0, 1].map(|at| header[name]["data_offsets"][at].as_u64().unwrap() as usize);
        bytes[8 + header_length + start..8 + header_length + end].as_chunks_mut().0.iter_mut().for_each(|value| {
            *value = f32::MAX.to_le_bytes();
        });
    }
    fs_err::write(&file, bytes).unwrap();
    for arguments in
        [&["infer", "vit.toml", "--image", "wide.png"][..], &["infer", "vit.toml", "--image", "wide.png", "--json"]]
    {
        let ended = workspace.planforge(arguments);
        ended.fails(4, &["output `OUTPUT__0` has values that are not finite: ", "expected finite numbers"]);
        assert_eq!(ended.stdout, "");
    }
    let ended = workspace.planforge(&["check", "vit.toml", "--json"]);
    ended.fails(4, &["output `OUTPUT__0` of `onnx-fp32` cannot be compared", "NaN or infinite values"]);
    assert_eq!(ended.stdout, "");
}

#[test]
fn names_from_elsewhere_do_not_control_the_terminal() {
    let workspace = vit();
    let file = workspace.path("model/config.json");
    let mut config: Value = serde_json::from_slice(&fs_err::read(&file).unwrap()).unwrap();
    let labels = ["\u{1b}[2Jcleared", "two\nlines", "\u{202e}reversed"];
    config["label_names"] = serde_json::json!(labels);
    fs_err::write(&file, config.to_string()).unwrap();
    let ended = workspace.planforge(&["infer", "vit.toml", "--image", "wide.png"]);
    ended.succeeds();
    for shown in ["\\u{1b}[2Jcleared", "two\\nlines", "\\u{202e}reversed"] {
        assert!(ended.stdout.contains(shown), "{}", ended.stdout);
    }
    assert!(!ended.stdout.contains(['\u{1b}', '\u{202e}']), "{}", ended.stdout);
    config["architecture"] = "\u{1b}]0;title\u{7}\nhint: run rm".into();
    fs_err::write(&file, config.to_string()).unwrap();
    let ended = workspace.planforge(&["export", "vit.toml"]);
    ended.fails(2, &["\\u{1b}]0;title\\u{7}\\nhint: run rm"]);
    assert!(!ended.stderr.contains(['\u{1b}', '\u{7}']), "{}", ended.stderr);
}

#[test]
fn passwords_and_signatures_are_shown_nowhere() {
    let workspace = Workspace::tiny();
    workspace.edit("tiny.toml", "path = \"model\"", "repo = \"someone/model\"");
    let url = "http://someone:secret@127.0.0.1:1/x?X-Amz-Signature=secret";
    let mut command = workspace.command(&["fetch", "tiny.toml", "-v", "-v"]);
    command.env_remove("HF_HUB_OFFLINE").env("HF_ENDPOINT", url).env("HF_TOKEN", "hf_secret");
    // A listener would be found, and pauses between attempts take long.
    let child = command.stdin(Stdio::null()).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1500));
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let output = child.wait_with_output();
    let output = output.unwrap();
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(text.contains("http://***@127.0.0.1:1/") && !text.contains("secret"), "{text}");
    let workspace = Workspace::tiny();
    workspace.package_without_engines("[\"onnx\"]");
    let ended =
        workspace.planforge(&["infer", "tiny.toml", "--text", "a", "--url", "http://someone:secret@127.0.0.1:1"]);
    ended.fails(1, &["http://127.0.0.1:1/endpoints/tiny/invocations"]);
    assert!(!ended.stderr.contains("secret"), "{}", ended.stderr);
}

#[test]
fn tokens_that_cannot_be_sent_are_named_as_such() {
    for (token, what) in [("hf_a\nhf_b", "it has several lines"), ("hf_ä", "not ASCII"), ("hf a", "blanks")] {
        let workspace = Workspace::tiny();
        workspace.edit("tiny.toml", "path = \"model\"", "repo = \"someone/model\"");
        let mut command = workspace.command(&["fetch", "tiny.toml"]);
        command.env_remove("HF_HUB_OFFLINE").env("HF_ENDPOINT", "http://127.0.0.1:1").env("HF_TOKEN", token);
        let ended = end(command);
        ended.fails(2, &["invalid access token: ", what, "HF_TOKEN"]);
        assert!(!ended.stderr.contains("hf_"), "{}", ended.stderr);
    }
}

#[test]
fn a_folder_whose_name_is_not_unicode_is_refused() {
    use std::os::unix::ffi::OsStrExt;
    let workspace = Workspace::empty();
    let folder = workspace.folder.path().join(std::ffi::OsStr::from_bytes(b"odd-\xff"));
    fs_err::create_dir(&folder).unwrap();
    TinyBert::default().write(&folder.join("model")).unwrap();
    fs_err::copy(repository().join("pipelines/all-MiniLM-L6-v2.toml"), folder.join("tiny.toml")).unwrap();
    let mut command = workspace.command(&["plan", "tiny.toml"]);
    let ended = end({
        command.current_dir(&folder);
        command
    });
    ended.fails(2, &["odd-", "is not UTF-8"]);
    let mut command = workspace.command(&["plan"]);
    command.arg(folder.join("tiny.toml"));
    end(command).fails(2, &["odd-", "is not UTF-8"]);
}
