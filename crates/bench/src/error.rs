//! The error of this crate.

use crate::limits::{MAX_SECONDS, MAX_USERS};
use planforge_types::ErrorKind;
use std::time::Duration;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The base URL is invalid, or the HTTP client cannot be created.
    #[error("invalid URL of an endpoint: `{base_url}`; expected e.g. `http://127.0.0.1:8080`")]
    Client {
        /// The URL.
        base_url: String,
        /// The HTTP client's error.
        #[source]
        source: reqwest::Error,
    },
    /// No connection to the endpoint.
    #[error("failed to connect to endpoint `{url}`")]
    Unreachable {
        /// The requested URL.
        url: String,
        /// The client's error.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The connection ended before the response was complete.
    #[error("endpoint `{url}` closed the connection before its response was complete")]
    ConnectionLost {
        /// The requested URL.
        url: String,
        /// The client's error.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A response that is read no further.
    #[error("response of endpoint `{url}` is too large: more than {limit} bytes")]
    ResponseTooLarge {
        /// The requested URL.
        url: String,
        /// Most bytes of a response.
        limit: usize,
    },
    /// No complete response within the request timeout.
    #[error("endpoint `{url}` sent no complete response within {} s", timeout.as_secs_f64())]
    Timeout {
        /// The requested URL.
        url: String,
        /// The request timeout.
        timeout: Duration,
    },
    /// The endpoint responded with an error.
    #[error("endpoint `{url}` responded {status} {kind}: {message}")]
    Status {
        /// The requested URL.
        url: String,
        /// HTTP status.
        status: u16,
        /// Kind of error, such as `ModelError`; empty when the response has none.
        kind: String,
        /// The endpoint's message.
        message: String,
        /// Status of the model's container behind the endpoint, for model errors.
        original_status: Option<u16>,
    },
    /// The endpoint's memory state is not in a format of this version.
    #[error("invalid memory state from endpoint `{url}`")]
    State {
        /// The requested URL.
        url: String,
        /// The JSON parser's error.
        #[source]
        source: serde_json::Error,
    },
    /// The probe failed to invoke a copy.
    #[error("copy `{target_model}` failed")]
    Copy {
        /// The copy.
        target_model: String,
        /// The failed request.
        #[source]
        source: Box<Error>,
    },
    /// A copy was still loading when the probe stopped waiting.
    #[error("copy `{target_model}` was still loading after {} s", waited.as_secs())]
    NotReady {
        /// The copy.
        target_model: String,
        /// Time waited.
        waited: Duration,
    },
    /// A name that no request can carry.
    #[error("invalid target model `{target_model}`; expected characters that an HTTP header can carry")]
    TargetModel {
        /// The name.
        target_model: String,
    },
    /// A load test without copies.
    #[error("missing copies: a load test needs at least one to send requests to")]
    NoTargets,
    /// A load test without users or seconds, or larger than a single process should try.
    #[error(
        "invalid load test of {users} users and {seconds} s; expected 1 to {} users and 1 to {} s",
        MAX_USERS,
        MAX_SECONDS
    )]
    LoadSize {
        /// Peak of concurrent users.
        users: u32,
        /// Length of all stages in seconds.
        seconds: u64,
    },
    /// More users than this process may have connections.
    #[error("{users} users need {needed} file descriptors, and this process may open {allowed}")]
    Descriptors {
        /// Peak of concurrent users.
        users: u32,
        /// Descriptors for them and for everything else.
        needed: u64,
        /// The limit.
        allowed: u64,
    },
    /// An endpoint that cannot tell how much memory its models take.
    #[error(
        "endpoint `{endpoint}` cannot read the memory of its container, so copies have no size that can be compared"
    )]
    UnmeasuredMemory {
        /// Name of the endpoint.
        endpoint: String,
    },
    /// The user cancelled the operation.
    #[error("interrupted")]
    Cancelled,
}

/// Result with this crate's error.
pub type Result<T> = std::result::Result<T, Error>;

/// Words of containers that lack memory, in lower case. Triton answers 507 for some of them only: not for its own limit of
/// a GPU's memory.
const OUT_OF_MEMORY: [&str; 9] = [
    "out of memory",
    "out_of_memory",
    "outofmemory",
    "failed to allocate memory",
    "memory limit set for kind_gpu",
    "std::bad_alloc",
    "cublas_status_alloc_failed",
    "cudnn_status_alloc_failed",
    "cudaerrormemoryallocation",
];

/// Words that mean a lack of memory only where the same engine was loaded before: an engine that does not fit the GPU or the
/// library fails with them too.
const NO_CONTEXT: &str = "unable to create tensorrt context";

