//! How JSON and raw tensors share a body: Triton's binary tensor extension as SageMaker carries it.

use crate::api_error::ApiError;
use axum::http::HeaderValue;

const BINARY_TYPE: &str = "application/vnd.sagemaker-triton.binary+json";
const HEADER_SIZE: &str = "json-header-size=";

/// Encoding of a request's body, from its content type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// All of it is JSON; any content type but the binary one.
    Json,
    /// JSON, then the raw tensors. With 0 bytes of JSON the body is the only input.
    Binary {
        /// Bytes of JSON.
        json_byte_count: i64,
    },
}

impl Encoding {
    /// Reads a content type. A size that is not a number counts as 0, as it does in Triton.
    pub(crate) fn of_content_type(content_type: Option<&HeaderValue>) -> Self {
        let content_type = content_type.and_then(|value| value.to_str().ok());
        let Some((name, parameters)) = content_type.and_then(|text| text.split_once(';')) else { return Self::Json };
        // As Triton, with nothing between.
        match parameters.strip_prefix(HEADER_SIZE) {
            Some(size) if name == BINARY_TYPE => Self::Binary { json_byte_count: size.parse().unwrap_or(0) },
            _ => Self::Json,
        }
    }

    /// The JSON and the raw part of `body`.
    ///
    /// # Errors
    /// The body is shorter than its JSON should be.
    pub(crate) fn split(self, body: &[u8]) -> Result<(&[u8], &[u8]), ApiError> {
        match self {
            Self::Json => Ok((body, &[])),
            Self::Binary { json_byte_count } => split_at(body, json_byte_count).ok_or_else(|| {
                ApiError::bad_input(format!(
                    "inference header size should be in range (0, {}), got: {json_byte_count}",
                    body.len()
                ))
            }),
        }
    }
}

fn split_at(body: &[u8], at: i64) -> Option<(&[u8], &[u8])> {
    body.split_at_checked(usize::try_from(at).ok()?)
}

/// Content type of an answer with `json_byte_count` bytes of JSON before its raw tensors.
pub(crate) fn binary_content_type(json_byte_count: usize) -> String {
    format!("{BINARY_TYPE};{HEADER_SIZE}{json_byte_count}")
}
