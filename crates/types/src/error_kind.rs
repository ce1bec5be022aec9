//! What a failure means to whoever called, the same for every crate.

use std::io;

/// The class of an error. Every crate's error type has a method `kind` that returns one; programs decide by it what to do
/// next, and the command line picks its exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The caller's input is invalid: an argument, a pipeline file, a checkpoint, a request. Nothing changes until it does.
    BadInput,
    /// The machine lacks something: a library, a driver, a GPU, credentials, disk space.
    Environment,
    /// A comparison or verification ran and did not hold.
    CheckFailed,
    /// Something that was named does not exist: a file, repository, bucket or model.
    NotFound,
    /// Whoever owns it refused access.
    Denied,
    /// It may succeed when tried again: a time-out, a broken connection, a busy server.
    Transient,
    /// The user stopped it.
    Cancelled,
    /// Anything else, including faults of planforge itself.
    Internal,
}

impl ErrorKind {
    /// The class of an I/O error.
    #[must_use]
    pub fn of_io(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::InvalidData => Self::BadInput,
            io::ErrorKind::NotFound => Self::NotFound,
            io::ErrorKind::PermissionDenied => Self::Denied,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::ReadOnlyFilesystem => {
                Self::Environment
            }
            io::ErrorKind::TimedOut
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused => Self::Transient,
            _ => Self::Internal,
        }
    }
}

/// The next step after an I/O error, where there is one.
#[must_use]
pub fn io_hint(error: &io::Error) -> Option<&'static str> {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Some(
            "free some space, for example with `planforge cache prune`, or choose another disk with --output, or with key \
             `store.url` for copies",
        ),
        io::ErrorKind::ReadOnlyFilesystem => {
            Some("choose another folder with --output, or with key `store.url` for copies")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_the_environment_and_has_a_next_step() {
        let error = io::Error::from(io::ErrorKind::StorageFull);
        assert_eq!(ErrorKind::of_io(&error), ErrorKind::Environment);
        assert!(io_hint(&error).unwrap().contains("cache prune"));
        let error = io::Error::from(io::ErrorKind::NotFound);
        assert_eq!((ErrorKind::of_io(&error), io_hint(&error)), (ErrorKind::NotFound, None));
    }
}
