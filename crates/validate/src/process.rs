//! A child process that is asked one thing; its crash is an error here.

use crate::{Error, Result};
use planforge_core::{Progress, end_child, end_without_answer, send_request, start_child};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Time between two looks at the child.
const INTERVAL: Duration = Duration::from_millis(10);

/// Log lines that an error quotes.
const LOG_LINES: usize = 3;

/// Sends `request` as a line of JSON to `command`, which ends at once when its standard input does, and returns its
/// response.
///
/// # Errors
/// A child that does not start, crashes, gives no response, or takes longer than `timeout`, with its last log lines; and
/// cancellation.
pub(crate) fn ask<A: DeserializeOwned>(
    mut command: Command,
    request: &impl Serialize,
    timeout: Duration,
    progress: &dyn Progress,
) -> Result<A> {
    let mut child = start_child(command.stderr(Stdio::piped()))
        .map_err(|source| Error::Start { program: command.get_program().into(), source })?;
    let (response, log) = (reader(child.stdout.take()), reader(child.stderr.take()));
    send_request(&mut child, request);
    let ended = wait(&mut child, timeout, progress);
    if ended.is_err() {
        end_child(&mut child);
    }
    let (response, log) = (text_of(response), text_of(log));
    let status = ended?;
    match serde_json::from_str(&response) {
        Ok(response) if status.success() => Ok(response),
        _ => Err(Error::NoResponse { end: end_without_answer(status), log: last_lines(&log) }),
    }
}

/// An error and its causes in one line; a cause that the text before it already has is left out.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut last = text.clone();
    for cause in std::iter::successors(error.source(), |cause| cause.source()).map(ToString::to_string) {
        if !last.contains(&cause) {
            text = format!("{text}: {cause}");
        }
        last = cause;
    }
    text
}

fn reader(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // What was read until then is all there is.
            let _ = pipe.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn text_of(reader: JoinHandle<String>) -> String {
    reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn wait(child: &mut Child, timeout: Duration, progress: &dyn Progress) -> Result<ExitStatus> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if progress.is_cancelled() {
            return Err(planforge_core::Error::Cancelled.into());
        }
        if start.elapsed() > timeout {
            return Err(Error::Timeout { seconds: timeout.as_secs() });
        }
        std::thread::sleep(INTERVAL);
    }
}

fn last_lines(log: &str) -> String {
    let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
    let tail = lines.len().saturating_sub(LOG_LINES);
    if lines.is_empty() {
        "its log is empty".to_owned()
    } else {
        format!("last log lines: {}", lines[tail..].join(" | "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use planforge_core::NoProgress;

    fn shell(script: &str, timeout: Duration) -> Result<Vec<u32>> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        ask(command, &"question", timeout, &NoProgress)
    }

    fn message(script: &str) -> String {
        shell(script, Duration::from_secs(60)).unwrap_err().to_string()
    }

    #[test]
    fn the_request_is_sent_as_a_line_and_the_response_is_read_whole() {
        let numbers = shell("read line; [ \"$line\" = '\"question\"' ] && echo '[1, 2]'", Duration::from_secs(60));
        assert_eq!(numbers.unwrap(), [1, 2]);
        let long = "read line; printf '[0'; for i in $(seq 50000); do printf ',1'; done; printf ']'";
        assert_eq!(shell(long, Duration::from_secs(60)).unwrap().len(), 50_001);
    }

    #[test]
    fn crashes_and_missing_responses_are_errors_with_the_last_log_lines() {
        assert_eq!(
            message("echo one >&2; echo two >&2; kill -SEGV $$"),
            "its process crashed (signal 11); last log lines: one | two"
        );
        assert_eq!(message("exit 3"), "its process ended with exit status: 3 and no answer; its log is empty");
        assert!(message("echo '[1]'; exit 1").contains("no answer"));
        assert!(message("echo nonsense").contains("exit status: 0 and no answer"));
        let slow = shell("exec sleep 60", Duration::ZERO).unwrap_err().to_string();
        assert_eq!(slow, "it took longer than 0 s");
    }
}