impl Error {
    /// The class of this error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Client { .. }
            | Self::TargetModel { .. }
            | Self::NoTargets
            | Self::LoadSize { .. }
            | Self::UnmeasuredMemory { .. } => ErrorKind::BadInput,
            Self::Descriptors { .. } => ErrorKind::Environment,
            Self::Unreachable { .. } | Self::ConnectionLost { .. } | Self::Timeout { .. } | Self::NotReady { .. } => {
                ErrorKind::Transient
            }
            Self::Status { status, .. } => match status {
                401 | 403 => ErrorKind::Denied,
                404 => ErrorKind::NotFound,
                429 | 503 => ErrorKind::Transient,
                400..=499 if !self.is_model_error() => ErrorKind::BadInput,
                _ => ErrorKind::Internal,
            },
            Self::State { .. } | Self::ResponseTooLarge { .. } => ErrorKind::Internal,
            Self::Copy { source, .. } => source.kind(),
            Self::Cancelled => ErrorKind::Cancelled,
        }
    }

    /// The next step, where there is one.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Unreachable { .. } => Some("start one with `planforge host`, or leave --url out"),
            Self::Timeout { .. } => Some("raise key `load.timeout_seconds`, or send smaller batches"),
            Self::Descriptors { .. } => {
                Some("raise the hard limit, such as with `ulimit -Hn`, or test with fewer users")
            }
            Self::Status { status: 403, .. } => Some("set PLANFORGE_HOST_TOKEN to the token of the endpoint"),
            Self::State { .. } => Some("run `planforge host` and this command in the same version"),
            Self::UnmeasuredMemory { .. } => {
                Some("probe with `--container triton`, or `embedded`, whose memory planforge reads")
            }
            Self::Copy { source, .. } => source.hint(),
            _ => None,
        }
    }

    /// Whether the endpoint responded that the model is still loading.
    pub(crate) fn is_not_ready(&self) -> bool {
        matches!(self, Self::Status { status: 429, kind, .. } if kind.starts_with("ModelNotReady"))
    }

    /// Whether the endpoint or the model's container responded that memory does not suffice, by status or as text;
    /// `has_loaded` tells that it has loaded the same model before.
    pub(crate) fn is_out_of_memory(&self, has_loaded: bool) -> bool {
        let Self::Status { status, original_status, message, .. } = self else { return false };
        let container = original_status.unwrap_or(*status);
        let message = message.to_lowercase();
        let names_memory = OUT_OF_MEMORY.iter().any(|words| message.contains(words));
        container == 507 || container >= 400 && (names_memory || has_loaded && message.contains(NO_CONTEXT))
    }

    /// Whether there was no response for lack of a connection.
    pub(crate) fn is_disconnected(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::ConnectionLost { .. })
    }

    /// Whether the model's container failed, rather than the endpoint in front of it.
    fn is_model_error(&self) -> bool {
        matches!(self, Self::Status { original_status: Some(_), .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(status: u16, original_status: Option<u16>) -> Error {
        let (url, kind, message) = (String::new(), String::new(), String::new());
        Error::Status { url, status, kind, message, original_status }
    }

    #[test]
    fn the_kind_of_a_response_follows_its_status() {
        let kinds = [(400, None), (403, None), (404, None), (424, Some(400)), (429, None), (500, None)]
            .map(|(code, original)| status(code, original).kind());
        use ErrorKind::{BadInput, Denied, Internal, NotFound, Transient};
        assert_eq!(kinds, [BadInput, Denied, NotFound, Internal, Transient, Internal]);
    }

    #[test]
    fn a_lack_of_memory_is_told_by_status_or_words() {
        let response = |code, original_status, text: &str| {
            let (url, kind, message) = (String::new(), String::new(), text.to_owned());
            Error::Status { url, status: code, kind, message, original_status }
        };
        let says = |code, original_status, text: &str| response(code, original_status, text).is_out_of_memory(false);
        assert!(says(507, None, "") && says(424, Some(507), ""));
        assert!(says(424, Some(400), "memory limit set for KIND_GPU 0 has exceeded, model loading is rejected."));
        let no_context = response(424, Some(400), "unable to create TensorRT context");
        assert!(no_context.is_out_of_memory(true) && !no_context.is_out_of_memory(false));
        assert!(says(500, None, "CUDA out of memory"));
        assert!(!says(424, Some(400), "unexpected shape for input 'I'") && !says(503, None, "try again"));
    }

    #[test]
    fn an_error_of_a_copy_has_kind_and_hint_of_its_cause() {
        let timeout = Error::Timeout { url: String::new(), timeout: Duration::ZERO };
        let copy = Error::Copy { target_model: "m".to_owned(), source: Box::new(timeout) };
        assert_eq!(copy.kind(), ErrorKind::Transient);
        assert!(copy.hint().is_some());
    }
}
