//! Full disks and folders that cannot be written: the error, and that nothing is lost or half-written.

#![expect(clippy::print_stderr, reason = "a skipped test prints why")]

use crate::support::{Ended, Workspace, end_quietly};
use std::process::Command;

/// Runs the program with a small file system mounted on a folder of the workspace, in a mount namespace of its own; what is
/// then in that folder is printed to standard output, because only this process sees it.
fn with_mounted(workspace: &Workspace, options: &str, folder: &str, arguments: &[&str]) -> Ended {
    let script = r#"mount -t tmpfs -o "$0" tmpfs "$1" || exit 99; folder=$1; shift; "$@"; code=$?
                    find "$folder" ! -type d; exit $code"#;
    in_namespace(workspace, (script, options), folder, arguments)
}

/// Runs the program, which must succeed, with such a file system, then once more with `further` arguments when nothing can
/// be written there.
fn again_read_only(workspace: &Workspace, folder: &str, arguments: &[&str], further: &str) -> Ended {
    let script = r#"mount -t tmpfs tmpfs "$1" || exit 99; folder=$1; shift; "$@" >&2 || exit 98
                    mount -o remount,ro "$folder" || exit 97; "$@" $0; code=$?
                    find "$folder" ! -type d; exit $code"#;
    in_namespace(workspace, (script, further), folder, arguments)
}

/// Runs a script whose arguments are a word as `$0`, a folder of the workspace, and the program's command line.
fn in_namespace(workspace: &Workspace, (script, word): (&str, &str), folder: &str, arguments: &[&str]) -> Ended {
    let inner = workspace.command(arguments);
    fs_err::create_dir_all(workspace.path(folder)).unwrap();
    let mut command = Command::new("unshare");
    command.args(["--mount", "--map-root-user", "sh", "-c", script, word]).arg(workspace.path(folder));
    command.arg(inner.get_program()).args(inner.get_args()).current_dir(workspace.folder.path()).env_clear();
    command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    end_quietly(command)
}

/// Whether this machine lets tests mount a file system; prints why not.
pub(crate) fn can_mount() -> bool {
    let mut probe = Command::new("unshare");
    probe.args(["--mount", "--map-root-user", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]);
    let ended = end_quietly(probe);
    if !ended.status.success() {
        eprintln!("SKIPPED: nothing can be mounted here: {}", ended.stderr.trim());
    }
    ended.status.success()
}

/// A pipeline with one ONNX package, which is made.
fn packaged() -> (Workspace, u64) {
    let workspace = Workspace::tiny();
    workspace.package_without_engines("[\"onnx\"]");
    workspace.edit("tiny.toml", "precisions = [\"fp32\", \"fp16\"]", "precisions = [\"fp32\"]");
    workspace.planforge(&["package", "tiny.toml"]).succeeds();
    let archive = workspace.path("planforge-out/tiny/archives/onnx-fp32/tiny.tar.gz");
    let byte_count = fs_err::metadata(archive).unwrap().len();
    (workspace, byte_count)
}

#[test]
fn a_full_disk_is_named_and_leaves_no_half_archive() {
    if !can_mount() {
        return;
    }
    let (workspace, byte_count) = packaged();
    let archives = "planforge-out/.cache/archives";
    let half = format!("size={}k", byte_count / 2048);
    let full = with_mounted(&workspace, &half, archives, &["package", "tiny.toml"]);
    full.fails(3, &["tiny.tar.gz`", "No space left on device", "hint: free some space", "planforge cache prune"]);
    assert!(full.stdout.lines().all(|file| file.ends_with(".lock")), "this is left of it: {}", full.stdout);
    // What was there before is still whole.
    workspace.planforge(&["cache", "check"]).succeeds();
    let report = workspace.json(&["package", "tiny.toml"]);
    let package = report["artifacts"].as_array().unwrap().iter().find(|row| row["step"] == "package").unwrap();
    assert_eq!(package["outcome"], "cached");
}

#[test]
fn a_full_or_read_only_store_is_named_and_gets_no_half_copy() {
    if !can_mount() {
        return;
    }
    let (workspace, byte_count) = packaged();
    let url = format!("file://{}", workspace.path("store").display());
    workspace.edit("tiny.toml", "[load]", &format!("[store]\nurl = \"{url}\"\n\n[load]"));
    let publish = |options: &str| with_mounted(&workspace, options, "store", &["publish", "tiny.toml", "--quiet"]);
    let full = publish(&format!("size={}k", byte_count / 2048));
    full.fails(3, &["store/tiny/onnx-fp32/", "No space left on device", "hint: free some space", "store.url"]);
    assert_eq!(full.stdout.trim(), "", "nothing is left of it");
    let read_only = publish("ro");
    read_only.fails(3, &["store/tiny", "Read-only file system", "hint: choose another folder", "store.url"]);
    // With room for one archive there is room for all copies of it.
    let roomy = publish(&format!("size={}k", byte_count / 1024 + 64));
    roomy.succeeds();
    assert_eq!(roomy.stdout.matches("tiny-v").count(), 3, "{}", roomy.stdout);
}

