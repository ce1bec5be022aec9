//! The process that builds one engine: started, watched, ended.

use super::scheduler::Permit;
use super::tail::LogTail;
use super::worker::EngineWorker;
use crate::{Error, Result};
use bytesize::ByteSize;
use planforge_core::{Progress, end_child, end_without_answer, resident_byte_count, send_request, start_child};
use planforge_engine_protocol::{FailureReason, WorkerFailure, WorkerRequest, WorkerResponse};
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// The child is looked at this often.
const INTERVAL: Duration = Duration::from_millis(10);
/// Memory that a build may take between two looks at it, in bytes.
const HEADROOM: u64 = 64 << 20;

/// One build in a child process.
pub(super) struct ChildBuild<'a> {
    /// The program.
    pub(super) worker: &'a EngineWorker,
    /// What it builds.
    pub(super) request: &'a WorkerRequest,
    /// Name of the engine in progress and errors.
    pub(super) subject: &'a str,
    /// Most time the build may take.
    pub(super) timeout: Duration,
    /// Receives the phases of the build, and can cancel it.
    pub(super) progress: &'a dyn Progress,
}

/// The response of a child.
type Response = std::result::Result<WorkerResponse, WorkerFailure>;

/// How a child ended.
enum ExitReason {
    /// It has answered, and only its memory remains to be freed.
    Answered(Box<Response>),
    /// It ended without an answer.
    Exited(ExitStatus),
    TooSlow,
    /// It needs this many bytes.
    TooLarge(u64),
}

impl ChildBuild<'_> {
    /// Runs the build and waits for its response, the time-out, or cancellation. `None` when the build needed more memory than
    /// the others leave, and was ended.
    pub(super) fn run(&self, mut permit: Permit) -> Result<Option<WorkerResponse>> {
        let stderr = self.request.log.with_extension("stderr");
        let mut command = self.worker.command();
        command.stderr(fs_err::File::create(&stderr)?.into_parts().0);
        let mut child = start_child(&mut command)
            .map_err(|error| self.failed(format!("cannot start `{}`: {error}", command.get_program().display())))?;
        let reason = self.feed_and_wait(&mut child, &mut permit).inspect_err(|_| end_child(&mut child))?;
        let log_lines = || last_log_lines(&[&self.request.log, &stderr]);
        let response = match reason {
            ExitReason::Answered(response) => *response,
            ExitReason::Exited(status) => {
                return Err(self.failed(format!("the build process {}; {}", how_it_ended(status), log_lines())));
            }
            ExitReason::TooSlow => {
                return Err(self.failed(format!("it took longer than {} s; {}", self.timeout.as_secs(), log_lines())));
            }
            ExitReason::TooLarge(needed) if needed > permit.most() => {
                return Err(Error::BuildMemory { subject: self.subject.to_owned(), allowed: ByteSize(permit.most()) });
            }
            ExitReason::TooLarge(_) => return Ok(None),
        };
        end_behind(child, permit);
        fs_err::remove_file(&stderr).ok();
        match response {
            Ok(response) => Ok(Some(response)),
            Err(WorkerFailure { reason, message }) => Err(match reason {
                FailureReason::MissingLibrary => Error::NativeLibrary { message },
                FailureReason::Disk => Error::BuildDisk { subject: self.subject.to_owned(), message },
                FailureReason::Build => self.failed(message),
            }),
        }
    }

    fn failed(&self, message: String) -> Error {
        Error::Build { subject: self.subject.to_owned(), message }
    }

    /// Sends the request and watches the child until it answers or ends, or has to be ended.
    fn feed_and_wait(&self, child: &mut Child, permit: &mut Permit) -> Result<ExitReason> {
        let mut tail = self.request.tool.is_some().then(|| LogTail::new(&self.request.log, self.subject));
        let mut response = Some(read_line(child));
        send_request(child, self.request);
        let start = Instant::now();
        loop {
            let line = wait_for_line(response.as_ref())?;
            if let Some(tail) = &mut tail {
                tail.pass_on(self.progress);
            }
            match line.map(|line| serde_json::from_str(&line)) {
                Some(Ok(response)) => return Ok(ExitReason::Answered(Box::new(response))),
                // Its standard output has ended, and so will the child.
                Some(Err(_)) => response = None,
                None => {}
            }
            if response.is_none()
                && let Some(status) = child.try_wait()?
            {
                return Ok(ExitReason::Exited(status));
            }
            if self.progress.is_cancelled() {
                return Err(planforge_core::Error::Cancelled.into());
            }
            if start.elapsed() > self.timeout {
                end_child(child);
                return Ok(ExitReason::TooSlow);
            }
            let needed = resident_byte_count(child.id()) + HEADROOM;
            if !permit.holds(needed) {
                end_child(child);
                return Ok(ExitReason::TooLarge(needed));
            }
        }
    }
}

