//! Two fakes of an endpoint that follow a script: one in memory, one an HTTP server with the endpoint's routes. They send
//! responses that a healthy endpoint does not.

use crate::{Endpoint, EndpointClient, Error, Invocation, Result};
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures_util::stream;
use planforge_core::{EndpointError, EndpointState, LoadedModel, RequestBody, TARGET_MODEL_HEADER};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// One response to an invocation; once the script is used up, every response is a success.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ScriptedResponse {
    Success,
    ModelError(&'static str),
    ModelOutOfMemory,
    NotReady,
    Plain(u16, &'static str),
    Never,
    Cut,
}

#[derive(Debug, Clone)]
pub(crate) struct Script {
    pub(crate) responses: Vec<ScriptedResponse>,
    /// Whether the last response is repeated forever.
    pub(crate) repeat: bool,
    pub(crate) budget_byte_count: u64,
    /// Growth of the copies in the order they are loaded; the last one is repeated.
    pub(crate) growth: Vec<u64>,
    /// Growth with the first, second and further invocations of a copy; none after the last of them.
    pub(crate) growth_at_invocation: Vec<u64>,
    /// Models held at once; loading one more unloads the oldest.
    pub(crate) room: usize,
    pub(crate) loaded_before: Vec<&'static str>,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            responses: Vec::new(),
            repeat: false,
            budget_byte_count: 1000,
            growth: vec![100],
            growth_at_invocation: Vec::new(),
            room: usize::MAX,
            loaded_before: Vec::new(),
        }
    }
}

/// The script, and what happened so far.
struct Inner {
    script: Script,
    state: EndpointState,
    loads: usize,
    targets: Vec<String>,
    failures: u64,
}

/// An endpoint in memory.
#[derive(Clone)]
pub(crate) struct FakeEndpoint(Arc<Mutex<Inner>>);

impl FakeEndpoint {
    pub(crate) fn new(script: Script) -> Self {
        Self(Arc::new(Mutex::new(Inner::new(script))))
    }

    /// The requested copies, in order of arrival.
    pub(crate) fn targets(&self) -> Vec<String> {
        self.0.lock().unwrap().targets.clone()
    }
}

impl Endpoint for FakeEndpoint {
    type Request = RequestBody;

    fn name(&self) -> &str {
        "e"
    }

    fn prepare(&self, body: RequestBody) -> RequestBody {
        body
    }

    async fn send(&self, request: &RequestBody, target_model: &str) -> Result<Invocation> {
        let error = |status, kind: &str, message: &str, original_status| {
            let (url, kind, message) = ("memory:e".to_owned(), kind.to_owned(), message.to_owned());
            Err(Error::Status { url, status, kind, message, original_status })
        };
        let response = self.0.lock().unwrap().respond(target_model);
        match response {
            ScriptedResponse::Success => Ok(Invocation {
                status: 200,
                content_type: request.content_type.clone(),
                body: request.bytes.clone(),
                latency: Duration::ZERO,
            }),
            ScriptedResponse::ModelError(text) => error(424, "ModelError", text, Some(400)),
            ScriptedResponse::ModelOutOfMemory => error(424, "ModelError", "no memory", Some(507)),
            ScriptedResponse::NotReady => error(429, "ModelNotReadyException", "still loading", None),
            ScriptedResponse::Plain(status, text) => error(status, "", text, None),
            ScriptedResponse::Never => std::future::pending().await,
            ScriptedResponse::Cut => {
                Err(Error::ConnectionLost { url: "memory:e".to_owned(), source: io::Error::other("cut").into() })
            }
        }
    }

    async fn state(&self) -> Result<EndpointState> {
        Ok(self.0.lock().unwrap().state.clone())
    }
}

/// A running HTTP server; it ends with the test's runtime.
pub(crate) struct ScriptedEndpoint {
    address: SocketAddr,
    inner: Arc<Mutex<Inner>>,
}

