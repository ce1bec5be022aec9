//! A client of one multi-model endpoint over HTTP: invocations, and the local endpoint's account of
//! its memory.

use crate::{Error, Result};
use planforge_core::{EndpointError, EndpointState, RequestBody, TARGET_MODEL_HEADER, invocations_path};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, Request, Response, StatusCode, Url};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

static TARGET_MODEL_NAME: LazyLock<HeaderName> =
    LazyLock::new(|| TARGET_MODEL_HEADER.parse().expect("the header's name is a valid one"));

/// Header of a failed answer that names the kind of error.
const ERROR_TYPE_HEADER: &str = "x-amzn-errortype";

/// Route of the local endpoint's account of its memory.
const STATE_PATH: &str = "/planforge/state";

/// Characters kept of an answer that is no [`EndpointError`].
const MAX_MESSAGE_CHARS: usize = 500;

/// A client of one endpoint; clones share their connections.
#[derive(Debug, Clone)]
pub struct EndpointClient {
    http: Client,
    endpoint: String,
    invocations: Url,
    state: Url,
    timeout: Duration,
}

/// A request without the name of its copy.
#[derive(Debug)]
pub(crate) struct Prepared {
    request: Request,
    timeout: Duration,
}

/// A successful invocation.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// HTTP status, always one of success.
    pub status: u16,
    /// The model's answer.
    pub body: Vec<u8>,
    /// Time from the start of the request to the last byte of the answer.
    pub latency: Duration,
}

impl EndpointClient {
    /// A client of `endpoint` at `base_url` (`http://127.0.0.1:8080`). No answer may take longer than
    /// `timeout`. Proxies are not used, redirects not followed, and nothing is tried twice.
    ///
    /// # Errors
    /// [`Error::Client`] when the URL cannot be used.
    pub fn new(base_url: &str, endpoint: &str, timeout: Duration) -> Result<Self> {
        let unusable = |source| Error::Client { base_url: base_url.to_owned(), source };
        let http = Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .build()
            .map_err(unusable)?;
        let url = |path: &str| -> Result<Url> {
            let text = format!("{}{path}", base_url.trim_end_matches('/'));
            Ok(http.get(text).build().map_err(unusable)?.url().clone())
        };
        let (invocations, state) = (url(&invocations_path(endpoint))?, url(STATE_PATH)?);
        Ok(Self { http, endpoint: endpoint.to_owned(), invocations, state, timeout })
    }

    /// Name of the endpoint.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Longest time one answer may take.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Sends `body` (a KServe v2 request) to the copy `target_model` and waits for the whole answer.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::ConnectionLost`], [`Error::Timeout`], [`Error::Status`] for an
    /// answer other than success, and [`Error::TargetModel`] for a name that no header can carry.
    pub async fn invoke(&self, target_model: &str, body: impl Into<RequestBody>) -> Result<Invocation> {
        self.send(&self.prepare(body, self.timeout), target_model).await
    }

    /// A request that can be sent many times, to any copy, without copying `body`.
    pub(crate) fn prepare(&self, body: impl Into<RequestBody>, timeout: Duration) -> Prepared {
        let RequestBody { content_type, bytes } = body.into();
        let mut request = Request::new(Method::POST, self.invocations.clone());
        let content_type = HeaderValue::try_from(content_type).expect("content types are plain ASCII");
        request.headers_mut().insert(CONTENT_TYPE, content_type);
        *request.timeout_mut() = Some(timeout);
        *request.body_mut() = Some(bytes.into());
        Prepared { request, timeout }
    }

    /// As [`Self::invoke`], with a prepared request.
    pub(crate) async fn send(&self, prepared: &Prepared, target_model: &str) -> Result<Invocation> {
        let target = HeaderValue::from_str(target_model)
            .map_err(|_| Error::TargetModel { target_model: target_model.to_owned() })?;
        let mut request = prepared.request.try_clone().expect("a body in memory can be sent twice");
        request.headers_mut().insert(TARGET_MODEL_NAME.clone(), target);
        let start = Instant::now();
        let response = self.http.execute(request).await;
        let response = response.map_err(|source| broken(&self.invocations, prepared.timeout, source))?;
        let (status, body) = read(&self.invocations, response, prepared.timeout).await?;
        Ok(Invocation { status: status.as_u16(), body, latency: start.elapsed() })
    }

