//! Name and version of the worker: planforge and its worker are built from the same sources.

/// File name of the worker program.
pub const WORKER_PROGRAM: &str = "planforge-engine-worker";

/// Version of planforge and of its worker.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The argument that makes the worker print [`version_line`] and exit.
pub const VERSION_FLAG: &str = "--version";

/// The line that a worker of this version prints, without its end.
#[must_use]
pub fn version_line() -> String {
    format!("{WORKER_PROGRAM} {VERSION}")
}
