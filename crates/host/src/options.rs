//! What a caller decides about the endpoint.

use crate::server::ConnectionLimits;
use crate::{Error, Result};
use planforge_core::AccessToken;
use planforge_store::ObjectStore;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Options of the endpoint.
#[derive(Debug, Clone)]
pub struct HostOptions {
    /// Name of the endpoint, the `{name}` of `/endpoints/{name}/invocations`.
    pub endpoint: String,
    /// Address to listen on. Without a token it must be a loopback address. Port 0 chooses a free port.
    pub address: SocketAddr,
    /// Token that requests must carry. Without one, the endpoint is for this machine alone.
    pub token: Option<AccessToken>,
    /// The published copies. A request's target model is a key in it.
    pub store: Arc<dyn ObjectStore>,
    /// Folder for unpacked models. The endpoint makes a folder of its own in it and removes that at the end.
    pub work_folder: PathBuf,
    /// Memory that loaded models may take together.
    pub memory_budget_byte_count: u64,
    /// Threads of one inference.
    pub intra_op_threads: usize,
    /// What runs models.
    pub container: ContainerOptions,
    /// What runs engines in this process; without it only ONNX models are served by it.
    pub engines: Option<EngineOptions>,
    /// Longest time a request waits for its model to be loaded; then its response is to try again, and the
    /// load goes on. SageMaker: 60 s.
    pub load_timeout: Duration,
    /// Longest time a loaded model may take for an answer, time in the queue included. SageMaker: 60 s.
    pub invocation_timeout: Duration,
    /// Longest time a request's body may take to arrive.
    pub body_timeout: Duration,
    /// Connections that may be open at the same time; further ones are answered with the status 503.
    pub max_connections: usize,
    /// Longest time that a connection may be idle, or the head of a request may take.
    pub header_timeout: Duration,
    /// Bytes of the bodies of requests and of their tensors that may be in memory at the same time; further ones are answered with the status 503.
    pub max_body_bytes_at_once: usize,
    /// Longest time that requests in flight are waited for at the end.
    pub drain_timeout: Duration,
}

/// What runs the models of an endpoint.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ContainerOptions {
    /// The endpoint's own process.
    #[default]
    Embedded,
    /// Triton, started as the AWS image starts it, in a network of its own.
    Triton(TritonOptions),
    /// A container that runs already.
    Running(RunningContainer),
}

/// How Triton is started.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TritonOptions {
    /// The program `tritonserver`.
    pub server: PathBuf,
    /// Folder of its backends; its own when `None`.
    pub backends: Option<PathBuf>,
    /// Further arguments.
    pub arguments: Vec<String>,
    /// File of its log.
    pub log: PathBuf,
    /// The program that passes its standard input to [`crate::run_isolated`].
    pub program: PathBuf,
    /// Its arguments.
    pub program_arguments: Vec<String>,
}

/// A container that was started before the endpoint.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunningContainer {
    /// Where it listens.
    pub address: SocketAddr,
    /// Folder of this machine that it sees as `/opt/ml/models`.
    pub folder: PathBuf,
}

/// What runs TensorRT-RTX engines. The endpoint's memory is then that of the GPU.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineOptions {
    /// The library `libtensorrt_rtx.so.1`.
    pub library: PathBuf,
    /// Number of the GPU, in the driver's order.
    pub gpu: usize,
}

impl HostOptions {
    /// Options with SageMaker's time limits, one thread for each inference, connections for half of the descriptors that
    /// this process may open, and 1 GiB of bodies.
    #[must_use]
    pub fn new(
        endpoint: &str,
        address: SocketAddr,
        store: Arc<dyn ObjectStore>,
        work_folder: &Path,
        memory_budget_byte_count: u64,
    ) -> Self {
        Self {
            endpoint: endpoint.to_owned(),
            address,
            token: None,
            store,
            work_folder: work_folder.to_owned(),
            memory_budget_byte_count,
            intra_op_threads: 1,
            container: ContainerOptions::Embedded,
            engines: None,
            load_timeout: Duration::from_mins(1),
            invocation_timeout: Duration::from_mins(1),
            body_timeout: Duration::from_mins(1),
            max_connections: ConnectionLimits::default().count,
            header_timeout: ConnectionLimits::default().header_timeout,
            max_body_bytes_at_once: 1 << 30,
            drain_timeout: Duration::from_secs(10),
        }
    }

    /// Refuses what cannot work before anything is opened.
    pub(crate) fn check(&self) -> Result<()> {
        check_address(self.address, self.token.as_ref())?;
        let name = self.endpoint.as_bytes();
        let is_inner = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
        let is_edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
        if name.len() <= 63 && name.iter().all(is_inner) && is_edge(name.first()) && is_edge(name.last()) {
            Ok(())
        } else {
            Err(Error::EndpointName { endpoint: self.endpoint.clone() })
        }
    }
}

/// Checks that other machines cannot reach the address, unless requests must carry a token.
///
/// # Errors
/// [`Error::NotLoopback`].
pub fn check_address(address: SocketAddr, token: Option<&AccessToken>) -> Result<()> {
    if token.is_some() || address.ip().is_loopback() { Ok(()) } else { Err(Error::NotLoopback { address }) }
}
