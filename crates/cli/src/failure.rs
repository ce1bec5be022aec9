//! From an error to its class, its exit code and the next step.

use planforge_core::ErrorKind;
use std::error::Error as StdError;
use std::process::ExitCode;

/// A check that was run and did not hold.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct CheckFailed(pub(crate) String);

/// A pipeline file or argument that is at fault.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BadUsage(pub(crate) String);

/// A part of the environment that is missing.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Missing(pub(crate) String);

/// The hint for an environment that lacks something, where the error has none of its own.
const DOCTOR: &str = "`planforge doctor` shows what is missing; `scripts/setup` in a clone of planforge installs it; outside \
    the clone set PLANFORGE_NATIVE_DIR to the clone's .native";

/// What the first error of a chain whose type has classes returns from a method.
macro_rules! of_known_error {
    ($cause:expr, $method:ident) => {
        of_known_error!(
            $cause, $method, planforge_pipeline::Error, planforge_validate::Error, planforge_core::Error,
            planforge_hub::Error, planforge_engine::Error, planforge_runtime::Error, planforge_tensorrt::Error,
            planforge_package::Error, planforge_triton_config::Error, planforge_store::Error, planforge_bench::Error,
            planforge_host::Error, planforge_report::Error
        )
    };
    ($cause:expr, $method:ident, $($error:ty),+) => {
        None$(.or_else(|| $cause.downcast_ref::<$error>().map(|error| error.$method())))+
    };
}

/// The class of `error`: that of the first cause with one.
pub(crate) fn kind(error: &anyhow::Error) -> ErrorKind {
    error.chain().find_map(kind_of_cause).unwrap_or(ErrorKind::Internal)
}

fn kind_of_cause(cause: &(dyn StdError + 'static)) -> Option<ErrorKind> {
    let is = |found: bool, kind: ErrorKind| found.then_some(kind);
    of_known_error!(cause, kind)
        .or(is(cause.is::<CheckFailed>(), ErrorKind::CheckFailed))
        .or(is(cause.is::<BadUsage>(), ErrorKind::BadInput))
        .or(is(cause.is::<Missing>(), ErrorKind::Environment))
        .or(cause.downcast_ref().map(ErrorKind::of_io))
}

/// The exit code of a class.
pub(crate) fn exit_code(kind: ErrorKind) -> ExitCode {
    ExitCode::from(match kind {
        ErrorKind::BadInput => 2,
        ErrorKind::Environment => 3,
        ErrorKind::CheckFailed => 4,
        // As a shell reports a process ended by SIGINT.
        ErrorKind::Cancelled => 130,
        ErrorKind::NotFound | ErrorKind::Denied | ErrorKind::Transient | ErrorKind::Internal => 1,
    })
}

/// The next step after `error`, where there is one.
pub(crate) fn hint(error: &anyhow::Error) -> Option<&'static str> {
    let is_no_gpu = matches!(error.downcast_ref(), Some(planforge_pipeline::Error::NoLocalGpu { .. }));
    let general = (kind(error) == ErrorKind::Environment && !is_no_gpu).then_some(DOCTOR);
    error.chain().find_map(|cause| of_known_error!(cause, hint).flatten()).or(general)
}
