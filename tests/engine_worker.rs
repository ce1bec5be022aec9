//! The program that builds engines: found, checked, and the only one with an allocator of its own.

use crate::support::{Workspace, end};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Only the deterministic allocator asks the C library for this by name.
const ALLOCATOR: &[u8] = b"__libc_memalign";

fn contains_allocator(program: &str) -> bool {
    let bytes = fs_err::read(program).unwrap();
    bytes.windows(ALLOCATOR.len()).any(|window| window == ALLOCATOR)
}

#[test]
fn the_deterministic_allocator_is_in_the_engine_worker_alone() {
    assert!(contains_allocator(env!("CARGO_BIN_EXE_planforge-engine-worker")));
    assert!(!contains_allocator(env!("CARGO_BIN_EXE_planforge")));
}

#[test]
fn a_missing_engine_worker_is_named_with_what_makes_it_and_only_builds_need_it() {
    let workspace = Workspace::tiny();
    let compile = ["compile", "tiny.toml", "--gpu", "t4"];
    let missing = [&compile[..], &["--engine-worker", "nowhere"]].concat();
    let words =
        ["engine worker not found: `", "/nowhere`", "planforge-engine-worker", "hint: `cargo build -p planforge`"];
    workspace.planforge(&missing).fails(3, &words);
    assert_eq!(workspace.half_written(), [""; 0]);
    workspace.planforge(&["doctor", "--engine-worker", "nowhere"]).fails(3, &["missing: engine worker"]);
    workspace.planforge(&compile).succeeds();
    workspace.planforge(&missing).succeeds();
}

#[test]
fn an_engine_worker_of_another_version_is_refused() {
    let workspace = Workspace::tiny();
    workspace.write("worker", "#!/bin/sh\necho planforge-engine-worker 0.0.1\n");
    fs_err::set_permissions(workspace.path("worker"), PermissionsExt::from_mode(0o755)).unwrap();
    let mut command = workspace.command(&["compile", "tiny.toml"]);
    command.env("PLANFORGE_ENGINE_WORKER", Path::new("worker"));
    let expected =
        concat!("planforge-engine-worker 0.0.1; expected planforge-engine-worker ", env!("CARGO_PKG_VERSION"));
    end(command).fails(3, &["unsupported engine worker `", expected, "hint: `cargo build -p planforge`"]);
}
