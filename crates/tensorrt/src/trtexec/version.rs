//! Which TensorRT a `trtexec` is of.

use crate::{Error, Result};
use std::fmt;
use std::path::Path;
use std::process::{Command, Stdio};

/// Version of TensorRT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TrtexecVersion {
    /// Major.
    pub major: u32,
    /// Minor.
    pub minor: u32,
    /// Patch.
    pub patch: u32,
    /// Build, which TensorRT 10.4 and later print.
    pub build: Option<u32>,
}

impl fmt::Display for TrtexecVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)?;
        self.build.map_or(Ok(()), |build| write!(f, ".{build}"))
    }
}

/// Asks a tool for its version.
///
/// # Errors
/// [`Error::Trtexec`] when it does not start, or prints no line with its version.
pub fn trtexec_version(tool: &Path) -> Result<TrtexecVersion> {
    let fail = |message: String| Error::Trtexec { tool: tool.to_owned(), message };
    let mut command = Command::new(tool);
    let output = command.arg("--help").stdin(Stdio::null()).output().map_err(|error| fail(error.to_string()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().find_map(version_in).ok_or_else(|| {
        fail(format!(
            "it ended with {} and printed no line `&&&& RUNNING TensorRT.trtexec [TensorRT v…]`",
            output.status
        ))
    })
}

/// The version in a line such as `&&&& RUNNING TensorRT.trtexec [TensorRT v100900] [b34] # trtexec --help`.
pub(super) fn version_in(line: &str) -> Option<TrtexecVersion> {
    let rest = line.strip_prefix("&&&& RUNNING TensorRT.trtexec")?.split_once("[TensorRT v")?.1;
    let (number, rest) = rest.split_once(']')?;
    let number: u32 = number.parse().ok()?;
    // Thousands stood for the major version until TensorRT 9, ten thousands do since.
    let (major, rest_of_number) =
        if number < 10_000 { (number / 1000, number % 1000) } else { (number / 10_000, number % 10_000) };
    let build = rest.split_once("[b").and_then(|(_, build)| build.split_once(']')?.0.parse().ok());
    Some(TrtexecVersion { major, minor: rest_of_number / 100, patch: rest_of_number % 100, build })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_the_first_line() {
        let read = |line: &str| version_in(line).map(|version| version.to_string());
        let line = |version: &str| format!("&&&& RUNNING TensorRT.trtexec {version} # ./trtexec --help");
        assert_eq!(read(&line("[TensorRT v8601]")).as_deref(), Some("8.6.1"));
        assert_eq!(read(&line("[TensorRT v100001]")).as_deref(), Some("10.0.1"));
        assert_eq!(read(&line("[TensorRT v101303] [b9]")).as_deref(), Some("10.13.3.9"));
        assert_eq!(read(&line("[TensorRT v110100] [b106]")).as_deref(), Some("11.1.0.106"));
        assert_eq!(read("[I] TensorRT version: 10.9.0"), None);
    }
}
