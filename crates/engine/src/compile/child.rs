//! The process that builds: started, watched, ended.

use super::scheduler::Permit;
use super::tail::LogTail;
use crate::{Error, Result, WorkerFailure, WorkerRequest, WorkerResponse};
use bytesize::ByteSize;
use planforge_core::{Progress, end_child, end_without_answer, send_request, start_child};
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// The child is looked at this often.
const INTERVAL: Duration = Duration::from_millis(10);
/// Memory that a build may take between two looks at it, in bytes.
const HEADROOM: u64 = 64 << 20;

/// A command that reads a [`WorkerRequest`] as one line, answers with a [`WorkerResponse`] as one line when nothing is
/// left to do, and ends at once when its standard input does: then the parent is gone.
#[derive(Debug, Clone)]
pub struct Worker {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
}

/// What a child says: what it built, or why it did not.
type Answer = std::result::Result<WorkerResponse, WorkerFailure>;

/// How a child ended.
enum ExitReason {
    /// It has answered, and has nothing left to do but to give its memory back.
    Answered(Box<Answer>),
    /// It ended without an answer.
    Exited(ExitStatus),
    TooSlow,
    /// It needs so many bytes.
    TooLarge(u64),
}

/// Runs a build in a child process and waits for its answer, for the time-out, or for the wish to stop. `None` when it needed
/// more memory than the others leave, and was ended.
pub(super) fn run_child(
    worker: &Worker,
    request: &WorkerRequest,
    (subject, timeout): (&str, Duration),
    mut permit: Permit,
    progress: &dyn Progress,
) -> Result<Option<WorkerResponse>> {
    let fail = |message: String| Error::Build { subject: subject.to_owned(), message };
    let stderr = request.log.with_extension("stderr");
    let mut command = Command::new(&worker.program);
    command.args(&worker.arguments).stderr(fs_err::File::create(&stderr)?.into_parts().0);
    let mut child = start_child(&mut command)
        .map_err(|error| fail(format!("`{}` does not start: {error}", worker.program.display())))?;
    let tail = request.tool.is_some().then(|| LogTail::new(&request.log, subject));
    let reason = feed_and_wait(&mut child, request, (timeout, tail), &mut permit, progress)
        .inspect_err(|_| end_child(&mut child))?;
    let words = || last_words(&[&request.log, &stderr]);
    let answer = match reason {
        ExitReason::Answered(answer) => *answer,
        ExitReason::Exited(status) => {
            return Err(fail(format!("the build process {}; {}", how_it_ended(status), words())));
        }
        ExitReason::TooSlow => return Err(fail(format!("it took longer than {} s; {}", timeout.as_secs(), words()))),
        ExitReason::TooLarge(needed) if needed > permit.most() => {
            return Err(Error::BuildMemory { subject: subject.to_owned(), allowed: ByteSize(permit.most()) });
        }
        ExitReason::TooLarge(_) => return Ok(None),
    };
    end_behind(child, permit);
    fs_err::remove_file(&stderr).ok();
    match answer {
        Ok(response) => Ok(Some(response)),
        Err(failure) if failure.library_missing => Err(Error::NativeLibrary { message: failure.message }),
        Err(failure) => Err(fail(failure.message)),
    }
}

/// Ends a child that has answered. The kernel takes a while to take back gigabytes, which nobody waits for; only the memory
/// counts as the build's until then.
fn end_behind(mut child: Child, mut permit: Permit) {
    permit.leave();
    std::thread::spawn(move || {
        end_child(&mut child);
        drop(permit);
    });
}

/// Reads the line that the child answers while it runs: one that has more to say than a pipe holds would not end before.
fn read_answer(child: &mut Child) -> Receiver<std::io::Result<String>> {
    let stdout = child.stdout.take();
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        let read = stdout.map_or(Ok(0), |stdout| BufReader::new(stdout).read_line(&mut line));
        // Nobody waits for the answer of a child that was ended.
        let _ = sender.send(read.map(|_| line));
    });
    receiver
}

