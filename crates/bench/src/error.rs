//! What can go wrong while measuring and reporting.

use std::time::Duration;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The HTTP client cannot be made, or its base URL is no URL.
    #[error("`{base_url}` cannot be used as the URL of an endpoint")]
    Client {
        /// The URL given.
        base_url: String,
        /// What the client said.
        #[source]
        source: reqwest::Error,
    },
    /// Nothing listens there.
    #[error("endpoint `{url}` cannot be reached")]
    Unreachable {
        /// The URL asked for.
        url: String,
        /// What the client said.
        #[source]
        source: reqwest::Error,
    },
    /// The connection ended before the answer was complete.
    #[error("endpoint `{url}` cut the connection before its answer was complete")]
    ConnectionLost {
        /// The URL asked for.
        url: String,
        /// What the client said.
        #[source]
        source: reqwest::Error,
    },
    /// No complete answer within the time a request may take.
    #[error("endpoint `{url}` gave no complete answer within {} s", timeout.as_secs_f64())]
    Timeout {
        /// The URL asked for.
        url: String,
        /// The time allowed.
        timeout: Duration,
    },
    /// The endpoint answered, but not with success.
    #[error("endpoint `{url}` answered {status} {kind}: {message}")]
    Status {
        /// The URL asked for.
        url: String,
        /// HTTP status.
        status: u16,
        /// Kind of error, such as `ModelError`; empty when the answer has none.
        kind: String,
        /// The endpoint's own words.
        message: String,
        /// Status of the model's container behind the endpoint, for model errors.
        original_status: Option<u16>,
    },
    /// The account of the endpoint's memory is not what this version understands.
    #[error("the memory account of endpoint `{url}` cannot be understood")]
    State {
        /// The URL asked for.
        url: String,
        /// What the JSON reader said.
        #[source]
        source: serde_json::Error,
    },
    /// A copy could not be invoked by the probe.
    #[error("copy `{target_model}` failed")]
    Copy {
        /// The copy.
        target_model: String,
        /// Why.
        #[source]
        source: Box<Error>,
    },
    /// A copy was still loading when the patience of the probe ended.
    #[error("copy `{target_model}` was not ready within {} s", waited.as_secs())]
    NotReady {
        /// The copy.
        target_model: String,
        /// Time waited.
        waited: Duration,
    },
    /// A name that cannot be sent.
    #[error("target model `{target_model}` has characters that an HTTP header cannot carry")]
    TargetModel {
        /// The name.
        target_model: String,
    },
    /// There is no copy to send requests to.
    #[error("no copies to send requests to")]
    NoTargets,
    /// A load test with nothing in it, or larger than a single process should try.
    #[error(
        "a load test of {users} users and {seconds} s: use 1 to {} users and 1 to {} s",
        crate::MAX_USERS,
        crate::MAX_SECONDS
    )]
    LoadSize {
        /// Peak of concurrent users.
        users: u32,
        /// Length of all stages in seconds.
        seconds: u64,
    },
    /// The user asked to stop.
    #[error("interrupted")]
    Cancelled,
}

/// Result with this crate's error.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// The endpoint answered that the model is still being loaded.
    pub(crate) fn is_not_ready(&self) -> bool {
        matches!(self, Self::Status { status: 429, kind, .. } if kind.starts_with("ModelNotReady"))
    }

    /// The model's container answered that memory does not suffice.
    pub(crate) fn is_out_of_memory(&self) -> bool {
        matches!(self, Self::Status { status: 507, .. } | Self::Status { original_status: Some(507), .. })
    }

    /// There was no answer at all because there was no connection.
    pub(crate) fn is_disconnected(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::ConnectionLost { .. })
    }
}
