//! Child processes that planforge sends one request, a line of JSON on standard input, and that answer on standard output;
//! both ends of it. A child ends when its standard input does, because its parent has ended then.

use rustix::process::{Signal, getpid, kill_process};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{self, BufRead, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

/// A program that runs as a child process, with its first arguments.
#[derive(Debug, Clone)]
pub struct ChildProgram {
    /// Path of the program.
    pub program: PathBuf,
    /// Arguments.
    pub arguments: Vec<String>,
}

/// Starts `command` with pipes for its standard input and output. The terminal's Ctrl-C does not reach it: that is for this
/// process, which ends the child in its own way.
///
/// # Errors
/// Why the program does not start.
pub fn start_child(command: &mut Command) -> io::Result<Child> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0).spawn()
}

/// Sends `request`, plain data, and leaves standard input open. A child that ends without reading it shows in its exit
/// status.
///
/// # Panics
/// When `request` is not plain data.
pub fn send_request(child: &mut Child, request: &impl Serialize) {
    let mut line = serde_json::to_vec(request).expect("a request is plain data");
    line.push(b'\n');
    if let Some(stdin) = child.stdin.as_mut() {
        let _ = stdin.write_all(&line);
    }
}

/// Kills a child. One that has ended by then has nothing left to do.
pub fn end_child(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// How a child ended that gave no answer, as the end of a sentence about it.
#[must_use]
pub fn end_without_answer(status: ExitStatus) -> String {
    match status.signal() {
        Some(signal) => format!("crashed (signal {signal})"),
        None => format!("ended with {status} and no answer"),
    }
}

/// Reads the request that [`send_request`] sent to this process.
///
/// # Errors
/// Standard input that cannot be read, or is not a request.
pub fn read_request<T: DeserializeOwned>() -> io::Result<T> {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    serde_json::from_str(&line)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, format!("invalid request: {error}")))
}

/// Ends this process as soon as its standard input ends, because the parent has ended then. It is killed: exit handlers of
/// native libraries wait forever for threads that are still at work.
pub fn exit_when_stdin_ends() {
    std::thread::spawn(|| {
        wait_for_end_of_stdin();
        let _ = kill_process(getpid(), Signal::KILL);
        // Only where the kernel refuses the signal.
        std::process::exit(1);
    });
}

/// Returns when standard input has ended.
pub fn wait_for_end_of_stdin() {
    // An error ends it as the end does.
    drop(io::copy(&mut io::stdin().lock(), &mut io::sink()));
}

/// Resident memory of a process in bytes; 0 when it has ended.
#[must_use]
pub fn resident_byte_count(process: u32) -> u64 {
    status_byte_count(&process.to_string(), "VmRSS:")
}

/// Peak resident memory of this process in bytes; 0 without `/proc`.
#[must_use]
pub fn peak_resident_byte_count() -> u64 {
    status_byte_count("self", "VmHWM:")
}

/// The line of `/proc/<process>/status` that starts with `key`, in bytes; 0 where there is none.
fn status_byte_count(process: &str, key: &str) -> u64 {
    let status = fs_err::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let kibibytes = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kibibytes.unwrap_or(0) * 1024
}
