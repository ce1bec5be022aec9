//! Connections to a container.

use super::isolated::IsolatedServer;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpStream;

/// Where a container listens.
#[derive(Debug, Clone)]
pub(crate) enum Connector {
    /// At an address that this process reaches.
    Address(SocketAddr),
    /// In a network namespace of its own.
    Isolated(Arc<IsolatedServer>),
}

impl Connector {
    /// A new connection. Every request has one: Triton ties idle connections to threads that loads can block.
    ///
    /// # Errors
    /// The container does not listen.
    pub(crate) async fn connect(&self) -> io::Result<TcpStream> {
        let stream = match self {
            Self::Address(address) => TcpStream::connect(address).await?,
            Self::Isolated(server) => {
                let server = Arc::clone(server);
                let stream =
                    tokio::task::spawn_blocking(move || server.connect()).await.map_err(io::Error::other)??;
                stream.set_nonblocking(true)?;
                TcpStream::from_std(stream)?
            }
        };
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}
