//! Content of objects.

use crate::bucket::Bucket;
use crate::fault::fault;
use crate::options::S3Options;
use aws_sdk_s3::config::Builder;
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use bytes::Bytes;
use futures_util::stream;
use planforge_store::{Action, Error, ObjectContent, Result};
use std::ops::Range;

/// What a store has of an object, or of a range of it.
enum Answer {
    Content(Box<GetObjectOutput>),
    Missing,
    Empty,
}

impl Bucket {
    /// The content of an object, or a range of it; none where there is no such object.
    pub(crate) async fn content(&self, key: &str, range: Option<Range<u64>>) -> Result<Option<ObjectContent>> {
        let range = range.map(|range| format!("bytes={}-{}", range.start, range.end.saturating_sub(1)));
        let range = &range;
        let asking = |has_checksums: bool| async move {
            let request = self.client.get_object().bucket(self.name()).key(key).set_range(range.clone());
            let config = S3Options::with_checksums(Builder::new(), has_checksums);
            match request.customize().config_override(config).send().await {
                Ok(response) => Ok(Answer::Content(Box::new(response))),
                Err(error) if error.code() == Some("NoSuchKey") => Ok(Answer::Missing),
                // The range begins where the object ends, or after that.
                Err(error) if error.code() == Some("InvalidRange") => Ok(Answer::Empty),
                Err(error) => Err(fault(self, Action::Get, key, &error)),
            }
        };
        let response = match self.with_checksums(asking).await? {
            Answer::Content(response) => *response,
            Answer::Missing => return Ok(None),
            Answer::Empty => return Ok(Some(ObjectContent::from_bytes(Bytes::new()))),
        };
        let byte_count = response.content_length().and_then(|length| length.try_into().ok()).unwrap_or(0);
        let url = self.url(key);
        let chunks = stream::unfold((response.body, url), async |(mut body, url)| {
            let chunk = body.next().await?;
            let failed = |error: aws_sdk_s3::primitives::ByteStreamError| Error::Request {
                action: Action::Get,
                url: url.clone(),
                code: None,
                reason: error.to_string(),
            };
            Some((chunk.map_err(failed), (body, url)))
        });
        Ok(Some(ObjectContent::new(byte_count, chunks)))
    }
}
