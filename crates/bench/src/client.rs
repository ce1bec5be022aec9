//! An endpoint over HTTP, with the routes of SageMaker's runtime and the memory state of the local endpoint.

use crate::{Endpoint, Error, Invocation, Result};
use planforge_core::{
    AccessToken, EndpointError, EndpointState, RequestBody, TARGET_MODEL_HEADER, invocations_path, state_path,
};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, Request, StatusCode, Url};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

static TARGET_MODEL_NAME: LazyLock<HeaderName> =
    LazyLock::new(|| TARGET_MODEL_HEADER.parse().expect("the header's name is a valid one"));

/// Header of an error response that names the kind of error.
const ERROR_TYPE_HEADER: &str = "x-amzn-errortype";

/// Characters kept of an error response that is not an [`EndpointError`].
const MAX_MESSAGE_CHARS: usize = 500;

/// Most bytes of a response, far beyond SageMaker's limit; an endpoint could send one without end.
const MAX_RESPONSE_BYTE_COUNT: usize = 64 << 20;

/// A client of one multi-model endpoint; clones share their connections.
#[derive(Debug, Clone)]
pub struct EndpointClient {
    http: Client,
    endpoint: String,
    invocations: Url,
    state: Url,
    timeout: Duration,
    authorization: Option<HeaderValue>,
}

impl EndpointClient {
    /// A client of `endpoint` at `base_url` (`http://127.0.0.1:8080`); `timeout` limits each request with its whole
    /// response. It uses no proxies and follows no redirects. Requests carry `token`, if there is one.
    ///
    /// # Errors
    /// [`Error::Client`] when the URL is invalid.
    pub fn new(base_url: &str, endpoint: &str, timeout: Duration, token: Option<&AccessToken>) -> Result<Self> {
        let invalid = |source| Error::Client { base_url: base_url.to_owned(), source };
        let http = Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .build()
            .map_err(invalid)?;
        let url = |path: &str| -> Result<Url> {
            let text = format!("{}{path}", base_url.trim_end_matches('/'));
            Ok(http.get(text).build().map_err(invalid)?.url().clone())
        };
        let (invocations, state) = (url(&invocations_path(endpoint))?, url(&state_path(endpoint))?);
        let authorization = token.map(|token| {
            let text = format!("Bearer {}", token.as_str());
            let mut value = HeaderValue::try_from(text).expect("tokens are plain ASCII");
            value.set_sensitive(true);
            value
        });
        Ok(Self { http, endpoint: endpoint.to_owned(), invocations, state, timeout, authorization })
    }

    /// Status, content type and body of a successful response; any other is an error.
    async fn execute(&self, request: Request) -> Result<(StatusCode, String, Vec<u8>)> {
        let url = request.url().clone();
        let disconnected = |source| disconnected(&url, self.timeout, source);
        let mut response = self.http.execute(request).await.map_err(disconnected)?;
        let status = response.status();
        let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let content_type = content_type.unwrap_or_default().to_owned();
        let kind = if status.is_success() { String::new() } else { error_kind(response.headers()) };
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(disconnected)? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_RESPONSE_BYTE_COUNT {
                return Err(Error::ResponseTooLarge { url: url.to_string(), limit: MAX_RESPONSE_BYTE_COUNT });
            }
        }
        if status.is_success() { Ok((status, content_type, body)) } else { Err(failed(&url, status, kind, &body)) }
    }

    fn request(&self, method: Method, url: &Url) -> Request {
        let mut request = Request::new(method, url.clone());
        *request.timeout_mut() = Some(self.timeout);
        if let Some(value) = &self.authorization {
            request.headers_mut().insert(AUTHORIZATION, value.clone());
        }
        request
    }
}

impl Endpoint for EndpointClient {
    type Request = Request;

    fn name(&self) -> &str {
        &self.endpoint
    }

    fn prepare(&self, RequestBody { content_type, bytes }: RequestBody) -> Request {
        let mut request = self.request(Method::POST, &self.invocations);
        let content_type = HeaderValue::try_from(content_type).expect("content types are plain ASCII");
        request.headers_mut().insert(CONTENT_TYPE, content_type);
        *request.body_mut() = Some(bytes.into());
        request
    }

