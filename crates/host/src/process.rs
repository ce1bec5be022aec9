//! The local endpoint as a child process, so that the memory it reports is that of its models alone.
//!
//! The child reads a [`HostRequest`] as one line, answers with a [`HostResponse`] as one line, and serves until its standard
//! input ends, which happens when the parent is done or gone.

use crate::last_log_line::last_log_line;
use crate::{ContainerOptions, EngineOptions, Host, HostOptions};
use planforge_core::{AccessToken, ErrorKind, StoreSpec, end_child, io_hint, send_request, start_child};
use planforge_store::ObjectStore;
use serde::{Deserialize, Serialize};
use std::fs::{File, TryLockError};
use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Longest wait for requests in flight when the endpoint ends.
const STOP_PATIENCE: Duration = Duration::from_secs(15);
/// Most endpoints of a pipeline that run at the same time.
const MOST_LOGS: usize = 1000;

/// glibc's allocator keeps most of what is freed, by default, so that an unloaded model's memory would still count. With a
/// fixed threshold large blocks are returned at once. Inference does not pay for it, since its working memory stays in the
/// session's arena (`scripts/bench host`). Huge pages would make no difference to that, and round what small models take up to 2 MiB.
const ALLOCATOR: [(&str, &str); 3] =
    [("MALLOC_ARENA_MAX", "2"), ("MALLOC_MMAP_THRESHOLD_", "524288"), ("MALLOC_TRIM_THRESHOLD_", "16777216")];

/// What the child serves.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostRequest {
    /// Name in the route.
    pub endpoint: String,
    /// Where to listen; port 0 stands for a free one.
    pub address: SocketAddr,
    /// What requests must carry.
    pub token: Option<AccessToken>,
    /// Address of the published copies.
    pub store_url: String,
    /// Settings of a store on S3.
    pub store: StoreSpec,
    /// Folder for unpacked models.
    pub work_folder: PathBuf,
    /// Memory that loaded models may take together.
    pub memory_budget_byte_count: u64,
    /// Threads of one inference.
    pub intra_op_threads: usize,
    /// The ONNX Runtime library.
    pub onnx_runtime: PathBuf,
    /// What runs models.
    pub container: ContainerOptions,
    /// What runs engines; none where the endpoint serves none.
    pub engines: Option<EngineOptions>,
}

/// The child's only line.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HostResponse {
    /// It serves.
    Ready(SocketAddr),
    /// It does not.
    Failed {
        /// Whether a native library is at fault.
        library_missing: bool,
        /// The reason.
        message: String,
    },
}

/// Why a local endpoint did not start, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// A file could not be read or written; the text names the path.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The program does not start.
    #[error("the local endpoint does not start")]
    Start {
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A native library does not load.
    #[error("{message}")]
    Library {
        /// The child's error.
        message: String,
    },
    /// The endpoint cannot serve.
    #[error("{message}")]
    Failed {
        /// The child's error.
        message: String,
    },
    /// The process ended by itself.
    #[error("the local endpoint ended with {status}; {log}")]
    Ended {
        /// How it ended.
        status: ExitStatus,
        /// Its last log line.
        log: String,
    },
    /// The process did not end when it was asked to.
    #[error("the local endpoint did not end within {seconds} s and was killed")]
    Killed {
        /// How long it was waited for.
        seconds: u64,
    },
}

impl ProcessError {
    /// The class of this error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Io(error) => ErrorKind::of_io(error),
            Self::Library { .. } => ErrorKind::Environment,
            Self::Start { .. } | Self::Failed { .. } | Self::Ended { .. } | Self::Killed { .. } => ErrorKind::Internal,
        }
    }

    /// The next step, where the text does not name it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Io(error) | Self::Start { source: error } => io_hint(error),
            Self::Library { .. } | Self::Failed { .. } | Self::Ended { .. } | Self::Killed { .. } => None,
        }
    }
}

impl HostRequest {
    /// The child's side: loads ONNX Runtime and listens. `store` is the one at the request's address.
    ///
    /// # Errors
    /// The response that reports why it cannot.
    pub async fn bind(&self, store: Arc<dyn ObjectStore>) -> Result<Host, HostResponse> {
        planforge_runtime::load_library(&self.onnx_runtime).map_err(|error| failed(&error, true))?;
        let budget = self.memory_budget_byte_count;
        let options = HostOptions {
            token: self.token.clone(),
            intra_op_threads: self.intra_op_threads,
            container: self.container.clone(),
            engines: self.engines.clone(),
            ..HostOptions::new(&self.endpoint, self.address, store, &self.work_folder, budget)
        };
        Host::bind(options).await.map_err(|error| failed(&error, false))
    }
}

