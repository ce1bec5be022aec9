//! One address for several endpoints, each of which is a process of its own, so that its memory is its own.

use crate::access::PING;
use crate::api_error::ApiError;
use crate::host::listen;
use crate::options::check_address;
use crate::routes::metrics_response;
use crate::server::{ConnectionLimits, serve, serve_until};
use crate::{Error, Result};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, Request, State};
use axum::http::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, TRANSFER_ENCODING, UPGRADE};
use axum::http::uri::{Authority, PathAndQuery, Scheme};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use futures_util::future::try_join_all;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use planforge_core::AccessToken;
use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

/// How long each endpoint may take for its counts; one that is stuck does not hide the others.
const STATE_TIMEOUT: Duration = Duration::from_secs(5);
/// Most bytes of an endpoint's counts.
const MOST_BYTES: usize = 64 << 20;

/// A bound address in front of endpoints. Connections are accepted, and wait, until [`Self::serve`] is called.
#[derive(Debug)]
pub struct Front {
    listener: TcpListener,
    address: SocketAddr,
    endpoints: Endpoints,
}

/// The endpoints by name, and connections to them.
#[derive(Debug, Clone)]
struct Endpoints {
    addresses: Arc<BTreeMap<String, SocketAddr>>,
    client: Client<HttpConnector, Body>,
}

impl Front {
    /// Listens on `address` for the endpoints of these names and addresses, at least one. They check access themselves; the token
    /// given here is theirs.
    ///
    /// # Errors
    /// [`Error::NotLoopback`], [`Error::SameName`], [`Error::AddressInUse`] and [`Error::Bind`].
    pub async fn bind(
        address: SocketAddr,
        token: Option<&AccessToken>,
        endpoints: impl IntoIterator<Item = (String, SocketAddr)>,
    ) -> Result<Self> {
        check_address(address, token)?;
        let mut addresses = BTreeMap::new();
        for (name, address) in endpoints {
            if addresses.insert(name.clone(), address).is_some() {
                return Err(Error::SameName { endpoint: name });
            }
        }
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).build(connector);
        let listener = listen(address).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address, endpoints: Endpoints { addresses: Arc::new(addresses), client } })
    }

    /// The address in use, with the port that was chosen.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Passes requests on until `shutdown` is done, then waits for those in flight for at most `drain_timeout`.
    pub async fn serve(self, drain_timeout: Duration, shutdown: impl Future<Output = ()> + Send + 'static) {
        let router = Router::new()
            .route("/endpoints/{name}/{*rest}", any(forward))
            .route(PING, get(async || ()))
            .route("/metrics", get(metrics))
            .route("/planforge/state", get(states))
            .fallback(async || ApiError::UnknownRoute)
            .method_not_allowed_fallback(async || ApiError::UnknownMethod)
            .with_state(self.endpoints);
        let limits = ConnectionLimits::default();
        serve_until(drain_timeout, shutdown, |ended| serve(self.listener, router, limits, ended)).await;
    }
}

impl Endpoints {
    /// Sends a request to one of them.
    async fn send(&self, address: SocketAddr, mut request: Request) -> std::result::Result<Response, ApiError> {
        let failed =
            |error: &dyn std::fmt::Display| ApiError::Internal(format!("The endpoint does not answer: {error}"));
        let mut uri = std::mem::take(request.uri_mut()).into_parts();
        uri.scheme = Some(Scheme::HTTP);
        uri.authority = Some(Authority::try_from(address.to_string()).map_err(|error| failed(&error))?);
        *request.uri_mut() = Uri::from_parts(uri).map_err(|error| failed(&error))?;
        remove_connection_headers(request.headers_mut());
        let response = self.client.request(request).await.map_err(|error| failed(&error))?;
        let mut response = response.map(Body::new);
        remove_connection_headers(response.headers_mut());
        Ok(response)
    }

    /// The same route of all endpoints, by their names; nothing from one that does not answer in time. The first refusal instead.
    async fn of_all(
        &self,
        path: &'static str,
        headers: &HeaderMap,
    ) -> std::result::Result<Vec<(&str, Option<String>)>, Response> {
        let answers = self.addresses.iter().map(async |(name, address)| {
            match tokio::time::timeout(STATE_TIMEOUT, self.text(*address, path, headers)).await {
                Ok(text) => Ok((name.as_str(), Some(text?))),
                Err(_) => Ok((name.as_str(), None)),
            }
        });
        try_join_all(answers).await
    }