    /// [`Error::TargetModel`] for a name that a header cannot carry, [`Error::Status`] for a response other than success.
    async fn send(&self, request: &Request, target_model: &str) -> Result<Invocation> {
        let target = HeaderValue::from_str(target_model)
            .map_err(|_| Error::TargetModel { target_model: target_model.to_owned() })?;
        let mut request = request.try_clone().expect("a body in memory can be sent twice");
        request.headers_mut().insert(TARGET_MODEL_NAME.clone(), target);
        let start = Instant::now();
        let (status, content_type, body) = self.execute(request).await?;
        Ok(Invocation { status: status.as_u16(), content_type, body, latency: start.elapsed() })
    }

    async fn state(&self) -> Result<EndpointState> {
        let (_, _, body) = self.execute(self.request(Method::GET, &self.state)).await?;
        serde_json::from_slice(&body).map_err(|source| Error::State { url: self.state.to_string(), source })
    }
}

/// The kind of error, without the schema that may follow it after a colon.
fn error_kind(headers: &HeaderMap) -> String {
    let text = headers.get(ERROR_TYPE_HEADER).and_then(|value| value.to_str().ok()).unwrap_or_default();
    text.split(':').next().unwrap_or_default().to_owned()
}

fn failed(url: &Url, status: StatusCode, kind: String, body: &[u8]) -> Error {
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

fn disconnected(url: &Url, timeout: Duration, source: reqwest::Error) -> Error {
    let (url, source) = (url.to_string(), source.without_url());
    if source.is_timeout() {
        Error::Timeout { url, timeout }
    } else if source.is_connect() {
        Error::Unreachable { url, source: source.into() }
    } else {
        Error::ConnectionLost { url, source: source.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scripted::{Script, ScriptedEndpoint, ScriptedResponse};

    #[tokio::test]
    async fn success_carries_the_body() {
        let server = ScriptedEndpoint::start(Script::default()).await;
        let invocation = server.invoke("m-v0.tar.gz", "{}").await.unwrap();
        assert_eq!((invocation.status, invocation.body.as_slice()), (200, b"{\"echo\":2}".as_slice()));
        assert_eq!(server.targets(), ["m-v0.tar.gz"]);
    }

    #[tokio::test]
    async fn error_responses_are_read() {
        let script = Script { responses: vec![ScriptedResponse::ModelError("bad shape")], ..Script::default() };
        let error = ScriptedEndpoint::start(script).await.invoke("m", "{}").await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains("424 ModelError: the model answered 400: bad shape"), "{text}");
        assert!(matches!(error, Error::Status { original_status: Some(400), .. }));
    }

    #[tokio::test]
    async fn responses_that_are_not_json_are_quoted() {
        let script = Script { responses: vec![ScriptedResponse::Plain(502, "bad gateway")], ..Script::default() };
        let error = ScriptedEndpoint::start(script).await.invoke("m", "{}").await.unwrap_err();
        assert!(matches!(&error, Error::Status { status: 502, message, .. } if message == "bad gateway"), "{error}");
    }

    #[tokio::test]
    async fn a_response_without_end_is_read_up_to_a_limit() {
        let long = Box::leak(" ".repeat(MAX_RESPONSE_BYTE_COUNT + 1).into_boxed_str());
        let script = Script { responses: vec![ScriptedResponse::Plain(200, long)], ..Script::default() };
        let error = ScriptedEndpoint::start(script).await.invoke("m", "{}").await.unwrap_err();
        assert!(error.to_string().ends_with("is too large: more than 67108864 bytes"), "{error}");
    }

    #[tokio::test]
    async fn no_response_is_a_timeout() {
        let script = Script { responses: vec![ScriptedResponse::Never], ..Script::default() };
        let server = ScriptedEndpoint::start(script).await;
        let client = EndpointClient::new(&server.base_url(), "e", Duration::from_millis(20), None).unwrap();
        assert!(matches!(client.send(&client.prepare("{}".into()), "m").await.unwrap_err(), Error::Timeout { .. }));
    }

    #[tokio::test]
    async fn a_cut_connection_is_distinguished_from_a_closed_port() {
        let script = Script { responses: vec![ScriptedResponse::Cut], ..Script::default() };
        let server = ScriptedEndpoint::start(script).await;
        assert!(matches!(server.invoke("m", "{}").await.unwrap_err(), Error::ConnectionLost { .. }));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let closed = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let client = EndpointClient::new(&closed, "e", Duration::from_secs(5), None).unwrap();
        assert!(matches!(client.state().await.unwrap_err(), Error::Unreachable { .. }));
    }

    #[test]
    fn an_invalid_base_url_is_refused() {
        let error = EndpointClient::new("localhost", "e", Duration::from_secs(1), None).unwrap_err();
        assert!(error.to_string().contains("`localhost`"));
    }
}
