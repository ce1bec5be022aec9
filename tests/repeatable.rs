//! Builds of the same are the same: engines that once differed, and the locks of the small models in other surroundings.

#![expect(clippy::print_stderr, reason = "what is left out is printed")]

use crate::parity::checkpoints;
use crate::support::{Workspace, end, end_quietly};
use planforge_core::Lock;
use planforge_testkit::{FixtureCase, repository};
use serde_json::Value;
use std::collections::BTreeSet;
use std::os::unix::fs::{MetadataExt, lchown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds of each engine. Without a heap whose addresses repeat, hardly two of them were the same.
const BUILDS: usize = 5;

/// Digests of the engines of one run, in an environment of `filler` bytes more.
fn engines(workspace: &Workspace, filler: usize) -> Vec<String> {
    let mut command = workspace.command(&["compile", "p.toml", "--json"]);
    command.env("FILLER", "x".repeat(filler));
    let ended = end(command);
    ended.succeeds();
    assert!(!ended.stderr.contains("may differ"), "{}", ended.stderr);
    let report: Value = serde_json::from_str(&ended.stdout).unwrap();
    let rows = report["artifacts"].as_array().unwrap().iter();
    let engines: Vec<_> = rows.filter(|row| row["step"] == "compile").collect();
    assert!(engines.iter().all(|row| row["outcome"] == "built"), "{report}");
    engines.iter().map(|row| row["sha256"].to_string()).collect()
}

fn are_the_same(workspace: impl Fn() -> Workspace + Sync, count: usize) {
    // Some at once, so that their threads run at other times.
    let found: BTreeSet<Vec<String>> = std::thread::scope(|scope| {
        let workspace = &workspace;
        let start = |number| scope.spawn(move || engines(&workspace(), 3000 * number));
        let builds: Vec<_> = (0..BUILDS).map(start).collect();
        builds.into_iter().map(|build| build.join().unwrap()).collect()
    });
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found.first().unwrap().len(), count);
}

#[test]
fn engines_of_convolutional_networks_are_the_same_in_every_build() {
    are_the_same(
        || {
            let workspace = Workspace::empty();
            symlink(repository().join("fixtures/models/timm-resnet50"), workspace.path("model")).unwrap();
            workspace.write(
                "p.toml",
                "name = \"p\"\ntask = \"image-classification\"\n[source]\npath = \"model\"\n[[profiles]]\nbatch = [1, 4, 8]\n\
                 [export]\nprecisions = [\"fp32\", \"fp16\", \"bf16\"]\n[compile]\ngpus = [\"a10g\"]\n\
                 [package]\nplatforms = [\"tensorrt\"]\n",
            );
            workspace
        },
        3,
    );
}

#[test]
fn engines_with_several_outputs_are_the_same_in_every_build() {
    are_the_same(
        || {
            let workspace = Workspace::tiny();
            fs_err::rename(workspace.path("tiny.toml"), workspace.path("p.toml")).unwrap();
            let all = "[compile]\noutputs = [\"last_hidden_state\", \"pooler_output\", \"sentence_embedding\"]";
            workspace.edit("p.toml", "[compile]", all);
            workspace
        },
        3,
    );
}

/// A user other than root.
const NOBODY: u32 = 65534;

/// Names libfaketime, which makes another clock compulsory.
const FAKE_CLOCK: &str = "PLANFORGE_FAKETIME";

