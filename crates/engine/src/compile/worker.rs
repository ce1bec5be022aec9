//! The program that builds engines.

use crate::{Error, Result};
use planforge_engine_protocol::{VERSION_FLAG, version_line};
use std::io;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// A program that reads a [`WorkerRequest`](planforge_engine_protocol::WorkerRequest) as one line, answers with one line,
/// and ends at once when its standard input does.
#[derive(Debug)]
pub struct EngineWorker {
    program: PathBuf,
    arguments: Vec<String>,
    is_checked: OnceLock<()>,
}

impl EngineWorker {
    /// The worker at a path, which is looked at when it is first needed.
    #[must_use]
    pub fn new(program: PathBuf) -> Self {
        Self { program, arguments: Vec::new(), is_checked: OnceLock::new() }
    }

    /// A shell that runs `script` in place of a worker.
    #[cfg(test)]
    pub(super) fn shell(script: &str) -> Self {
        Self { arguments: vec!["-c".to_owned(), script.to_owned()], ..Self::new("/bin/sh".into()) }
    }

    /// Checks that the worker is there and has the version of this program, once.
    ///
    /// # Errors
    /// [`Error::WorkerMissing`], [`Error::WorkerVersion`], and a program that does not start.
    pub fn check(&self) -> Result<()> {
        if self.is_checked.get().is_none() {
            self.check_version()?;
            self.is_checked.get_or_init(|| ());
        }
        Ok(())
    }

    fn check_version(&self) -> Result<()> {
        let path = || self.program.clone();
        let output = Command::new(&self.program).args(&self.arguments).arg(VERSION_FLAG).stdin(Stdio::null()).output();
        let output = output.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::WorkerMissing { path: path() },
            _ => Error::WorkerVersion { path: path(), found: error.to_string(), expected: version_line() },
        })?;
        let found = String::from_utf8_lossy(&output.stdout);
        let line = found.lines().next().unwrap_or_default();
        if output.status.success() && line == version_line() {
            return Ok(());
        }
        let found = if line.is_empty() { output.status.to_string() } else { line.to_owned() };
        Err(Error::WorkerVersion { path: path(), found, expected: version_line() })
    }

    /// The command that starts one build.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments);
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_worker_of_this_version_is_accepted() {
        let check = |script: &str| EngineWorker::shell(script).check();
        check(&format!("echo {}", version_line())).unwrap();
        let message = |script: &str| check(script).unwrap_err().to_string();
        assert_eq!(
            message("echo planforge-engine-worker 0.0.1"),
            format!("unsupported engine worker `/bin/sh`: planforge-engine-worker 0.0.1; expected {}", version_line())
        );
        assert!(message("exit 2").starts_with("unsupported engine worker `/bin/sh`: exit status: 2; expected"));
    }

    #[test]
    fn a_missing_worker_is_named() {
        let missing = EngineWorker::new("/nowhere/worker".into()).check().unwrap_err();
        assert!(matches!(&missing, Error::WorkerMissing { path } if path.ends_with("worker")), "{missing:?}");
    }
}
