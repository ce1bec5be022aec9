//! Answers other than success, in the words of SageMaker and of the container behind it.

use axum::Json;
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::{IntoResponse, Response};
use planforge_core::{ACCESS_TOKEN_VARIABLE, EndpointError};
use serde_json::json;
use std::fmt::Write as _;

/// Header that names the kind of error.
const ERROR_TYPE_HEADER: &str = "x-amzn-errortype";

/// Why a request gets no inference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ApiError {
    /// The request is wrong before any model has seen it.
    Validation(String),
    /// The model's container answered `status` and something other than an inference.
    Model {
        /// Its status.
        status: u16,
        /// The body of its answer.
        original: String,
    },
    /// The model's container ended the connection.
    NoResponse,
    /// The model took too long.
    InvocationTimeout,
    /// The model is still being loaded.
    NotReady {
        /// Name it was asked for by.
        target_model: String,
    },
    /// The endpoint is about to end.
    Closing,
    /// There are more requests, or larger ones, than the endpoint keeps at a time.
    Overloaded,
    /// The disk is too full for the files of a model.
    DiskFull(String),
    /// Something in the endpoint itself failed.
    Internal(String),
    /// The endpoint asks for a token, and the request has none.
    MissingToken,
    /// The request has another token.
    WrongToken,
    /// The request names a host that is not this machine.
    ForeignHost {
        /// The name.
        host: String,
    },
    /// No such route.
    UnknownRoute,
    /// A route that exists, with another method.
    UnknownMethod,
}

impl ApiError {
    /// An error that the container gives for every mistake in an inference request.
    pub(crate) fn bad_input(text: impl Into<String>) -> Self {
        Self::container(400, &text.into())
    }

    /// The container's answer when a model does not fit into memory.
    pub(crate) fn out_of_memory(target_model: &str, text: &str) -> Self {
        Self::container(507, &load_failure(target_model, text))
    }

    /// The container's answer when a model cannot be loaded.
    pub(crate) fn load_failed(target_model: &str, text: &str) -> Self {
        Self::container(400, &load_failure(target_model, text))
    }

    /// A panic, which is in the log.
    pub(crate) fn unexpected() -> Self {
        Self::Internal("The endpoint failed unexpectedly; see its log".to_owned())
    }

    /// Triton's form of an error.
    fn container(status: u16, text: &str) -> Self {
        Self::Model { status, original: json!({ "error": text }).to_string() }
    }

    /// A container that did not answer, for a reason that is logged.
    pub(crate) fn no_response(error: &std::io::Error) -> Self {
        tracing::warn!(%error, "the container did not answer");
        match error.kind() {
            std::io::ErrorKind::TimedOut => Self::InvocationTimeout,
            _ => Self::NoResponse,
        }
    }

    /// Status of the container's answer, where it has answered.
    pub(crate) const fn container_status(&self) -> Option<u16> {
        match self {
            Self::Model { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// HTTP status and SageMaker's name of the kind.
    pub(crate) fn kind(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Validation(_) => (StatusCode::BAD_REQUEST, "ValidationError"),
            Self::Model { .. } | Self::InvocationTimeout | Self::NoResponse => {
                (StatusCode::FAILED_DEPENDENCY, "ModelError")
            }
            Self::NotReady { .. } => (StatusCode::TOO_MANY_REQUESTS, "ModelNotReadyException"),
            Self::Closing | Self::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable"),
            Self::Internal(_) | Self::DiskFull(_) => (StatusCode::INTERNAL_SERVER_ERROR, "InternalFailure"),
            Self::MissingToken => (StatusCode::FORBIDDEN, "MissingAuthenticationTokenException"),
            Self::WrongToken => (StatusCode::FORBIDDEN, "UnrecognizedClientException"),
            Self::ForeignHost { .. } => (StatusCode::FORBIDDEN, "AccessDeniedException"),
            Self::UnknownRoute => (StatusCode::NOT_FOUND, "UnknownOperationException"),
            Self::UnknownMethod => (StatusCode::METHOD_NOT_ALLOWED, "UnknownOperationException"),
        }
    }

    fn body(self) -> EndpointError {
        let plain = |message| EndpointError { message, original_status_code: None, original_message: None };
        match self {
            Self::Validation(message) | Self::Internal(message) | Self::DiskFull(message) => plain(message),
            Self::Model { status, original } => from_container(status, "primary", &original),
            Self::NoResponse => from_container(0, "model", "The container ended the connection before it answered."),
            Self::InvocationTimeout => from_container(
                0,
                "model",
                "Your invocation timed out while waiting for a response from container model.",
            ),
            Self::NotReady { target_model } => {
                plain(format!("Model {target_model} is still downloading or loading; try again"))
            }
            Self::Overloaded => plain("The endpoint has as many requests as it can hold; try again".to_owned()),
            Self::Closing => plain("The endpoint is shutting down".to_owned()),
            Self::MissingToken => plain(format!(
                "Missing Authentication Token: send {ACCESS_TOKEN_VARIABLE}'s value as `Authorization: Bearer`"
            )),
            Self::WrongToken => plain("The security token included in the request is invalid.".to_owned()),
            Self::ForeignHost { host } => plain(format!(
                "The host '{}' is not localhost or a loopback address; an endpoint for others needs a token ({ACCESS_TOKEN_VARIABLE})",
                host.escape_debug()
            )),
            Self::UnknownRoute => plain("There is no such operation".to_owned()),
            Self::UnknownMethod => plain("This route does not answer to this method".to_owned()),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, kind) = self.kind();
        let retry_after = (status == StatusCode::SERVICE_UNAVAILABLE).then_some([(RETRY_AFTER, "1")]);
        (status, [(ERROR_TYPE_HEADER, kind)], retry_after, Json(self.body())).into_response()
    }
}

/// How SageMaker wraps what a container answered.
fn from_container(status: u16, container: &str, original: &str) -> EndpointError {
    let side = if (400..500).contains(&status) { "client" } else { "server" };
    EndpointError {
        message: format!("Received {side} error ({status}) from {container} with message \"{original}\""),
        original_status_code: Some(status),
        original_message: Some(original.to_owned()),
    }
}

fn load_failure(target_model: &str, text: &str) -> String {
    format!("load failed for model '{target_model}': version 1 is at UNAVAILABLE state: Internal: {text};\n")
}

/// The endpoint's own failure with this text, for a reason in `error`.
pub(crate) fn failure(error: &(dyn std::error::Error + 'static), text: String) -> ApiError {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    let mut causes = std::iter::successors(Some(error), |error| error.source());
    let is_full = causes.any(|cause| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|error| matches!(error.kind(), StorageFull | QuotaExceeded))
    });
    if is_full { ApiError::DiskFull(text) } else { ApiError::Internal(text) }
}

/// An error with its causes, one after the other.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let part = error.to_string();
        if !text.contains(&part) {
            let _ = write!(text, ": {part}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[test]
    fn only_a_full_disk_counts_as_one() {
        let of = |kind: io::ErrorKind| {
            let error = planforge_store::Error::from(io::Error::new(kind, "x"));
            failure(&error, "text".to_owned())
        };
        assert_eq!(of(io::ErrorKind::StorageFull), ApiError::DiskFull("text".to_owned()));
        // Models are not unloaded for these.
        for kind in [io::ErrorKind::ReadOnlyFilesystem, io::ErrorKind::PermissionDenied, io::ErrorKind::NotFound] {
            assert_eq!(of(kind), ApiError::Internal("text".to_owned()));
        }
    }
}
