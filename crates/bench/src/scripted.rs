//! A small HTTP server that speaks the endpoint's routes from a script: a double of the protocol, for
//! answers that a healthy endpoint does not give.

use crate::EndpointClient;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures_util::stream;
use planforge_core::{EndpointError, EndpointState, LoadedModel, TARGET_MODEL_HEADER};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// One answer to an invocation; once the script is used up, every answer is a success.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Answer {
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
    pub(crate) answers: Vec<Answer>,
    /// The last answer is given forever.
    pub(crate) repeat: bool,
    pub(crate) budget_byte_count: u64,
    /// Growth of the copies in the order they are loaded; the last one is repeated.
    pub(crate) growth: Vec<u64>,
    /// Models held at once; loading one more unloads the oldest.
    pub(crate) room: usize,
    pub(crate) loaded_before: Vec<&'static str>,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            answers: Vec::new(),
            repeat: false,
            budget_byte_count: 1000,
            growth: vec![100],
            room: usize::MAX,
            loaded_before: Vec::new(),
        }
    }
}

struct Inner {
    script: Script,
    state: EndpointState,
    loads: usize,
    targets: Vec<String>,
    failures: u64,
}

/// The running server; it ends with the test's runtime.
pub(crate) struct ScriptedEndpoint {
    address: SocketAddr,
    inner: Arc<Mutex<Inner>>,
}

impl ScriptedEndpoint {
    pub(crate) async fn start(script: Script) -> Self {
        let loaded_before = script.loaded_before.clone();
        let state = EndpointState {
            endpoint: "e".to_owned(),
            budget_byte_count: script.budget_byte_count,
            used_byte_count: 0,
            models: Vec::new(),
            evictions: 0,
        };
        let mut inner = Inner { script, state, loads: 0, targets: Vec::new(), failures: 0 };
        for target in loaded_before {
            inner.load(target);
        }
        let inner = Arc::new(Mutex::new(inner));
        let router = Router::new()
            .route("/planforge/state", get(state_of))
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
        EndpointClient::new(&self.base_url(), "e", Duration::from_secs(30)).unwrap()
    }

    /// The copies asked for, in order of arrival.
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
    fn next_answer(&mut self) -> Answer {
        match self.script.answers.as_slice() {
            [] => Answer::Success,
            [last] if self.script.repeat => *last,
            _ => self.script.answers.remove(0),
        }
    }

    fn load(&mut self, target: &str) {
        if let Some(model) = self.state.models.iter_mut().find(|model| model.target_model == target) {
            model.invocations += 1;
            return;
        }
        if self.state.models.len() == self.script.room {
            let oldest = self.state.models.remove(0);
            self.state.used_byte_count -= oldest.byte_count;
            self.state.evictions += 1;
        }
        let growth = self.script.growth.get(self.loads).or(self.script.growth.last()).copied().unwrap();
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
    let answer = {
        let mut inner = inner.lock().unwrap();
        let answer = inner.next_answer();
        inner.targets.push(target.clone());
        match answer {
            Answer::Success => inner.load(&target),
            _ => inner.failures += 1,
        }
        answer
    };
    match answer {
        Answer::Success => format!("{{\"echo\":{}}}", body.len()).into_response(),
        Answer::ModelError(text) => model_error(400, text),
        Answer::ModelOutOfMemory => model_error(507, "no memory"),
        Answer::NotReady => error(429, "ModelNotReadyException", "still loading", None),
        Answer::Plain(status, text) => (StatusCode::from_u16(status).unwrap(), text).into_response(),
        Answer::Never => std::future::pending().await,
        Answer::Cut => Body::from_stream(stream::iter([Ok("{"), Err(io::Error::other("cut"))])).into_response(),
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
