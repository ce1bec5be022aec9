//! The local endpoint as a process of its own, so that the memory it reports is the models' alone.
//!
//! The child is this program again. It reads a [`HostRequest`] as one line, answers with a
//! [`HostAnswer`], and serves until its standard input ends, which happens when the parent is done or
//! gone.

use crate::failure::Missing;
use anyhow::{Context, Result, bail};
use planforge_core::{StoreSpec, end_child, send_request, start_child};
use serde::{Deserialize, Serialize};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

/// Longest wait for requests in flight when the endpoint ends.
const STOP_PATIENCE: Duration = Duration::from_secs(15);

/// glibc's allocator keeps most of what is freed, by default, so that an unloaded model's memory would
/// still count. With a fixed threshold large blocks go back at once; the threshold and huge pages are a
/// compromise with the time it takes to map activations anew for every inference. Measured with
/// all-MiniLM-L6-v2 in fp32, one inference of 1 x 128 tokens, and what stays after six models are gone:
/// default 23 ms and nearly everything; 128 KiB 50 ms and 17 MiB; 512 KiB with huge pages 35 ms and 20 MiB.
const ALLOCATOR: [(&str, &str); 4] = [
    ("MALLOC_ARENA_MAX", "2"),
    ("MALLOC_MMAP_THRESHOLD_", "524288"),
    ("MALLOC_TRIM_THRESHOLD_", "16777216"),
    ("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1"),
];

/// What the child is asked to serve.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HostRequest {
    /// Name in the route.
    pub(crate) endpoint: String,
    /// Where to listen; port 0 takes a free one.
    pub(crate) address: SocketAddr,
    /// Address of the published copies.
    pub(crate) store_url: String,
    /// Settings of a store on S3.
    pub(crate) store: StoreSpec,
    /// Folder for unpacked models.
    pub(crate) work_folder: PathBuf,
    /// Memory that loaded models may take together.
    pub(crate) memory_budget_byte_count: u64,
    /// Threads of one inference.
    pub(crate) intra_op_threads: usize,
    /// The ONNX Runtime library.
    pub(crate) onnx_runtime: PathBuf,
    /// Where engines are served: the TensorRT-RTX library, and the number of the GPU.
    pub(crate) engines: Option<(PathBuf, usize)>,
}

/// The child's only words.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum HostAnswer {
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

/// A running endpoint. Dropping it ends the process.
pub(crate) struct LocalEndpoint {
    /// Base URL.
    pub(crate) url: String,
    child: Child,
    log: PathBuf,
}

impl LocalEndpoint {
    /// Starts the child and waits until it serves. Its log goes to `log`.
    pub(crate) fn start(request: &HostRequest, log: &Path, verbose: u8) -> Result<Self> {
        let program = std::env::current_exe().context("the path of this program is unknown")?;
        fs_err::create_dir_all(log.parent().unwrap_or(Path::new(".")))?;
        let mut command = Command::new(program);
        command.args(["internal", "host"]).args(std::iter::repeat_n("-v", usize::from(verbose))).envs(ALLOCATOR);
        command.stderr(fs_err::File::create(log)?.into_parts().0);
        let mut child = start_child(&mut command).context("the local endpoint does not start")?;
        let answer = converse(&mut child, request);
        let mut endpoint = Self { url: String::new(), child, log: log.to_owned() };
        match answer {
            Ok(HostAnswer::Ready(address)) => endpoint.url = format!("http://{address}"),
            Ok(HostAnswer::Failed { library_missing: true, message }) => return Err(Missing(message).into()),
            Ok(HostAnswer::Failed { message, .. }) => bail!(message),
            Err(error) => {
                let status = endpoint.child.wait()?;
                return Err(error).with_context(|| endpoint.last_words(status));
            }
        }
        Ok(endpoint)
    }

    /// Fails when the process has ended by itself.
    pub(crate) fn ensure_alive(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!(self.last_words(status)),
        }
    }

    /// Lets requests in flight end, then the process.
    pub(crate) fn stop(mut self) -> Result<()> {
        match self.end()? {
            Some(status) if status.success() => Ok(()),
            Some(status) => bail!(self.last_words(status)),
            None => bail!("the local endpoint did not end within {} s and was killed", STOP_PATIENCE.as_secs()),
        }
    }

    /// Asks the process to end and waits for it, as long as patience lasts.
    fn end(&mut self) -> Result<Option<ExitStatus>> {
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

    fn last_words(&self, status: ExitStatus) -> String {
        let log = fs_err::read_to_string(&self.log).unwrap_or_default();
        let last =
            log.lines().next_back().map_or_else(|| "its log is empty".to_owned(), |line| format!("last words: {line}"));
        format!("the local endpoint ended with {status}; {last}")
    }
}

impl Drop for LocalEndpoint {
    fn drop(&mut self) {
        if !matches!(self.end(), Ok(Some(_))) {
            end_child(&mut self.child);
        }
    }
}

/// Sends the request and reads the answer; standard input stays open.
fn converse(child: &mut Child, request: &HostRequest) -> Result<HostAnswer> {
    send_request(child, request);
    let stdout = child.stdout.as_mut().context("the local endpoint has no standard output")?;
    let mut answer = String::new();
    BufReader::new(stdout).read_line(&mut answer)?;
    serde_json::from_str(&answer).context("the local endpoint gave no answer")
}
