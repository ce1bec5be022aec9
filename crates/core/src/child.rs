//! Processes of planforge's own that are asked one thing: a request as a line of JSON on standard input, the answer on
//! standard output. They end when standard input does, as nobody waits for them then.

use serde::Serialize;
use std::io::{self, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};

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
