//! The tool, run.

use super::{PlanRequest, TrtexecVersion, plan_arguments, trtexec_version, version::version_in};
use crate::{Error, Result};
use planforge_types::ComputeCapability;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Lines that an error repeats.
const LAST_WORDS: usize = 3;

/// A plan that was built, and the tool's output.
#[derive(Debug, Clone)]
pub struct BuiltPlan {
    /// Version of the tool.
    pub version: TrtexecVersion,
    /// Compute capability of the GPU that it built on, where it printed one.
    pub compute_capability: Option<ComputeCapability>,
    /// Time the tool took.
    pub duration: Duration,
}

/// Builds a plan with the tool, which ends with this process. `log` gets every line that it prints.
///
/// # Errors
/// [`Error::Trtexec`] when the tool does not start, fails, or leaves no plan, with its own last errors;
/// [`Error::TrtexecOption`] for what its version cannot do.
pub fn build_plan(tool: &Path, request: &PlanRequest, mut log: impl FnMut(&str)) -> Result<BuiltPlan> {
    let version = trtexec_version(tool)?;
    let arguments = plan_arguments(version, request)?;
    let fail = |message: String| Error::Trtexec { tool: tool.to_owned(), message };
    let start = Instant::now();
    let mut child = start_tool(tool, &arguments).map_err(|error| fail(error.to_string()))?;
    let (mut errors, mut running, mut compute_capability) = (Vec::new(), None, None);
    for line in BufReader::new(child.stdout.take().ok_or_else(|| fail("it has no output".to_owned()))?).lines() {
        let line = line.map_err(|error| fail(error.to_string()))?;
        log(&line);
        running = running.or_else(|| version_in(&line));
        compute_capability = compute_capability.or_else(|| capability_in(&line));
        if line.contains("[E]") {
            errors.push(line);
        }
    }
    let status = child.wait().map_err(|error| fail(error.to_string()))?;
    if !status.success() {
        let words = errors.iter().rev().take(LAST_WORDS).rev().cloned().collect::<Vec<_>>().join("; ");
        return Err(fail(format!("it ended with {status}: {words}")));
    }
    if running.is_some_and(|running| running != version) || !request.plan.is_file() {
        return Err(fail("it ended well, but left no plan of its version".to_owned()));
    }
    Ok(BuiltPlan { version, compute_capability, duration: start.elapsed() })
}

/// Starts the tool with both of its outputs in one pipe, so that their lines keep their order.
#[expect(unsafe_code, reason = "a child that is to end with its parent has to say so before it becomes the tool")]
fn start_tool(tool: &Path, arguments: &[String]) -> std::io::Result<Child> {
    let (reader, writer) = std::io::pipe()?;
    let mut command = Command::new(tool);
    command.args(arguments).stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    // SAFETY: between fork and exec the closure makes one system call and touches no memory.
    unsafe {
        command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        });
    }
    let mut child = command.spawn()?;
    // The command keeps the pipe's writing end open.
    drop(command);
    child.stdout = Some(std::process::ChildStdout::from(std::os::fd::OwnedFd::from(reader)));
    Ok(child)
}

/// The compute capability in a line such as `[I] Compute Capability: 8.6`.
fn capability_in(line: &str) -> Option<ComputeCapability> {
    line.split_once("Compute Capability:")?.1.trim().parse().ok()
}
