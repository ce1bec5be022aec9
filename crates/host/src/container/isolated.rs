//! A server in namespaces of its own: its network has no other device than the loopback one, so that a port that is bound
//! to all addresses is reached from here alone; its processes end when this one does.
//!
//! [`IsolatedServer`] is this process's side, [`run_isolated`] that of the process within. The two share a pair of
//! sockets, over which the process within passes connections that it has made. Connections belong to the namespace in
//! which they are made, wherever they are used.

mod inside;
mod prepare;

use crate::last_log_line::last_log_line;
use crate::{Error, Result};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{self, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

pub use inside::run_isolated;

/// What is asked of the process within; each is one byte.
const CONNECT: u8 = b'c';
const MEMORY: u8 = b'm';
/// Its answers: what was asked for follows, or nothing does.
const GIVEN: u8 = b'+';
const FAILED: u8 = b'-';

/// A server to run in namespaces of its own.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IsolatedRequest {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Variables beyond those of this process.
    pub environment: BTreeMap<String, String>,
    /// The port that it listens on.
    pub port: u16,
    /// The folder that it sees at [`Self::place`].
    pub folder: PathBuf,
    /// An absolute path, which need not exist outside.
    pub place: PathBuf,
    /// File of its output.
    pub log: PathBuf,
}

/// A running server. Dropping it ends the server.
#[derive(Debug)]
pub(crate) struct IsolatedServer {
    child: Mutex<Child>,
    line: Mutex<UnixStream>,
}

impl IsolatedServer {
    /// Starts `program`, which passes its standard input to [`run_isolated`], in namespaces of its own.
    ///
    /// # Errors
    /// [`Error::Isolated`] where no namespaces can be made.
    pub(crate) fn start(program: &Path, arguments: &[String], request: &IsolatedRequest) -> Result<Self> {
        let (mut line, theirs) = UnixStream::pair()?;
        let log = fs_err::File::create(&request.log)?.into_parts().0;
        let mut command = Command::new("unshare");
        command.args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--map-root-user"]);
        command.arg(program).args(arguments);
        command.stdin(OwnedFd::from(theirs)).stdout(Stdio::null()).stderr(log);
        let child = command.spawn().map_err(|error| Error::Isolated { reason: format!("`unshare`: {error}") })?;
        // The command holds the other end of the line open.
        drop(command);
        let text = serde_json::to_string(request).expect("a request is plain data");
        let server = Self { child: Mutex::new(child), line: Mutex::new(line.try_clone()?) };
        let mut answer = [FAILED];
        let length = u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes();
        let sent = line.write_all(&length).and_then(|()| line.write_all(text.as_bytes()));
        let answered = sent.and_then(|()| line.read_exact(&mut answer));
        match answered {
            Ok(()) if answer == [GIVEN] => Ok(server),
            _ => {
                drop(server);
                Err(Error::Isolated { reason: last_log_line(&request.log) })
            }
        }
    }

    /// A connection to the server's port.
    ///
    /// # Errors
    /// The server does not listen, or has ended.
    pub(crate) fn connect(&self) -> io::Result<TcpStream> {
        let line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        (&*line).write_all(&[CONNECT])?;
        let mut answer = [FAILED];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = recvmsg(&*line, &mut [IoSliceMut::new(&mut answer)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
        if received.bytes == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let passed = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
            _ => None,
        });
        passed.map(TcpStream::from).ok_or_else(|| io::ErrorKind::ConnectionRefused.into())
    }

    /// Bytes of memory that the processes within hold, shared ones counted once.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) fn resident_byte_count(&self) -> io::Result<u64> {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        line.write_all(&[MEMORY])?;
        let mut answer = [0; 9];
        line.read_exact(&mut answer)?;
        let [GIVEN, number @ ..] = answer else { return Err(io::Error::other("the server's memory cannot be read")) };
        Ok(u64::from_le_bytes(number))
    }
}

impl Drop for IsolatedServer {
    fn drop(&mut self) {
        // The end of the line ends the process within, and `unshare` with it.
        let line = self.line.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _ = line.shutdown(std::net::Shutdown::Both);
        let _ = self.child.get_mut().unwrap_or_else(PoisonError::into_inner).wait();
    }
}
