//! Accepts connections, as many as there are descriptors for.

use crate::api_error::ApiError;
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use planforge_core::allowed_descriptors;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// Connections beyond the limit that are answered at the same time; further ones are closed.
const REFUSED: usize = 64;
/// Longest time that the head of a request may take on such a connection.
const REFUSED_TIMEOUT: Duration = Duration::from_secs(1);
/// Pause after a failure to accept a connection, such as a lack of descriptors.
const PAUSE: Duration = Duration::from_millis(100);
/// Most connections, however many descriptors there are.
const MOST_CONNECTIONS: usize = 10_000;

/// Longest time that a connection may be idle, or the head of a request may take, unless it is set.
const HEADER_TIMEOUT: Duration = Duration::from_mins(1);

/// Limits of connections.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConnectionLimits {
    /// Open at the same time.
    pub(crate) count: usize,
    /// Longest time that a connection may be idle, or the head of a request may take.
    pub(crate) header_timeout: Duration,
}

/// Connections that half of this process's descriptors are enough for. The others are for models, stores, and requests to
/// containers.
fn default_connections() -> usize {
    usize::try_from(allowed_descriptors() / 2).unwrap_or(MOST_CONNECTIONS).clamp(1, MOST_CONNECTIONS)
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self { count: default_connections(), header_timeout: HEADER_TIMEOUT }
    }
}

/// Runs a server that is given the end of its work, `shutdown`. Requests in flight then are cut off after `drain_timeout`.
pub(crate) async fn serve_until<S: Future<Output = ()>>(
    drain_timeout: Duration,
    shutdown: impl Future<Output = ()> + Send + 'static,
    server: impl FnOnce(Pin<Box<dyn Future<Output = ()> + Send>>) -> S,
) {
    let (drain, draining) = oneshot::channel();
    let server = server(Box::pin(async move {
        shutdown.await;
        let _ = drain.send(());
    }));
    let cut_off = async move {
        let _ = draining.await;
        tokio::time::sleep(drain_timeout).await;
    };
    tokio::select! {
        () = server => {}
        () = cut_off => tracing::warn!(?drain_timeout, "requests were cut off"),
    }
}

/// Answers requests until `shutdown` is done, then those in flight. A connection beyond the limit gets the status 503.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    limits: ConnectionLimits,
    shutdown: impl Future<Output = ()>,
) {
    let graceful = GracefulShutdown::new();
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(limits.header_timeout);
    let mut refusing = http1::Builder::new();
    refusing.timer(TokioTimer::new()).header_read_timeout(REFUSED_TIMEOUT).keep_alive(false);
    let overloaded = Router::new().fallback(async || ApiError::Overloaded);
    let (places, refused) = (Arc::new(Semaphore::new(limits.count)), Arc::new(Semaphore::new(REFUSED)));
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) if is_of_one_connection(&error) => continue,
            Err(error) => {
                tracing::error!(%error, "a connection cannot be accepted");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        if let Ok(place) = Arc::clone(&places).try_acquire_owned() {
            spawn(&server, &router, (stream, place), graceful.watcher());
        } else if let Ok(place) = Arc::clone(&refused).try_acquire_owned() {
            tracing::warn!(connections = limits.count, "a connection beyond the limit was refused");
            spawn(&refusing, &overloaded, (stream, place), graceful.watcher());
        }
    }
    drop(listener);
    graceful.shutdown().await;
}

/// Serves one connection for as long as it is open.
fn spawn(
    server: &http1::Builder,
    router: &Router,
    (stream, place): (TcpStream, OwnedSemaphorePermit),
    watcher: Watcher,
) {
    // Answers are written whole, so that waiting for more of them only delays them.
    let _ = stream.set_nodelay(true);
    let connection = server.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router.clone()));
    let connection = watcher.watch(connection);
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection ended");
        }
        drop(place);
    });
}

/// Whether the client has left before it was accepted.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
