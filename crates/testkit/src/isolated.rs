//! Tests that need a network and an `/opt` of their own.

#![expect(clippy::print_stderr, reason = "a skipped test prints why")]

use std::path::Path;
use std::process::Command;

/// Set within the namespaces.
const INSIDE: &str = "PLANFORGE_TEST_ISOLATED";

/// Runs in the shell of the namespaces before the test: the loopback device, and `$0` in place of `/opt`.
const PREPARE: &str = r#"ip link set lo up && mount --bind "$0" /opt && exec "$@""#;

/// Runs `body` in network and mount namespaces of its own, where only the loopback device exists and `/opt` is an
/// empty folder, by running the test again within them. Where this machine does not allow that, the test prints that and
/// is skipped, unless the variable `required` is set.
///
/// `test` is the test's own path: `concat!(module_path!(), "::its_name")`.
///
/// # Panics
/// When the test fails within, or cannot be run and is required.
pub fn isolated(test: &str, required: &str, body: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        return body();
    }
    let skipped = |reason: &str| {
        assert!(std::env::var_os(required).is_none(), "{required} is set, but {reason}");
        eprintln!("SKIPPED {test}: {reason}");
    };
    let opt = tempfile::tempdir().expect("a temporary folder can be made");
    let probe = enter(opt.path()).arg("true").output();
    match probe {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            let reason = String::from_utf8_lossy(&output.stderr);
            return skipped(&format!("no namespaces can be made here: {}", reason.trim()));
        }
        Err(error) => return skipped(&format!("`unshare` cannot be run: {error}")),
    }
    let program = std::env::current_exe().expect("the path of this test program is known");
    if program.starts_with("/opt") {
        return skipped("this test program is below /opt, which would be hidden");
    }
    let (_, name) = test.split_once("::").expect("the path begins with the name of the test program");
    let mut command = enter(opt.path());
    command.arg(program).args(["--exact", name, "--include-ignored", "--nocapture"]).env(INSIDE, "1");
    let status = command.status().expect("`unshare` has just been run");
    assert!(status.success(), "{test} failed within its namespaces");
}

/// The beginning of a command line that continues within new namespaces.
fn enter(opt: &Path) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "--map-root-user", "sh", "-c", PREPARE]).arg(opt);
    command
}