/// The small BERT, and pipelines of the small models that `takes` chooses, in one folder.
fn fixtures(takes: impl Fn(&FixtureCase) -> bool) -> (Workspace, Vec<String>) {
    let workspace = Workspace::tiny();
    let mut names = vec!["tiny".to_owned()];
    for FixtureCase { name, folder, task, .. } in checkpoints().into_iter().filter(|fixture| takes(fixture)) {
        fs_err::create_dir(workspace.path(&name)).unwrap();
        for entry in fs_err::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            symlink(&path, workspace.path(&name).join(path.file_name().unwrap())).unwrap();
        }
        let sequence = if task.is_over_images() { "" } else { "sequence = [4, 8, 12]\n" };
        let pipeline = format!(
            "name = \"{name}\"\ntask = \"{task}\"\n[source]\npath = \"{name}\"\n\
             [[profiles]]\nbatch = [1, 2, 4]\n{sequence}[export]\nprecisions = [\"fp32\", \"fp16\"]\n\
             [compile]\ngpus = [\"t4\"]\n[package]\nplatforms = [\"onnx\", \"tensorrt\"]\n"
        );
        workspace.write(&format!("{name}.toml"), &pipeline);
        names.push(name);
    }
    (workspace, names)
}

/// Two builds by the same user may be all that can be had.
fn can_be_another_user(workspace: &Workspace) -> bool {
    let is_root = fs_err::metadata(workspace.path("tiny.toml")).unwrap().uid() == 0;
    let mut command = workspace.command(&["--version"]);
    command.current_dir("/").uid(NOBODY).gid(NOBODY);
    is_root && command.output().is_ok_and(|output| output.status.success())
}

/// libfaketime, where there is one.
fn fake_clock() -> Option<PathBuf> {
    let usual = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";
    let named = std::env::var_os(FAKE_CLOCK).map(PathBuf::from);
    named.or_else(|| Some(PathBuf::from(usual)).filter(|library| library.exists()))
}

fn give_away(folder: &Path) {
    lchown(folder, Some(NOBODY), Some(NOBODY)).unwrap();
    for entry in fs_err::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() {
            give_away(&path);
        }
        lchown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
}

/// Locks of two builds that differ in folder, user, umask, time zone, locale, clock and number of processes.
fn locks_are_the_same(takes: impl Fn(&FixtureCase) -> bool) {
    let ((first, names), (second, _)) = (fixtures(&takes), fixtures(&takes));
    assert!(names.len() > 10, "{names:?}");
    first.planforge(&["lock", "*.toml", "--jobs", "1"]).succeeds();
    let program = second.command(&[]);
    let mut command = Command::new("sh");
    let script = "umask 077; exec \"$0\" lock '*.toml' --jobs 3 --output deeper/elsewhere --cache other";
    command.args(["-c", script]).arg(program.get_program()).current_dir(second.path(""));
    command.env_clear().envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.env("TZ", "Pacific/Kiritimati").env("LC_ALL", "tr_TR.UTF-8").env("USER", "nobody");
    command.env("TMPDIR", second.path("."));
    match fake_clock() {
        Some(library) => {
            command.env("LD_PRELOAD", library).env("FAKETIME", "@2031-02-03 04:05:06");
        }
        None => eprintln!("SKIPPED: no other clock: there is no libfaketime; {FAKE_CLOCK} names it"),
    }
    if can_be_another_user(&second) {
        give_away(second.folder.path());
        command.uid(NOBODY).gid(NOBODY);
    } else {
        eprintln!("SKIPPED: no other user: this is not root, or others cannot reach the program");
    }
    end_quietly(command).succeeds();
    for name in names {
        let [lock, other] = [&first, &second].map(|place| place.path(&format!("{name}.lock")));
        let [text, other] = [&lock, &other].map(|path| fs_err::read_to_string(path).unwrap());
        assert_eq!(text, other, "{name}");
        let lock = Lock::read(&lock).unwrap().unwrap();
        assert_eq!((lock.exports.len(), lock.archives.len()), (2, lock.engines.len() + 2), "{name}");
        assert!(!lock.engines.is_empty(), "{name}");
    }
}

#[test]
fn two_builds_in_different_surroundings_give_the_same_locks() {
    locks_are_the_same(|fixture| fixture.representative);
}

#[test]
#[ignore = "takes minutes: scripts/repeat-locks"]
fn two_builds_of_all_fixtures_give_the_same_locks() {
    locks_are_the_same(|_| true);
}
