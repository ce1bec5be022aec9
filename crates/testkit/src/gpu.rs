//! Fakes of the CUDA driver and of TensorRT-RTX (fixtures/gpu), for tests of what runs engines.

use crate::repository;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Set in the inner process, to the folder of the fakes.
const INSIDE: &str = "PLANFORGE_TEST_FAKE_GPU";

/// A folder with both fakes, and in it a folder `tensorrt-rtx` with the same.
///
/// # Panics
/// When they cannot be built.
#[must_use]
pub fn build_fake_gpu() -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let built = Command::new(repository().join("fixtures/gpu/build")).arg(folder.path()).output();
    let built = built.expect("Python is installed");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let linked = fs_err::os::unix::fs::symlink(folder.path(), folder.path().join("tensorrt-rtx"));
    linked.expect("the folder is new");
    folder
}

/// A file that the fakes accept as an engine, with `changes` to its bytes: it adds up the elements of each row of `ids` that
/// `mask` keeps, for batches of 1 to 4 and 5 to 16, and rows of 4 to 64 elements.
///
/// # Panics
/// When it cannot be written.
#[must_use]
pub fn fake_engine(folder: &Path, name: &str, changes: &[(usize, u8)]) -> PathBuf {
    let mut bytes = vec![0; 256];
    bytes[..4].copy_from_slice(b"vtrt");
    bytes[24..28].copy_from_slice(&[1, 7, 1, 116]);
    bytes[32] = 0b1000;
    changes.iter().for_each(|&(at, byte)| bytes[at] = byte);
    let path = folder.join(name);
    fs_err::write(&path, bytes).expect("the folder can be written");
    path
}

/// The file of weights and the list of them for an engine whose byte 101 is `S`, which has none: it multiplies the sum of row
/// `i` with `factors[i % 4]`, and adds `shift`. Returns the names of both files, which are next to `plan`.
///
/// # Panics
/// When they cannot be written.
#[must_use]
pub fn fake_weights(plan: &Path, factors: [f32; 4], shift: f32) -> [PathBuf; 2] {
    let bytes: Vec<u8> = factors.iter().chain([&shift]).flat_map(|value| value.to_le_bytes()).collect();
    let weight = |name: &str, place: (u64, u64)| {
        let source = json!({ "file": "weights.safetensors", "offset": place.0 * 4, "byte_count": place.1 * 4 });
        json!({ "name": name, "data_type": "fp32", "element_count": place.1, "transform": "identity", "sources": [source] })
    };
    // One more than the engine asks for, as the builder folds some into others.
    let weights = [weight("shift", (4, 1)), weight("folded", (0, 2)), weight("factor", (0, 4))];
    let files = [plan.with_file_name("weights.safetensors"), plan.with_extension("weights.json")];
    fs_err::write(&files[0], bytes).expect("the folder can be written");
    let list = json!({ "format": 1, "weights": weights });
    fs_err::write(&files[1], list.to_string()).expect("the folder can be written");
    files
}

/// Runs `body` with the folder of the fakes, in a process that finds them: the dynamic linker reads its
/// search path when a process starts. `test` is the full path of the calling test, which is started again.
///
/// # Panics
/// When `body` fails, and when it leaves an engine, a context or memory behind.
pub fn on_fake_gpu(test: &str, body: impl FnOnce(&Path)) {
    if let Some(folder) = std::env::var_os(INSIDE) {
        return body(Path::new(&folder));
    }
    let folder = build_fake_gpu();
    let (_, name) = test.split_once("::").expect("a test's path begins with its crate");
    let mut inner = Command::new(std::env::current_exe().expect("a test knows its program"));
    inner.args([name, "--exact", "--nocapture"]).env("LD_LIBRARY_PATH", folder.path()).env(INSIDE, folder.path());
    let ended = inner.output().expect("a test can start itself");
    let (stdout, stderr) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert!(ended.status.success() && stdout.contains("1 passed"), "{:?}\n{stdout}{stderr}", ended.status);
    assert!(stderr.contains("fake: engine freed"), "{stderr}");
    let mut released = stderr.lines().filter(|line| line.contains("context released")).peekable();
    assert!(released.peek().is_some() && released.all(|line| line.ends_with(", 0 left")), "{stderr}");
}
