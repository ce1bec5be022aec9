//! The process within the namespaces: prepares them, minds the server, and passes on connections to it.

use super::prepare::{bring_up_loopback, show_at};
use super::{CONNECT, FAILED, GIVEN, IsolatedRequest, MEMORY};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use std::io::{self, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longest wait for a server to listen.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// Runs the server of the request on `line` until `line` ends. The server is started again when it has ended by itself.
///
/// # Errors
/// Namespaces that cannot be prepared, and a server that does not listen.
pub fn run_isolated(mut line: UnixStream) -> io::Result<()> {
    let request: IsolatedRequest = serde_json::from_slice(&read_message(&mut line)?)?;
    let mut server = prepare(&request).and_then(|()| Server::start(request)).inspect_err(|_| {
        // Whoever waits learns the reason from the log.
        let _ = line.write_all(&[FAILED]);
    })?;
    line.write_all(&[GIVEN])?;
    let mut asked = [0];
    while line.read(&mut asked)? > 0 {
        match asked[0] {
            CONNECT => give(&line, server.connect())?,
            MEMORY => line.write_all(&memory_answer(resident_byte_count().ok()))?,
            _ => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
    Ok(())
}

/// The request, after its length.
fn read_message(line: &mut UnixStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    line.read_exact(&mut length)?;
    let mut message = Vec::new();
    line.take(u32::from_le_bytes(length).into()).read_to_end(&mut message)?;
    Ok(message)
}

fn prepare(request: &IsolatedRequest) -> io::Result<()> {
    let named = |what: &'static str| move |error| io::Error::other(format!("{what}: {error}"));
    bring_up_loopback().map_err(named("the loopback device cannot be set up"))?;
    let scratch = request.folder.with_extension("around");
    fs_err::create_dir_all(&scratch)?;
    show_at(&request.folder, &request.place, &scratch).map_err(named("folders cannot be mounted"))
}

/// The server as a child of this process. As this process is the first of its namespace, all others end with it.
struct Server {
    request: IsolatedRequest,
    child: Child,
}

impl Server {
    fn start(request: IsolatedRequest) -> io::Result<Self> {
        let child = spawn(&request)?;
        let mut server = Self { request, child };
        server.wait_until_it_listens()?;
        Ok(server)
    }

    fn wait_until_it_listens(&mut self) -> io::Result<()> {
        let start = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.request.port)).is_err() {
            let program = self.request.program.display();
            if let Some(status) = self.child.try_wait()? {
                return Err(io::Error::other(format!("`{program}` ended with {status}")));
            }
            if start.elapsed() > START_TIMEOUT {
                let seconds = START_TIMEOUT.as_secs();
                return Err(io::Error::other(format!("`{program}` does not listen after {seconds} s")));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn connect(&mut self) -> io::Result<TcpStream> {
        if let Some(status) = self.child.try_wait()? {
            // The log is all that is left to tell; it may be full.
            let _ = writeln!(io::stderr(), "the server ended with {status}, and is started again");
            self.child = spawn(&self.request)?;
            self.wait_until_it_listens()?;
        }
        TcpStream::connect((Ipv4Addr::LOCALHOST, self.request.port))
    }
}

/// Its output goes where that of this process goes.
fn spawn(request: &IsolatedRequest) -> io::Result<Child> {
    let mut command = Command::new(&request.program);
    command
        .args(&request.arguments)
        .envs(&request.environment)
        .stdin(Stdio::null())
        .stdout(io::stderr().as_fd().try_clone_to_owned()?);
    let program = request.program.display();
    command.spawn().map_err(|error| io::Error::other(format!("`{program}` does not start: {error}")))
}

/// Passes a connection on; its own copy is closed.
fn give(line: &UnixStream, connection: io::Result<TcpStream>) -> io::Result<()> {
    let Ok(connection) = connection else { return (&*line).write_all(&[FAILED]) };
    let descriptors = [connection.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&descriptors));
    sendmsg(line, &[IoSlice::new(&[GIVEN])], &mut control, SendFlags::empty())?;
    Ok(())
}

fn memory_answer(byte_count: Option<u64>) -> [u8; 9] {
    let mut answer = [FAILED; 9];
    if let Some(byte_count) = byte_count {
        answer[0] = GIVEN;
        answer[1..].copy_from_slice(&byte_count.to_le_bytes());
    }
    answer
}

/// Memory of all processes of this namespace but this one: of what several share, each has its part.
fn resident_byte_count() -> io::Result<u64> {
    let mut sum = 0;
    for item in fs_err::read_dir("/proc")? {
        let item = item?;
        let number: Option<u32> = item.file_name().to_str().and_then(|name| name.parse().ok());
        if number.is_none_or(|number| number == std::process::id()) {
            continue;
        }
        // A process may end meanwhile.
        let Ok(rollup) = fs_err::read_to_string(item.path().join("smaps_rollup")) else { continue };
        sum += crate::memory::byte_count(&rollup, "Pss:").unwrap_or(0);
    }
    Ok(sum)
}
