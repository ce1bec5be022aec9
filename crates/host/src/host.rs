//! The endpoint's life: bind, serve, end.

use crate::access::Access;
use crate::body::BodyRoom;
use crate::container::{Connector, Container, default_place, start_triton};
use crate::invocation::Invoker;
use crate::memory::Memory;
use crate::models::{Executor, LoadOptions, Models};
use crate::options::{ContainerOptions, RunningContainer};
use crate::processors::Processors;
use crate::routes::{Endpoint, router};
use crate::server::{ConnectionLimits, serve, serve_until};
use crate::target::Archives;
use crate::{Error, HostOptions, Result};
use planforge_core::{FileLock, try_lock};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::time::timeout;

/// A bound endpoint. Connections are accepted, and wait, until [`Self::serve`] is called.
#[derive(Debug)]
pub struct Host {
    listener: TcpListener,
    address: SocketAddr,
    models: Arc<Models>,
    endpoint: Arc<Endpoint>,
    access: Access,
    drain_timeout: Duration,
    connections: ConnectionLimits,
    work_folder: WorkFolder,
}

impl Host {
    /// Listens on the options' address. The ONNX Runtime library must be loaded before
    /// ([`planforge_runtime::load_library`]), so that it does not count as memory of a model.
    ///
    /// # Errors
    /// [`Error::NotLoopback`], [`Error::EndpointName`], [`Error::AddressInUse`], [`Error::Bind`],
    /// [`Error::Memory`], and I/O errors of the store and work folders.
    pub async fn bind(options: HostOptions) -> Result<Self> {
        options.check()?;
        let archives = Archives::open(Arc::clone(&options.store))?;
        let listener = listen(options.address).await?;
        let address = listener.local_addr()?;
        let work_folder = WorkFolder::create(&options.work_folder, address)?;
        let (executor, memory) = start_executor(&options, &work_folder.path).await?;
        let load_options = LoadOptions {
            work_folder: work_folder.path.clone(),
            endpoint: options.endpoint.clone(),
            budget_byte_count: options.memory_budget_byte_count,
            executor,
        };
        let models = Models::new(load_options, memory);
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        let processors = Processors::start(processors)?;
        let invoker = Invoker::new(Arc::clone(&models), processors, options.load_timeout, options.invocation_timeout);
        let endpoint = Endpoint {
            name: options.endpoint,
            archives,
            body_timeout: options.body_timeout,
            body_room: BodyRoom::new(options.max_body_bytes_at_once),
            invoker,
            request_count: AtomicU64::new(1),
        };
        let (drain_timeout, endpoint) = (options.drain_timeout, Arc::new(endpoint));
        let connections = ConnectionLimits { count: options.max_connections, header_timeout: options.header_timeout };
        let access = Access::new(options.token, options.body_timeout);
        Ok(Self { listener, address, models, endpoint, access, drain_timeout, connections, work_folder })
    }

    /// The address in use, with the port that was chosen.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers requests until `shutdown` is done, then those in flight, for as long as the options'
    /// drain time allows. Unloads all models and removes their files.
    ///
    /// # Errors
    /// The files cannot be removed.
    pub async fn serve(self, shutdown: impl Future<Output = ()> + Send + 'static) -> Result<()> {
        let (router, drain_timeout) = (router(self.endpoint, self.access), self.drain_timeout);
        serve_until(drain_timeout, shutdown, |ended| serve(self.listener, router, self.connections, ended)).await;
        // What still holds a model after that ends with the process.
        if timeout(drain_timeout, self.models.close()).await.is_err() {
            tracing::warn!("models were still in use at the end");
        }
        tokio::task::spawn_blocking(move || self.work_folder.remove()).await.map_err(io::Error::other)??;
        Ok(())
    }
}

