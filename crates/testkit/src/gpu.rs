//! Stand-ins for the CUDA driver and for TensorRT-RTX (fixtures/gpu), for tests of what runs engines.

use crate::repository;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Set inside, to the folder of the stand-ins.
const INSIDE: &str = "PLANFORGE_TEST_GPU_STAND_INS";

/// A folder with both stand-ins, and in it a folder `tensorrt-rtx` with the same.
///
/// # Panics
/// When they cannot be built.
#[must_use]
pub fn gpu_stand_ins() -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let built = Command::new(repository().join("fixtures/gpu/build")).arg(folder.path()).output();
    let built = built.expect("Python is installed");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let linked = fs_err::os::unix::fs::symlink(folder.path(), folder.path().join("tensorrt-rtx"));
    linked.expect("the folder is new");
    folder
}

/// What the stand-ins take for an engine, with `changes` to its bytes: it adds up the elements of each row of `ids` that
/// `mask` keeps, for batches of 1 to 4 and 5 to 16, and rows of 4 to 64 elements.
///
/// # Panics
/// When it cannot be written.
#[must_use]
pub fn stand_in_engine(folder: &Path, name: &str, changes: &[(usize, u8)]) -> PathBuf {
    let mut bytes = vec![0; 256];
    bytes[..4].copy_from_slice(b"vtrt");
    bytes[24..28].copy_from_slice(&[1, 7, 1, 116]);
    bytes[32] = 0b1000;
    changes.iter().for_each(|&(at, byte)| bytes[at] = byte);
    let path = folder.join(name);
    fs_err::write(&path, bytes).expect("the folder can be written");
    path
}

/// Runs `body` with the folder of the stand-ins, in a process that finds them: the dynamic linker looks where it is told
/// when a process starts. `test` is the full path of the calling test, which is started again.
///
/// # Panics
/// When `body` fails, and when it leaves an engine, a context or memory behind.
pub fn on_gpu_stand_ins(test: &str, body: impl FnOnce(&Path)) {
    if let Some(folder) = std::env::var_os(INSIDE) {
        return body(Path::new(&folder));
    }
    let folder = gpu_stand_ins();
    let (_, name) = test.split_once("::").expect("a test's path begins with its crate");
    let mut inner = Command::new(std::env::current_exe().expect("a test knows its program"));
    inner.args([name, "--exact", "--nocapture"]).env("LD_LIBRARY_PATH", folder.path()).env(INSIDE, folder.path());
    let ended = inner.output().expect("a test can start itself");
    let (stdout, stderr) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert!(ended.status.success() && stdout.contains("1 passed"), "{:?}\n{stdout}{stderr}", ended.status);
    assert!(stderr.contains("stand-in: engine freed"), "{stderr}");
    let mut released = stderr.lines().filter(|line| line.contains("context released")).peekable();
    assert!(released.peek().is_some() && released.all(|line| line.ends_with(", 0 left")), "{stderr}");
}