impl ScriptedEndpoint {
    pub(crate) async fn start(script: Script) -> Self {
        let inner = Arc::new(Mutex::new(Inner::new(script)));
        let router = Router::new()
            .route("/endpoints/e/state", get(state_of))
            .route("/endpoints/e/invocations", post(invoke))
            .with_state(Arc::clone(&inner));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, inner }
    }

    pub(crate) fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn client(&self) -> EndpointClient {
        EndpointClient::new(&self.base_url(), "e", Duration::from_secs(30), None).unwrap()
    }

    /// Sends one request to a copy.
    pub(crate) async fn invoke(&self, target_model: &str, body: &str) -> Result<Invocation> {
        let client = self.client();
        client.send(&client.prepare(body.into()), target_model).await
    }

    /// The requested copies, in order of arrival.
    pub(crate) fn targets(&self) -> Vec<String> {
        self.lock().targets.clone()
    }

    pub(crate) fn failures(&self) -> u64 {
        self.lock().failures
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }
}

impl Inner {
    fn new(script: Script) -> Self {
        let state = EndpointState {
            endpoint: "e".to_owned(),
            budget_byte_count: script.budget_byte_count,
            used_byte_count: 0,
            memory_is_measured: true,
            models: Vec::new(),
            evictions: 0,
            invocations: BTreeMap::new(),
            metrics: BTreeMap::new(),
        };
        let loaded_before = script.loaded_before.clone();
        let mut inner = Self { script, state, loads: 0, targets: Vec::new(), failures: 0 };
        loaded_before.into_iter().for_each(|target| inner.load(target));
        inner
    }

    /// The response to a request for `target`, which a success loads.
    fn respond(&mut self, target: &str) -> ScriptedResponse {
        let response = self.next_response();
        self.targets.push(target.to_owned());
        match response {
            ScriptedResponse::Success => self.load(target),
            _ => self.failures += 1,
        }
        response
    }

    fn next_response(&mut self) -> ScriptedResponse {
        match self.script.responses.as_slice() {
            [] => ScriptedResponse::Success,
            [last] if self.script.repeat => *last,
            _ => self.script.responses.remove(0),
        }
    }

    fn load(&mut self, target: &str) {
        let growth_at = |invocation: u64| {
            let growths = &self.script.growth_at_invocation;
            growths.get(usize::try_from(invocation).unwrap()).copied().unwrap_or(0)
        };
        if let Some(model) = self.state.models.iter_mut().find(|model| model.target_model == target) {
            let growth = growth_at(model.invocations);
            model.byte_count += growth;
            model.invocations += 1;
            self.state.used_byte_count += growth;
            return;
        }
        if self.state.models.len() == self.script.room {
            let oldest = self.state.models.remove(0);
            self.state.used_byte_count -= oldest.byte_count;
            self.state.evictions += 1;
        }
        let growth = self.script.growth.get(self.loads).or(self.script.growth.last()).copied().unwrap() + growth_at(0);
        self.loads += 1;
        self.state.used_byte_count += growth;
        self.state.models.push(LoadedModel { target_model: target.to_owned(), byte_count: growth, invocations: 1 });
    }
}

async fn state_of(State(inner): State<Arc<Mutex<Inner>>>) -> Response {
    axum::Json(inner.lock().unwrap().state.clone()).into_response()
}

async fn invoke(State(inner): State<Arc<Mutex<Inner>>>, headers: HeaderMap, body: String) -> Response {
    let target = headers[TARGET_MODEL_HEADER].to_str().unwrap().to_owned();
    let response = inner.lock().unwrap().respond(&target);
    match response {
        ScriptedResponse::Success => format!("{{\"echo\":{}}}", body.len()).into_response(),
        ScriptedResponse::ModelError(text) => model_error(400, text),
        ScriptedResponse::ModelOutOfMemory => model_error(507, "no memory"),
        ScriptedResponse::NotReady => error(429, "ModelNotReadyException", "still loading", None),
        ScriptedResponse::Plain(status, text) => (StatusCode::from_u16(status).unwrap(), text).into_response(),
        ScriptedResponse::Never => std::future::pending().await,
        ScriptedResponse::Cut => {
            Body::from_stream(stream::iter([Ok("{"), Err(io::Error::other("cut"))])).into_response()
        }
    }
}

fn model_error(original_status: u16, text: &str) -> Response {
    let message = format!("the model answered {original_status}");
    error(424, "ModelError", &message, Some((original_status, text.to_owned())))
}

fn error(status: u16, kind: &'static str, message: &str, original: Option<(u16, String)>) -> Response {
    let (original_status_code, original_message) = original.unzip();
    let body = EndpointError { message: message.to_owned(), original_status_code, original_message };
    (StatusCode::from_u16(status).unwrap(), [("x-amzn-errortype", kind)], axum::Json(body)).into_response()
}
