//! What the probe and the load test need of an endpoint.

use crate::Result;
use planforge_core::{EndpointState, RequestBody};
use std::time::Duration;

/// An endpoint that serves copies of a model and loads a copy when it is first invoked. Clones share their connections.
pub trait Endpoint: Clone + Send + Sync + 'static {
    /// A request without the name of its copy; it can be sent many times without copying its body.
    type Request: Send + Sync + 'static;

    /// Name of the endpoint.
    fn name(&self) -> &str;

    /// A request with `body`, a KServe v2 request.
    fn prepare(&self, body: RequestBody) -> Self::Request;

    /// Sends `request` to the copy `target_model` and waits for the whole response. Nothing is retried.
    fn send(&self, request: &Self::Request, target_model: &str) -> impl Future<Output = Result<Invocation>> + Send;

    /// Loaded copies, and the memory that they use.
    fn state(&self) -> impl Future<Output = Result<EndpointState>> + Send;
}

/// A successful invocation.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// HTTP status, always one of success.
    pub status: u16,
    /// Content type of the response.
    pub content_type: String,
    /// The model's response.
    pub body: Vec<u8>,
    /// Time from the start of the request to the last byte of the response.
    pub latency: Duration,
}