#[test]
fn a_read_only_store_that_holds_everything_is_left_as_it_is() {
    if !can_mount() {
        return;
    }
    let (workspace, _) = packaged();
    let url = format!("file://{}", workspace.path("store").display());
    workspace.edit("tiny.toml", "[load]", &format!("[store]\nurl = \"{url}\"\n\n[load]"));
    let publish = |further: &str| again_read_only(&workspace, "store", &["publish", "tiny.toml", "--quiet"], further);
    let same = publish("--copies=3");
    same.succeeds();
    assert_eq!(same.stdout.matches("tiny-v").count(), 3, "{}", same.stdout);
    assert!(same.stdout.contains("tiny.tar.gz.intoto.json"), "{}", same.stdout);
    publish("--copies=4").fails(3, &["store/tiny/onnx-fp32", "Read-only file system", "hint: choose another folder"]);
}

/// A folder as Kubernetes mounts a ConfigMap: files are links into one of its folders, and nothing can be written.
const CONFIG_MAP: &str = r#"mount -t tmpfs tmpfs "$1" || exit 99; folder=$1; shift; mkdir "$folder/..2026" || exit 98
    cp $0 "$folder/..2026" && ln -s ..2026 "$folder/..data" || exit 98
    for file in $0; do ln -s "..data/$file" "$folder/$file" || exit 98; done
    mount -o remount,ro "$folder" || exit 97; "$@""#;

#[test]
fn a_read_only_pipeline_folder_serves_all_commands() {
    if !can_mount() {
        return;
    }
    let workspace = Workspace::tiny();
    workspace.package_without_engines("[\"onnx\"]");
    workspace.edit("tiny.toml", "path = \"model\"", &format!("path = \"{}\"", workspace.path("model").display()));
    let run = |files: &str, arguments: &[&str]| {
        in_namespace(&workspace, (CONFIG_MAP, files), "config", arguments).succeeds();
    };
    let own = workspace.path("planforge-out/tiny/tiny.lock");
    let file = "config/tiny.toml";
    for arguments in [
        &["fetch", file][..],
        &["export", file],
        &["check", file],
        &["inspect", file],
        &["plan", file, "--gpu", "l4"],
        &["infer", file, "--text", "the cat"],
        &["package", file],
        &["lock", file, "--update"],
        &["publish", file],
        &["publish", file, "--locked"],
        &["verify", file],
        &["probe", file],
        &["load", file],
        &["run", file],
        &["unpublish", file],
    ] {
        run("tiny.toml", arguments);
    }
    let lock = fs_err::read_to_string(&own).unwrap();
    assert!(lock.contains("[archives.onnx-fp32]"), "{lock}");
    // One next to the pipeline file is read before the other.
    fs_err::rename(&own, workspace.path("tiny.lock")).unwrap();
    run("tiny.toml tiny.lock", &["package", file, "--locked"]);
    run("tiny.toml tiny.lock", &["package", file]);
    workspace.edit("tiny.lock", "[archives.onnx-fp32]", "[archives.onnx-bf16]");
    let locked =
        in_namespace(&workspace, (CONFIG_MAP, "tiny.toml tiny.lock"), "config", &["package", file, "--locked"]);
    locked.fails(4, &["the lock `config/tiny.lock` does not hold"]);
    // A file that was named is the only one.
    let named = ["package", file, "--lock", "locks/a.lock"];
    run("tiny.toml tiny.lock", &named);
    assert_eq!(fs_err::read_to_string(workspace.path("locks/a.lock")).unwrap(), lock);
    let nowhere = ["package", file, "--lock", "config/b.lock", "--output", "other"];
    let ended = in_namespace(&workspace, (CONFIG_MAP, "tiny.toml"), "config", &nowhere);
    ended.fails(3, &["the lock `config/b.lock` cannot be written", "Read-only file system"]);
    assert!(!workspace.path("other").exists(), "it is found before anything is made");
    let two = ["package", file, "tiny.toml", "--lock", "x.lock"];
    in_namespace(&workspace, (CONFIG_MAP, "tiny.toml"), "config", &two)
        .fails(2, &["--lock names the lock of one pipeline"]);
}
