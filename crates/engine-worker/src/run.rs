//! The life of the process: request, build, response.

use crate::{rtx, trtexec};
use planforge_core::{exit_when_stdin_ends, read_request};
use planforge_engine_protocol::{VERSION_FLAG, WorkerFailure, WorkerRequest, WorkerResponse, version_line};
use planforge_heap::SystemAllocator;
use std::io::{self, Write};
use std::process::ExitCode;

/// Rust code allocates outside the deterministic allocator, so that the bytes of engines depend on the library alone.
#[global_allocator]
static ALLOCATOR: SystemAllocator = SystemAllocator;

/// Exit code for arguments or a request that planforge does not send.
const USAGE: u8 = 2;

/// Reads a [`WorkerRequest`] from standard input, builds the engine and writes the response to standard output; with
/// `--version`, prints name and version instead. Ends at once when standard input does, because planforge has ended then.
pub fn run() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    match arguments.as_slice() {
        [] => build_one(),
        [flag] if flag == VERSION_FLAG => write_line(&version_line()),
        _ => refuse("unknown arguments"),
    }
}

fn build_one() -> ExitCode {
    let request = match read_request() {
        Ok(request) => request,
        Err(error) => return refuse(&error.to_string()),
    };
    exit_when_stdin_ends();
    write_line(&serde_json::to_string(&build(&request)).expect("a response is plain data"))
}

fn build(request: &WorkerRequest) -> Result<WorkerResponse, WorkerFailure> {
    let built = match &request.tool {
        Some(tool) => trtexec::build(tool, request),
        None => rtx::build(request),
    };
    built.map_err(|error| error.to_failure())
}

fn write_line(line: &str) -> ExitCode {
    let mut stdout = io::stdout().lock();
    match writeln!(stdout, "{line}").and_then(|()| stdout.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        // planforge has ended.
        Err(_) => ExitCode::FAILURE,
    }
}

fn refuse(reason: &str) -> ExitCode {
    // Without standard error, the exit code is all there is.
    let _ = writeln!(
        io::stderr(),
        "error: {reason}; planforge starts this program and sends it a request on standard input"
    );
    ExitCode::from(USAGE)
}
