//! The endpoint's routes.

use crate::access::{Access, PING, check_access};
use crate::api_error::ApiError;
use crate::blocking::blocking;
use crate::body::{BodyRoom, discard_body, read_body};
use crate::infer::ModelResponse;
use crate::invocation::Invoker;
use crate::target::Archives;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use planforge_core::TARGET_MODEL_HEADER;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const VARIANT_HEADER: HeaderName = HeaderName::from_static("x-amzn-invoked-production-variant");
const TARGET_VARIANT_HEADER: HeaderName = HeaderName::from_static("x-amzn-sagemaker-target-variant");
const REQUEST_ID_HEADER: HeaderName = HeaderName::from_static("x-amzn-requestid");

/// SageMaker's default name of the only variant of an endpoint.
const VARIANT: &str = "AllTraffic";

/// Account that error texts name; there is none.
const ACCOUNT: &str = "000000000000";

/// What the routes share.
#[derive(Debug)]
pub(crate) struct Endpoint {
    /// Its name.
    pub(crate) name: String,
    /// The archives that it serves.
    pub(crate) archives: Archives,
    /// Longest time a body may take to arrive.
    pub(crate) body_timeout: Duration,
    /// Room for bodies.
    pub(crate) body_room: BodyRoom,
    /// Runs invocations.
    pub(crate) invoker: Invoker,
    /// Requests so far.
    pub(crate) request_count: AtomicU64,
}

/// All routes of `endpoint`.
pub(crate) fn router(endpoint: Arc<Endpoint>, access: Access) -> Router {
    Router::new()
        .route("/endpoints/{name}/invocations", post(invoke))
        .route("/endpoints/{name}/state", get(named_state))
        .route(PING, get(ping))
        .route("/metrics", get(metrics))
        .route("/planforge/state", get(state))
        .fallback(async || ApiError::UnknownRoute)
        .method_not_allowed_fallback(async || ApiError::UnknownMethod)
        .with_state(endpoint)
        .layer(from_fn_with_state(access, check_access))
}

async fn ping() {}

async fn named_state(State(endpoint): State<Arc<Endpoint>>, Path(name): Path<String>) -> Result<Response, ApiError> {
    endpoint.check_name(&name)?;
    state(State(endpoint)).await
}

async fn state(State(endpoint): State<Arc<Endpoint>>) -> Result<Response, ApiError> {
    let state = endpoint.invoker.models().state(&endpoint.name).await?;
    Ok(Json(state).into_response())
}

async fn metrics(State(endpoint): State<Arc<Endpoint>>) -> Result<Response, ApiError> {
    let models = endpoint.invoker.models();
    let text = models.statistics().prometheus(&models.state(&endpoint.name).await?);
    Ok(metrics_response(text))
}

/// Counts for Prometheus.
pub(crate) fn metrics_response(text: String) -> Response {
    ([(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response()
}

async fn invoke(
    State(endpoint): State<Arc<Endpoint>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let request_id = request_id(endpoint.request_count.fetch_add(1, Ordering::Relaxed));
    let start = Instant::now();
    let answer = endpoint.answer(&name, &headers, body, &request_id).await;
    // What asks for another endpoint is none of this one's requests.
    if name == endpoint.name {
        endpoint.count(&answer, start.elapsed());
    }
    let mut response = match answer {
        Ok(ModelResponse { content_type, body }) => {
            ([(CONTENT_TYPE, content_type)], [(VARIANT_HEADER, VARIANT)], body).into_response()
        }
        Err(api_error) => {
            tracing::debug!(request_id, ?api_error, "request refused");
            api_error.into_response()
        }
    };
    if let Ok(value) = request_id.parse() {
        response.headers_mut().insert(REQUEST_ID_HEADER, value);
    }
    response
}

impl Endpoint {
    fn check_name(&self, name: &str) -> Result<(), ApiError> {
        if name == self.name {
            return Ok(());
        }
        let text = format!("Endpoint {} of account {ACCOUNT} not found.", name.escape_debug());
        Err(ApiError::Validation(text))
    }

    fn count(&self, answer: &Result<ModelResponse, ApiError>, elapsed: Duration) {
        let (status, container_status) = match answer {
            Ok(_) => (200, None),
            Err(error) => (error.kind().0.as_u16(), error.container_status()),
        };
        self.invoker.models().statistics().count_request(status, container_status, elapsed);
    }

    /// The only variant may be asked for by its name.
    fn check_variant(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        match headers.get(TARGET_VARIANT_HEADER) {
            Some(variant) if variant != VARIANT => Err(ApiError::Validation(format!(
                "Variant {} of endpoint {} not found; its only one is {VARIANT}.",
                String::from_utf8_lossy(variant.as_bytes()).escape_debug(),
                self.name
            ))),
            _ => Ok(()),
        }
    }

    async fn answer(
        &self,
        name: &str,
        headers: &HeaderMap,
        body: Body,
        request_id: &str,
    ) -> Result<ModelResponse, ApiError> {
        // First the body: a client that is still writing might not see an early answer.
        let _room = match self.body_room.enter(headers) {
            Ok(room) => room,
            Err(error) => {
                discard_body(body, self.body_timeout).await;
                return Err(error);
            }
        };
        let body = read_body(headers, body, self.body_timeout).await?;
        self.check_name(name)?;
        self.check_variant(headers)?;
        let target_model = target_model(headers, request_id)?;
        refuse_compression(headers)?;
        let content_type = headers.get(CONTENT_TYPE).cloned();
        let (archives, wanted) = (self.archives.clone(), target_model.clone());
        let archive = blocking(move || archives.find(&wanted)).await??;
        self.invoker.invoke(&target_model, archive, content_type, body).await
    }
}

fn target_model(headers: &HeaderMap, request_id: &str) -> Result<String, ApiError> {
    let Some(value) = headers.get(TARGET_MODEL_HEADER) else {
        return Err(ApiError::Validation(format!("Request {request_id} is missing a target model header")));
    };
    String::from_utf8(value.as_bytes().to_vec()).map_err(|_| {
        let name = String::from_utf8_lossy(value.as_bytes()).into_owned();
        ApiError::Validation(format!("Target model '{name}' is not UTF-8"))
    })
}

/// Neither SageMaker nor Triton's SageMaker port decodes bodies.
fn refuse_compression(headers: &HeaderMap) -> Result<(), ApiError> {
    match headers.get(CONTENT_ENCODING) {
        Some(encoding) if encoding != "identity" => Err(ApiError::bad_input(format!(
            "failed to parse the request JSON buffer: bodies with content encoding '{}' are not decoded",
            String::from_utf8_lossy(encoding.as_bytes())
        ))),
        _ => Ok(()),
    }
}

/// An identifier in SageMaker's form.
fn request_id(index: u64) -> String {
    format!("00000000-0000-0000-{:04x}-{:012x}", index >> 48, index & 0xffff_ffff_ffff)
}