/// Ends a child that has answered. The kernel takes a while to free gigabytes, and the next build does not wait for that;
/// only the memory counts as this build's until then.
fn end_behind(mut child: Child, mut permit: Permit) {
    permit.leave();
    std::thread::spawn(move || {
        end_child(&mut child);
        drop(permit);
    });
}

/// Reads the line that the child answers, while it runs: it could not end before a line longer than a pipe holds was read.
fn read_line(child: &mut Child) -> Receiver<std::io::Result<String>> {
    let stdout = child.stdout.take();
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        let read = stdout.map_or(Ok(0), |stdout| BufReader::new(stdout).read_line(&mut line));
        // There is no receiver after the child was ended.
        let _ = sender.send(read.map(|_| line));
    });
    receiver
}

/// The line that the child answers, if it comes within [`INTERVAL`].
fn wait_for_line(response: Option<&Receiver<std::io::Result<String>>>) -> Result<Option<String>> {
    match response {
        Some(response) => Ok(response.recv_timeout(INTERVAL).ok().transpose()?),
        None => {
            std::thread::sleep(INTERVAL);
            Ok(None)
        }
    }
}

fn how_it_ended(status: ExitStatus) -> String {
    match status.signal() {
        Some(9) => "was killed (signal 9), as the kernel does when memory runs out: `--memory` limits what builds take"
            .to_owned(),
        _ => end_without_answer(status),
    }
}

fn last_log_lines(files: &[&Path]) -> String {
    let lines: Vec<String> = files
        .iter()
        .filter_map(|file| fs_err::read_to_string(file).ok())
        .flat_map(|text| text.lines().rev().take(3).map(str::to_owned).collect::<Vec<_>>().into_iter().rev())
        .collect();
    if lines.is_empty() { "its log is empty".to_owned() } else { format!("last log lines: {}", lines.join(" | ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BuildLimits;
    use crate::compile::scheduler::BuildScheduler;
    use planforge_core::{BuilderOptions, NoProgress};
    use std::path::PathBuf;
    use std::sync::Arc;

    /// Runs this script as the child, and returns its result and the time it took.
    fn run_script(scheduler: &Arc<BuildScheduler>, script: &str) -> (Result<Option<WorkerResponse>>, Duration) {
        let folder = tempfile::tempdir().unwrap();
        let request = WorkerRequest {
            libraries: PathBuf::new(),
            graph: PathBuf::new(),
            compute_capabilities: Vec::new(),
            profiles: Vec::new(),
            options: BuilderOptions::default(),
            left_out: Vec::new(),
            tool: None,
            plan: folder.path().join("plan"),
            log: folder.path().join("log"),
        };
        let worker = EngineWorker::shell(&format!("read request; {script}"));
        let permit = scheduler.acquire(0, 1, &NoProgress).unwrap();
        let start = Instant::now();
        let build = ChildBuild {
            worker: &worker,
            request: &request,
            subject: "engine",
            timeout: Duration::from_secs(60),
            progress: &NoProgress,
        };
        let ended = build.run(permit);
        (ended, start.elapsed())
    }

    fn scheduler() -> Arc<BuildScheduler> {
        Arc::new(BuildScheduler::new(BuildLimits { memory_byte_count: 1 << 40, processes: 1 }))
    }

    #[test]
    fn an_answer_longer_than_a_pipe_holds_does_not_keep_the_child() {
        let failure = r#"printf '{"Err":{"reason":"build","message":"'; \
                         head -c 1000000 /dev/zero | tr '\0' x; printf '"}}'"#;
        let (ended, _) = run_script(&scheduler(), failure);
        assert!(matches!(ended, Err(Error::Build { message, .. }) if message.len() == 1_000_000));
    }

    #[test]
    fn a_build_is_over_when_its_child_has_answered() {
        let scheduler = scheduler();
        let failure = r#"echo '{"Err":{"reason":"build","message":"no"}}'; exec sleep 30"#;
        let (ended, elapsed) = run_script(&scheduler, failure);
        assert!(matches!(ended, Err(Error::Build { message, .. }) if message == "no"));
        assert!(elapsed < Duration::from_secs(20), "{elapsed:?}");
        // The only place is free again.
        drop(scheduler.acquire(1, 1, &NoProgress).unwrap());
    }

    #[test]
    fn a_child_that_ends_without_a_whole_answer_has_failed() {
        for (script, how) in [
            ("printf '{\"Err\":{'; exit 3", "ended with exit status: 3 and no answer"),
            ("exec 1>&-; kill -ABRT $$", "crashed (signal 6)"),
            ("true", "ended with exit status: 0 and no answer"),
        ] {
            let (ended, _) = run_script(&scheduler(), script);
            assert!(matches!(&ended, Err(Error::Build { message, .. }) if message.contains(how)), "{ended:?}");
        }
    }
}
