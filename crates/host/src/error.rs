//! What can go wrong when the endpoint starts and ends. An error of one request is sent to
//! its sender instead.

use planforge_core::{ErrorKind, io_hint};
use std::net::SocketAddr;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another program listens there.
    #[error("address `{address}` is in use; choose another port")]
    AddressInUse {
        /// The address asked for.
        address: SocketAddr,
    },
    /// Without a token, an endpoint is for this machine alone.
    #[error("address `{address}` can be reached from other machines, and the endpoint has no token")]
    NotLoopback {
        /// The address asked for.
        address: SocketAddr,
    },
    /// The address cannot be listened on for another reason.
    #[error("cannot listen on address `{address}`")]
    Bind {
        /// The address asked for.
        address: SocketAddr,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// A name that no endpoint of SageMaker could have.
    #[error("invalid endpoint name `{endpoint}`; expected 1 to 63 letters, digits and inner hyphens")]
    EndpointName {
        /// The name given.
        endpoint: String,
    },
    /// Two endpoints at one address have the same name.
    #[error("two endpoints have the name `{endpoint}`")]
    SameName {
        /// The name.
        endpoint: String,
    },
    /// Memory of this process, or free memory of the GPU, is unknown.
    #[error("the memory that models take cannot be read")]
    Memory(#[source] std::io::Error),
    /// A server that listens on all addresses could not be kept to this machine.
    #[error("a container cannot be started in a network of its own: {reason}")]
    Isolated {
        /// Why.
        reason: String,
    },
    /// A container does not answer.
    #[error("the container at {address} does not answer: {reason}")]
    Container {
        /// Where it is.
        address: String,
        /// Why.
        reason: String,
    },
    /// A folder could not be read, made or removed, or the server stopped; the text names the path.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// Result with this crate's error.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// The class of this error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::AddressInUse { .. }
            | Self::NotLoopback { .. }
            | Self::EndpointName { .. }
            | Self::SameName { .. } => ErrorKind::BadInput,
            Self::Bind { source, .. } | Self::Io(source) => ErrorKind::of_io(source),
            Self::Memory(_) | Self::Isolated { .. } => ErrorKind::Environment,
            Self::Container { .. } => ErrorKind::Transient,
        }
    }

    /// The next step, where there is one.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Bind { source, .. } | Self::Io(source) => io_hint(source),
            Self::Isolated { .. } => Some(
                "start the container yourself where no other machine reaches its port, and name it with \
                 `--container http://127.0.0.1:PORT`",
            ),
            Self::NotLoopback { .. } => Some(
                "set PLANFORGE_HOST_TOKEN to a secret of 16 letters and digits or more, which clients send, or listen on 127.0.0.1",
            ),
            _ => None,
        }
    }
}
