//! Reads a request's body within SageMaker's limits of size and time.

use crate::api_error::ApiError;
use crate::infer::Encoding;
use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, EXPECT};
use futures_util::StreamExt;
use planforge_core::MAX_BODY_BYTE_COUNT;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Most bytes read of a body that is too large. A client that is still writing when the answer comes
/// may not read it, so the rest is read first, within reason.
const MAX_DISCARDED_BYTE_COUNT: usize = 64 << 20;

/// Times the length of a body in JSON that it takes with its tensors: an element of eight bytes has two characters at least.
const JSON_FACTOR: usize = 5;
/// The same of raw bytes, which are copied.
const RAW_FACTOR: usize = 2;

/// Room for the bodies that are in memory at the same time with their tensors, counted in KiB.
#[derive(Debug)]
pub(crate) struct BodyRoom(Arc<Semaphore>);

impl BodyRoom {
    /// Room for `byte_count` bytes.
    pub(crate) fn new(byte_count: usize) -> Self {
        Self(Arc::new(Semaphore::new(byte_count / 1024)))
    }

    /// Room for one body, that of the largest where its length is not known.
    ///
    /// # Errors
    /// [`ApiError::Overloaded`].
    pub(crate) fn enter(&self, headers: &HeaderMap) -> Result<OwnedSemaphorePermit, ApiError> {
        let byte_count = length(headers).unwrap_or(MAX_BODY_BYTE_COUNT).min(MAX_BODY_BYTE_COUNT);
        let content_type = headers.get(CONTENT_TYPE);
        let factor = if Encoding::of_content_type(content_type) == Encoding::Json { JSON_FACTOR } else { RAW_FACTOR };
        let kib = u32::try_from((factor * byte_count).div_ceil(1024)).unwrap_or(u32::MAX);
        Arc::clone(&self.0).try_acquire_many_owned(kib).map_err(|_| ApiError::Overloaded)
    }
}

fn length(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok())
}

/// The whole body.
///
/// # Errors
/// [`ApiError::Validation`] for one that is too large, too slow, or cut off.
pub(crate) async fn read_body(headers: &HeaderMap, body: Body, timeout: Duration) -> Result<Vec<u8>, ApiError> {
    let length = length(headers);
    // A client that asks before it sends has sent nothing yet.
    if headers.contains_key(EXPECT) && length.is_some_and(|length| length > MAX_BODY_BYTE_COUNT) {
        return Err(too_large());
    }
    let capacity = length.unwrap_or(0).min(MAX_BODY_BYTE_COUNT);
    tokio::time::timeout(timeout, collect(body, capacity)).await.unwrap_or_else(|_| {
        Err(ApiError::Validation(format!("The request's body did not arrive within {} s", timeout.as_secs_f64())))
    })
}

/// Reads the body of a request that is refused, and drops it.
pub(crate) async fn discard_body(body: Body, timeout: Duration) {
    let mut chunks = body.into_data_stream();
    let read = async {
        let mut left = MAX_DISCARDED_BYTE_COUNT;
        while let Some(Ok(chunk)) = chunks.next().await {
            left = left.saturating_sub(chunk.len());
            if left == 0 {
                break;
            }
        }
    };
    // The answer is the same where it does not arrive.
    let _ = tokio::time::timeout(timeout, read).await;
}

async fn collect(body: Body, capacity: usize) -> Result<Vec<u8>, ApiError> {
    let (mut bytes, mut byte_count) = (Vec::with_capacity(capacity), 0_usize);
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk =
            chunk.map_err(|error| ApiError::Validation(format!("The request's body cannot be read: {error}")))?;
        byte_count = byte_count.saturating_add(chunk.len());
        if byte_count <= MAX_BODY_BYTE_COUNT {
            bytes.extend_from_slice(&chunk);
        } else if byte_count > MAX_DISCARDED_BYTE_COUNT {
            break;
        } else {
            bytes = Vec::new();
        }
    }
    if byte_count > MAX_BODY_BYTE_COUNT { Err(too_large()) } else { Ok(bytes) }
}

fn too_large() -> ApiError {
    ApiError::Validation(format!("The request's body is larger than {MAX_BODY_BYTE_COUNT} bytes"))
}