impl HostResponse {
    /// The response of a child that cannot serve for this reason.
    #[must_use]
    pub fn failed(error: &dyn std::error::Error) -> Self {
        failed(error, false)
    }
}

fn failed(error: &dyn std::error::Error, library_missing: bool) -> HostResponse {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let mut message = String::new();
    for cause in causes.map(ToString::to_string).filter(|cause| !cause.is_empty()) {
        // An error may have its cause's text in its own.
        if !message.contains(&cause) {
            message = if message.is_empty() { cause } else { format!("{message}: {cause}") };
        }
    }
    HostResponse::Failed { library_missing, message }
}

/// A running endpoint. Dropping it ends the process.
#[derive(Debug)]
pub struct LocalEndpoint {
    /// Where it listens.
    pub address: SocketAddr,
    child: Child,
    log: PathBuf,
}

impl LocalEndpoint {
    /// Starts `program`, which passes its request to [`HostRequest::bind`], and waits until it serves. Its log is written
    /// to `log`, or next to it where another endpoint writes there.
    ///
    /// # Errors
    /// A program that does not start, a native library that does not load, and a process that ends.
    pub fn start(
        program: &Path,
        arguments: &[String],
        request: &HostRequest,
        log: &Path,
    ) -> Result<Self, ProcessError> {
        let (file, log) = open_log(log)?;
        let mut command = Command::new(program);
        command.args(arguments).envs(ALLOCATOR).stderr(file);
        let mut child = start_child(&mut command).map_err(|source| ProcessError::Start { source })?;
        let response = ask(&mut child, request);
        let mut endpoint = Self { address: request.address, child, log };
        match response? {
            Some(HostResponse::Ready(address)) => endpoint.address = address,
            Some(HostResponse::Failed { library_missing: true, message }) => {
                return Err(ProcessError::Library { message });
            }
            Some(HostResponse::Failed { message, .. }) => return Err(ProcessError::Failed { message }),
            None => {
                let status = endpoint.child.wait()?;
                return Err(endpoint.ended(status));
            }
        }
        Ok(endpoint)
    }

    /// Base URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Fails where the process has ended by itself.
    ///
    /// # Errors
    /// [`ProcessError::Ended`].
    pub fn ensure_alive(&mut self) -> Result<(), ProcessError> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(self.ended(status)),
        }
    }

    /// Lets requests in flight end, then the process.
    ///
    /// # Errors
    /// A process that ends with a failure, or not in time.
    pub fn stop(mut self) -> Result<(), ProcessError> {
        match self.end()? {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(self.ended(status)),
            None => Err(ProcessError::Killed { seconds: STOP_PATIENCE.as_secs() }),
        }
    }

    /// Asks the process to end and waits for it, up to [`STOP_PATIENCE`].
    fn end(&mut self) -> io::Result<Option<ExitStatus>> {
        drop(self.child.stdin.take());
        let start = Instant::now();
        while start.elapsed() < STOP_PATIENCE {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(status));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(None)
    }

    fn ended(&self, status: ExitStatus) -> ProcessError {
        ProcessError::Ended { status, log: last_log_line(&self.log) }
    }
}

impl Drop for LocalEndpoint {
    fn drop(&mut self) {
        if !matches!(self.end(), Ok(Some(_))) {
            end_child(&mut self.child);
        }
    }
}

/// The file `log`, emptied; with a number in its name where another endpoint still writes to it. The lock lasts as long as the child
/// that has the file; where files cannot be locked, two may write to one.
fn open_log(log: &Path) -> io::Result<(File, PathBuf)> {
    fs_err::create_dir_all(log.parent().unwrap_or(Path::new(".")))?;
    for number in 1..=MOST_LOGS {
        let path = if number == 1 { log.to_owned() } else { log.with_extension(format!("{number}.log")) };
        let file = fs_err::OpenOptions::new().append(true).create(true).open(&path)?.into_parts().0;
        if !matches!(file.try_lock(), Err(TryLockError::WouldBlock)) {
            file.set_len(0)?;
            return Ok((file, path));
        }
    }
    Err(io::Error::other(format!("{MOST_LOGS} endpoints of one pipeline write to `{}`", log.display())))
}

/// Sends the request and reads the response, if one comes; standard input stays open.
fn ask(child: &mut Child, request: &HostRequest) -> io::Result<Option<HostResponse>> {
    send_request(child, request);
    let stdout = child.stdout.as_mut().expect("a child is started with pipes");
    let mut response = String::new();
    BufReader::new(stdout).read_line(&mut response)?;
    Ok(serde_json::from_str(&response).ok())
}