/// Sends the request and looks at the child until it answers or ends, or has to be ended.
fn feed_and_wait(
    child: &mut Child,
    request: &WorkerRequest,
    (timeout, mut tail): (Duration, Option<LogTail<'_>>),
    permit: &mut Permit,
    progress: &dyn Progress,
) -> Result<ExitReason> {
    let mut answer = Some(read_answer(child));
    send_request(child, request);
    let start = Instant::now();
    loop {
        let line = wait_for_line(answer.as_ref())?;
        if let Some(tail) = &mut tail {
            tail.pass_on(progress);
        }
        match line.map(|line| serde_json::from_str(&line)) {
            Some(Ok(answer)) => return Ok(ExitReason::Answered(Box::new(answer))),
            // Its standard output has ended, and so will the child.
            Some(Err(_)) => answer = None,
            None => {}
        }
        if answer.is_none()
            && let Some(status) = child.try_wait()?
        {
            return Ok(ExitReason::Exited(status));
        }
        if progress.is_cancelled() {
            return Err(planforge_core::Error::Cancelled.into());
        }
        if start.elapsed() > timeout {
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

/// The line that the child answers, if it comes within [`INTERVAL`].
fn wait_for_line(answer: Option<&Receiver<std::io::Result<String>>>) -> Result<Option<String>> {
    match answer {
        Some(answer) => Ok(answer.recv_timeout(INTERVAL).ok().transpose()?),
        None => {
            std::thread::sleep(INTERVAL);
            Ok(None)
        }
    }
}

/// Memory that a process has now; 0 when it has ended.
fn resident_byte_count(process: u32) -> u64 {
    let status = fs_err::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    crate::worker::status_byte_count(&status, "VmRSS:")
}

fn how_it_ended(status: ExitStatus) -> String {
    match status.signal() {
        Some(9) => "was killed (signal 9), as the kernel does when memory runs out: `--memory` limits what builds take"
            .to_owned(),
        _ => end_without_answer(status),
    }
}

fn last_words(files: &[&Path]) -> String {
    let lines: Vec<String> = files
        .iter()
        .filter_map(|file| fs_err::read_to_string(file).ok())
        .flat_map(|text| text.lines().rev().take(3).map(str::to_owned).collect::<Vec<_>>().into_iter().rev())
        .collect();
    if lines.is_empty() { "its log is empty".to_owned() } else { format!("its last words: {}", lines.join(" | ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BuildLimits;
    use crate::compile::scheduler::BuildScheduler;
    use planforge_core::{BuilderOptions, NoProgress};
    use std::sync::Arc;

    /// Runs a child that is this script, and says how long that took.
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
        let arguments = vec!["-c".to_owned(), format!("read request; {script}")];
        let worker = Worker { program: "/bin/sh".into(), arguments };
        let permit = scheduler.acquire(0, 1, &NoProgress).unwrap();
        let start = Instant::now();
        let ended = run_child(&worker, &request, ("engine", Duration::from_secs(60)), permit, &NoProgress);
        (ended, start.elapsed())
    }

    fn scheduler() -> Arc<BuildScheduler> {
        Arc::new(BuildScheduler::new(BuildLimits { memory_byte_count: 1 << 40, processes: 1 }))
    }

    #[test]
    fn an_answer_longer_than_a_pipe_holds_does_not_keep_the_child() {
        let failure = r#"printf '{"Err":{"library_missing":false,"message":"'; \
                         head -c 1000000 /dev/zero | tr '\0' x; printf '"}}'"#;
        let (ended, _) = run_script(&scheduler(), failure);
        assert!(matches!(ended, Err(Error::Build { message, .. }) if message.len() == 1_000_000));
    }

    #[test]
    fn nobody_waits_for_the_end_of_a_child_that_has_answered() {
        let scheduler = scheduler();
        let failure = r#"echo '{"Err":{"library_missing":false,"message":"no"}}'; exec sleep 30"#;
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