    /// What one endpoint answers.
    async fn text(
        &self,
        address: SocketAddr,
        path: &'static str,
        headers: &HeaderMap,
    ) -> std::result::Result<String, Response> {
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = Uri::from(PathAndQuery::from_static(path));
        for name in [AUTHORIZATION, HOST] {
            if let Some(value) = headers.get(&name) {
                request.headers_mut().insert(name, value.clone());
            }
        }
        let response = self.send(address, request).await.map_err(IntoResponse::into_response)?;
        if response.status() != StatusCode::OK {
            return Err(response);
        }
        let bytes = to_bytes(response.into_body(), MOST_BYTES).await;
        let bytes = bytes.map_err(|error| ApiError::Internal(error.to_string()).into_response())?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// A request for one endpoint. That none has the name is for any of them to answer.
async fn forward(
    State(endpoints): State<Endpoints>,
    Path((name, _)): Path<(String, String)>,
    request: Request,
) -> Response {
    let address = endpoints.addresses.get(&name).or_else(|| endpoints.addresses.values().next());
    match address {
        Some(address) => endpoints.send(*address, request).await.into_response(),
        None => ApiError::UnknownRoute.into_response(),
    }
}

async fn metrics(State(endpoints): State<Endpoints>, headers: HeaderMap) -> Response {
    match endpoints.of_all("/metrics", &headers).await {
        Ok(answers) => {
            let mut texts = vec![up(&answers)];
            texts.extend(answers.into_iter().filter_map(|(_, text)| text));
            metrics_response(merge(&texts))
        }
        Err(refusal) => refusal,
    }
}

/// Which endpoints answer, in the OpenMetrics format.
fn up(answers: &[(&str, Option<String>)]) -> String {
    let head = "# HELP planforge_up Whether the endpoint answers.\n# TYPE planforge_up gauge\n";
    answers.iter().fold(head.to_owned(), |text, (name, answer)| {
        format!("{text}planforge_up{{endpoint=\"{name}\"}} {}\n", u8::from(answer.is_some()))
    })
}

async fn states(State(endpoints): State<Endpoints>, headers: HeaderMap) -> Response {
    let answers = match endpoints.of_all("/planforge/state", &headers).await {
        Ok(answers) => answers,
        Err(refusal) => return refusal,
    };
    if let Some((name, _)) = answers.iter().find(|(_, text)| text.is_none()) {
        let text = format!("Endpoint {name} does not answer; the others have their state at /endpoints/NAME/state");
        return ApiError::Internal(text).into_response();
    }
    let texts: Vec<_> = answers.into_iter().filter_map(|(_, text)| text).collect();
    ([(CONTENT_TYPE, "application/json")], format!("[{}]", texts.join(","))).into_response()
}

/// Headers that are about one connection (RFC 9110, section 7.6.1).
fn remove_connection_headers(headers: &mut HeaderMap) {
    for name in [CONNECTION, TRANSFER_ENCODING, UPGRADE] {
        headers.remove(name);
    }
    headers.remove("keep-alive");
}

/// One text in the OpenMetrics format of several: each family once, with the samples of all.
fn merge(texts: &[String]) -> String {
    let mut families: Vec<(String, String)> = Vec::new();
    for text in texts {
        let (mut head, mut is_head, mut at) = (String::new(), false, 0);
        for line in text.lines().filter(|line| *line != "# EOF") {
            if line.starts_with('#') {
                if !is_head {
                    head.clear();
                }
                head = head + line + "\n";
            } else {
                if is_head {
                    at = families.iter().position(|(known, _)| *known == head).unwrap_or(families.len());
                    if at == families.len() {
                        families.push((head.clone(), String::new()));
                    }
                }
                if let Some((_, samples)) = families.get_mut(at) {
                    *samples += line;
                    *samples += "\n";
                }
            }
            is_head = line.starts_with('#');
        }
    }
    let all: String = families.into_iter().map(|(head, samples)| head + &samples).collect();
    all + "# EOF\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_written_once() {
        let text = |name: &str| {
            format!(
                "# HELP a A.\n# TYPE a counter\na_total{{endpoint=\"{name}\"}} 1\n# HELP b B.\n# TYPE b gauge\nb{{endpoint=\"{name}\"}} 2\n# EOF\n"
            )
        };
        let expected = "# HELP a A.\n# TYPE a counter\na_total{endpoint=\"x\"} 1\na_total{endpoint=\"y\"} 1\n\
                        # HELP b B.\n# TYPE b gauge\nb{endpoint=\"x\"} 2\nb{endpoint=\"y\"} 2\n# EOF\n";
        assert_eq!(merge(&[text("x"), text("y")]), expected);
        assert_eq!(merge(&[text("x")]), text("x"));
    }
}