    /// The local endpoint's account of its memory.
    ///
    /// # Errors
    /// As [`Self::invoke`], and [`Error::State`] when the account cannot be understood.
    pub async fn state(&self) -> Result<EndpointState> {
        let request = self.http.get(self.state.clone()).timeout(self.timeout);
        let response = request.send().await.map_err(|source| broken(&self.state, self.timeout, source))?;
        let (_, body) = read(&self.state, response, self.timeout).await?;
        serde_json::from_slice(&body).map_err(|source| Error::State { url: self.state.to_string(), source })
    }
}

/// Status and body of a successful answer; any other is an error.
async fn read(url: &Url, response: Response, timeout: Duration) -> Result<(StatusCode, Vec<u8>)> {
    let status = response.status();
    let kind = if status.is_success() { String::new() } else { error_kind(response.headers()) };
    let body = Vec::from(response.bytes().await.map_err(|source| broken(url, timeout, source))?);
    if status.is_success() { Ok((status, body)) } else { Err(refused(url, status, kind, &body)) }
}

/// The kind of error, without the schema that may follow it after a colon.
fn error_kind(headers: &HeaderMap) -> String {
    let text = headers.get(ERROR_TYPE_HEADER).and_then(|value| value.to_str().ok()).unwrap_or_default();
    text.split(':').next().unwrap_or_default().to_owned()
}

fn refused(url: &Url, status: StatusCode, kind: String, body: &[u8]) -> Error {
    let (message, original_status) = match serde_json::from_slice::<EndpointError>(body) {
        Ok(error) => {
            let original_status = error.original_status_code;
            match error.original_message {
                Some(original) if !error.message.contains(&original) => {
                    (format!("{}: {original}", error.message), original_status)
                }
                _ => (error.message, original_status),
            }
        }
        Err(_) => (String::from_utf8_lossy(body).into_owned(), None),
    };
    let message = message.chars().take(MAX_MESSAGE_CHARS).collect();
    Error::Status { url: url.to_string(), status: status.as_u16(), kind, message, original_status }
}

fn broken(url: &Url, timeout: Duration, source: reqwest::Error) -> Error {
    let (url, source) = (url.to_string(), source.without_url());
    if source.is_timeout() {
        Error::Timeout { url, timeout }
    } else if source.is_connect() {
        Error::Unreachable { url, source }
    } else {
        Error::ConnectionLost { url, source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scripted::{Answer, Script, ScriptedEndpoint};

    #[tokio::test]
    async fn success_carries_the_body() {
        let server = ScriptedEndpoint::start(Script::default()).await;
        let answer = server.client().invoke("m-v0.tar.gz", "{}").await.unwrap();
        assert_eq!((answer.status, answer.body.as_slice()), (200, b"{\"echo\":2}".as_slice()));
        assert_eq!(server.targets(), ["m-v0.tar.gz"]);
    }

    #[tokio::test]
    async fn failed_answers_are_read() {
        let script = Script { answers: vec![Answer::ModelError("bad shape")], ..Script::default() };
        let error = ScriptedEndpoint::start(script).await.client().invoke("m", "{}").await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains("424 ModelError: the model answered 400: bad shape"), "{text}");
        assert!(matches!(error, Error::Status { original_status: Some(400), .. }));
    }

    #[tokio::test]
    async fn answers_that_are_no_json_are_quoted() {
        let script = Script { answers: vec![Answer::Plain(502, "bad gateway")], ..Script::default() };
        let error = ScriptedEndpoint::start(script).await.client().invoke("m", "{}").await.unwrap_err();
        assert!(matches!(&error, Error::Status { status: 502, message, .. } if message == "bad gateway"), "{error}");
    }

    #[tokio::test]
    async fn no_answer_is_a_timeout() {
        let script = Script { answers: vec![Answer::Never], ..Script::default() };
        let server = ScriptedEndpoint::start(script).await;
        let client = EndpointClient::new(&server.base_url(), "e", Duration::from_millis(20)).unwrap();
        assert!(matches!(client.invoke("m", "{}").await.unwrap_err(), Error::Timeout { .. }));
    }

    #[tokio::test]
    async fn a_cut_connection_is_told_from_a_closed_port() {
        let script = Script { answers: vec![Answer::Cut], ..Script::default() };
        let server = ScriptedEndpoint::start(script).await;
        assert!(matches!(server.client().invoke("m", "{}").await.unwrap_err(), Error::ConnectionLost { .. }));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let closed = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let client = EndpointClient::new(&closed, "e", Duration::from_secs(5)).unwrap();
        assert!(matches!(client.state().await.unwrap_err(), Error::Unreachable { .. }));
    }

    #[test]
    fn a_base_that_is_no_url_is_refused() {
        let error = EndpointClient::new("localhost", "e", Duration::from_secs(1)).unwrap_err();
        assert!(error.to_string().contains("`localhost`"));
    }
}
