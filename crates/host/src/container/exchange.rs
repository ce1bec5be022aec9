//! One HTTP request to a container and its response.

use super::connector::Connector;
use axum::body::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use std::io;
use std::time::Duration;

/// Most bytes of a response.
const MOST_BYTES: usize = 1 << 30;

/// A response of a container.
#[derive(Debug)]
pub(crate) struct ContainerResponse {
    /// Status.
    pub(crate) status: StatusCode,
    /// Its content type, empty where it has none.
    pub(crate) content_type: String,
    /// Body.
    pub(crate) body: Vec<u8>,
}

impl ContainerResponse {
    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Sends a request on a connection of its own.
///
/// # Errors
/// A container that does not listen, does not answer within `timeout`, or ends the connection before it has answered.
pub(crate) async fn exchange(
    connector: &Connector,
    (method, path): (Method, &str),
    headers: &[(HeaderName, HeaderValue)],
    body: Bytes,
    timeout: Duration,
) -> io::Result<ContainerResponse> {
    let response = tokio::time::timeout(timeout, send(connector, (method, path), headers, body)).await;
    response.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

async fn send(
    connector: &Connector,
    (method, path): (Method, &str),
    headers: &[(HeaderName, HeaderValue)],
    body: Bytes,
) -> io::Result<ContainerResponse> {
    let stream = TokioIo::new(connector.connect().await?);
    let (mut sender, connection) = http1::handshake(stream).await.map_err(io::Error::other)?;
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = method;
    *request.uri_mut() = path.parse().map_err(io::Error::other)?;
    let all: &mut HeaderMap = request.headers_mut();
    all.insert(HOST, HeaderValue::from_static("127.0.0.1"));
    all.extend(headers.iter().cloned());
    let exchange = async {
        let response = sender.send_request(request).await.map_err(io::Error::other)?;
        let status = response.status();
        let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let content_type = content_type.unwrap_or_default().to_owned();
        let body = Limited::new(response.into_body(), MOST_BYTES).collect().await.map_err(io::Error::other)?;
        Ok(ContainerResponse { status, content_type, body: body.to_bytes().into() })
    };
    tokio::pin!(exchange);
    tokio::pin!(connection);
    // The connection is driven until the response is whole; it ends with this function.
    tokio::select! {
        response = &mut exchange => response,
        ended = &mut connection => match ended {
            Ok(()) => exchange.await,
            Err(error) => Err(io::Error::other(error)),
        },
    }
}