/// What runs models, and the account of its memory.
async fn start_executor(options: &HostOptions, work_folder: &Path) -> Result<(Executor, Memory)> {
    let gpu = options.engines.as_ref().map(|engines| engines.gpu);
    match &options.container {
        ContainerOptions::Embedded => {
            let executor =
                Executor::Embedded { intra_op_threads: options.intra_op_threads, engines: options.engines.clone() };
            Ok((executor, Memory::start(gpu).map_err(Error::Memory)?))
        }
        ContainerOptions::Triton(triton) => {
            let folder = work_folder.join("models");
            let server = Arc::new(start_triton(triton, &folder)?);
            let connector = Connector::Isolated(Arc::clone(&server));
            let container = Container::new(connector, folder, default_place().to_owned());
            container.wait_until_live(&triton.server.display().to_string()).await?;
            let memory = match gpu {
                Some(_) => Memory::start(gpu),
                None => Memory::of_server(server),
            };
            Ok((Executor::Container(Arc::new(container)), memory.map_err(Error::Memory)?))
        }
        ContainerOptions::Running(RunningContainer { address, folder }) => {
            let place = default_place().to_owned();
            let container = Container::new(Connector::Address(*address), folder.clone(), place);
            container.wait_until_live(&address.to_string()).await?;
            Ok((Executor::Container(Arc::new(container)), Memory::Counted))
        }
    }
}

pub(crate) async fn listen(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|source| bind_error(address, source))
}

/// Listens on an address for a moment.
///
/// # Errors
/// [`Error::AddressInUse`] and [`Error::Bind`].
pub fn try_address(address: SocketAddr) -> Result<()> {
    std::net::TcpListener::bind(address).map(drop).map_err(|source| bind_error(address, source))
}

fn bind_error(address: SocketAddr, source: io::Error) -> Error {
    match source.kind() {
        io::ErrorKind::AddrInUse => Error::AddressInUse { address },
        _ => Error::Bind { address, source },
    }
}

/// The folder of unpacked models. It is named after the address, which no other endpoint can have at
/// the same time, so what an endpoint that was killed has left there can be removed.
#[derive(Debug)]
struct WorkFolder {
    path: PathBuf,
    /// A lock on the folder, which shows others that its endpoint runs.
    _lock: std::fs::File,
}

/// How the names of such folders begin.
const PREFIX: &str = "host-";

impl WorkFolder {
    fn create(parent: &Path, address: SocketAddr) -> Result<Self> {
        let ip = address.ip().to_string().replace(':', "-");
        let path = parent.join(format!("{PREFIX}{ip}-{}", address.port()));
        remove_abandoned(parent);
        remove(&path)?;
        loop {
            fs_err::create_dir_all(&path)?;
            let lock = std::fs::File::open(&path)?;
            // Before it was locked, another endpoint may have taken it for abandoned.
            if try_lock(&lock, &path)? != FileLock::Busy && path.is_dir() {
                return Ok(Self { path, _lock: lock });
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn remove(&self) -> io::Result<()> {
        remove(&self.path)
    }
}

impl Drop for WorkFolder {
    fn drop(&mut self) {
        // For an endpoint that never served, or whose future was dropped; `serve` reports failures.
        let _ = self.remove();
    }
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs_err::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Removes the folders in `parent` of endpoints that were killed, which nothing locks.
fn remove_abandoned(parent: &Path) {
    for item in fs_err::read_dir(parent).into_iter().flatten().flatten() {
        let is_folder = item.file_name().to_string_lossy().starts_with(PREFIX);
        let lock = std::fs::File::open(item.path()).ok().filter(|_| is_folder);
        if lock.is_some_and(|lock| matches!(try_lock(&lock, &item.path()), Ok(FileLock::Held))) {
            // What cannot be removed does not keep this endpoint from working.
            let _ = remove(&item.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_endpoints_that_were_killed_are_removed_by_the_next() {
        let parent = tempfile::tempdir().unwrap();
        let killed = parent.path().join("host-127.0.0.1-1/archive");
        fs_err::create_dir_all(&killed).unwrap();
        fs_err::create_dir_all(parent.path().join("other")).unwrap();
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let first = WorkFolder::create(parent.path(), address(2)).unwrap();
        assert!(!killed.exists());
        let second = WorkFolder::create(parent.path(), address(3)).unwrap();
        assert!(first.path.is_dir() && second.path.is_dir() && parent.path().join("other").is_dir());
        drop(first);
        assert!(second.path.is_dir());
        assert_eq!(fs_err::read_dir(parent.path()).unwrap().count(), 2);
    }
}
