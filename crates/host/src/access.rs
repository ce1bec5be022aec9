//! Who may send requests.

use crate::api_error::ApiError;
use crate::body::discard_body;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, HOST};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use planforge_core::AccessToken;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use subtle::ConstantTimeEq;

/// Route that everyone may ask.
pub(crate) const PING: &str = "/ping";

/// Who may send requests.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    token: Option<Arc<AccessToken>>,
    /// Longest time that the body of a refused request is read for.
    body_timeout: Duration,
}

impl Access {
    /// Whoever has the token; where there is none, programs of this machine.
    pub(crate) fn new(token: Option<AccessToken>, body_timeout: Duration) -> Self {
        Self { token: token.map(Arc::new), body_timeout }
    }

    fn check(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        let Some(token) = &self.token else { return check_host(headers) };
        let Some(given) = headers.get(AUTHORIZATION) else { return Err(ApiError::MissingToken) };
        let given = given.to_str().ok().and_then(secret).unwrap_or_default();
        if given.as_bytes().ct_eq(token.as_str().as_bytes()).into() { Ok(()) } else { Err(ApiError::WrongToken) }
    }
}

/// Passes requests on, or refuses them.
pub(crate) async fn check_access(State(access): State<Access>, request: Request, next: Next) -> Response {
    if request.uri().path() != PING
        && let Err(error) = access.check(request.headers())
    {
        // A client that is still writing might not see an early answer.
        discard_body(request.into_body(), access.body_timeout).await;
        return error.into_response();
    }
    next.run(request).await
}

/// The secret in `Bearer SECRET`, or the access key in a signature of AWS, of which the rest is not checked:
/// `AWS4-HMAC-SHA256 Credential=SECRET/20261201/eu-central-1/sagemaker/aws4_request, …`.
fn secret(authorization: &str) -> Option<&str> {
    let (scheme, rest) = authorization.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.trim());
    }
    let credential = rest.split(',').find_map(|part| part.trim().strip_prefix("Credential="))?;
    scheme.starts_with("AWS4-").then(|| credential.split('/').next())?
}

/// Without a token, a page in a browser of this machine must not reach the endpoint through a name of its own that leads
/// to 127.0.0.1 (DNS rebinding).
fn check_host(headers: &HeaderMap) -> Result<(), ApiError> {
    let Some(value) = headers.get(HOST) else { return Ok(()) };
    let host = String::from_utf8_lossy(value.as_bytes());
    if is_of_this_machine(&host) { Ok(()) } else { Err(ApiError::ForeignHost { host: host.into_owned() }) }
}

/// `localhost` or a loopback address, with or without a port.
fn is_of_this_machine(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    let is_local_name = name.eq_ignore_ascii_case("localhost") || name.to_ascii_lowercase().ends_with(".localhost");
    is_local_name || address.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_this_machine_are_known() {
        for host in ["localhost", "LOCALHOST:8080", "e.localhost:1", "127.0.0.1", "127.1.2.3:80", "[::1]:8080", "[::1]"]
        {
            assert!(is_of_this_machine(host), "{host}");
        }
        for host in ["", "example.com", "127.0.0.1.example.com:80", "10.0.0.1:80", "[::]:80", "localhost.example.com"] {
            assert!(!is_of_this_machine(host), "{host}");
        }
    }

    #[test]
    fn the_secret_is_a_bearer_token_or_an_access_key() {
        assert_eq!(secret("Bearer abc"), Some("abc"));
        assert_eq!(secret("bearer  abc"), Some("abc"));
        let signature = "AWS4-HMAC-SHA256 Credential=abc/20261201/eu-central-1/sagemaker/aws4_request, SignedHeaders=host, Signature=f";
        assert_eq!(secret(signature), Some("abc"));
        assert_eq!(secret("AWS4-HMAC-SHA256 SignedHeaders=host,Credential=abc/2026"), Some("abc"));
        for other in ["", "abc", "Basic abc", "Basic Credential=abc/x", "AWS4-HMAC-SHA256 Signature=f"] {
            assert_eq!(secret(other), None, "{other}");
        }
    }
}
