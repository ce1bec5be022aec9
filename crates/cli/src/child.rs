//! A process of this program's own that is asked one thing: a crash of it is an error here.

use anyhow::{Context, Result, bail};
use planforge_core::{Progress, end_child, end_without_answer, send_request, start_child};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The child is looked at this often.
const INTERVAL: Duration = Duration::from_millis(10);

/// Sends `request` as a line of JSON to `command`, which ends at once when its standard input does, and reads its answer.
///
/// # Errors
/// A child that does not start, crashes, gives no answer, or takes longer than `timeout`, with its last words; and the
/// wish to stop.
pub(crate) fn ask<A: DeserializeOwned>(
    mut command: Command,
    request: &impl Serialize,
    timeout: Duration,
    progress: &dyn Progress,
) -> Result<A> {
    let mut child = start_child(command.stderr(Stdio::piped()))
        .with_context(|| format!("`{}` does not start", command.get_program().display()))?;
    let (answer, words) = (reader(child.stdout.take()), reader(child.stderr.take()));
    send_request(&mut child, request);
    let ended = wait(&mut child, timeout, progress);
    if ended.is_err() {
        end_child(&mut child);
    }
    let (answer, words) = (text_of(answer), text_of(words));
    let status = ended?;
    match serde_json::from_str(&answer) {
        Ok(answer) if status.success() => Ok(answer),
        _ => bail!("its process {}; {}", end_without_answer(status), last_words(&words)),
    }
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
            bail!("it took longer than {} s", timeout.as_secs());
        }
        std::thread::sleep(INTERVAL);
    }
}

fn last_words(words: &str) -> String {
    let lines: Vec<&str> = words.lines().filter(|line| !line.trim().is_empty()).collect();
    let tail = lines.len().saturating_sub(3);
    if lines.is_empty() {
        "it said nothing".to_owned()
    } else {
        format!("its last words: {}", lines[tail..].join(" | "))
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
    fn the_request_comes_as_a_line_and_the_answer_is_read_whole() {
        let numbers = shell("read line; [ \"$line\" = '\"question\"' ] && echo '[1, 2]'", Duration::from_secs(60));
        assert_eq!(numbers.unwrap(), [1, 2]);
        let long = "read line; printf '[0'; for i in $(seq 50000); do printf ',1'; done; printf ']'";
        assert_eq!(shell(long, Duration::from_secs(60)).unwrap().len(), 50_001);
    }

    #[test]
    fn crashes_and_strange_ends_are_errors_with_the_last_words() {
        assert_eq!(
            message("echo one >&2; echo two >&2; kill -SEGV $$"),
            "its process crashed (signal 11); its last words: one | two"
        );
        assert_eq!(message("exit 3"), "its process ended with exit status: 3 and no answer; it said nothing");
        assert!(message("echo '[1]'; exit 1").contains("no answer"));
        assert!(message("echo nonsense").contains("exit status: 0 and no answer"));
        let slow = shell("exec sleep 60", Duration::ZERO).unwrap_err().to_string();
        assert_eq!(slow, "it took longer than 0 s");
    }
}
