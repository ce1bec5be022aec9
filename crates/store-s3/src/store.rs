//! The store: keys below its prefix, as [`ObjectStore`] has them.

use crate::bucket::Bucket;
use crate::checksum::{base64, content_md5};
use crate::copy::copy;
use crate::fault::fault;
use crate::options::{S3Options, with_options};
use crate::unsupported::is_unsupported;
use crate::upload::Uploading;
use async_trait::async_trait;
use aws_sdk_s3::config::Builder;
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use planforge_core::digest_bytes;
use planforge_store::{
    Action, CopySource, Error, MultipartUpload, MultipartUploads, ObjectContent, ObjectPage, ObjectProperties,
    ObjectStore, PutCondition, PutOptions, PutOutcome, Result, Source, TransferPlan, Upload, Uploaded, check_key,
    check_prefix,
};
use planforge_types::Digest;
use std::ops::Range;
use std::sync::Arc;

/// Codes of S3 for a condition that did not hold, or that another write was about to change.
const CONDITION_FAILED: [&str; 2] = ["PreconditionFailed", "ConditionalRequestConflict"];

/// A store in a bucket.
#[derive(Debug)]
pub struct S3Store {
    pub(crate) bucket: Bucket,
}

impl S3Store {
    pub(crate) const fn new(bucket: Bucket) -> Self {
        Self { bucket }
    }

    /// The whole key of an object.
    fn key(&self, key: &str) -> Result<String> {
        check_prefix(key)?;
        Ok(self.bucket.key(key))
    }

    /// Writes bytes as the object of a whole key; with `if_none_match`, under that condition.
    async fn put_bytes(
        &self,
        key: &str,
        content: &Bytes,
        content_type: &'static str,
        if_none_match: Option<&str>,
    ) -> Result<()> {
        let (bucket, sha256) = (&self.bucket, &digest_bytes(content));
        let sending = |has_checksums: bool| async move {
            let body = ByteStream::from(content.clone());
            let request = bucket.client.put_object().bucket(bucket.name()).key(key).body(body);
            let request = request.content_type(content_type).set_if_none_match(if_none_match.map(str::to_owned));
            let request = request.set_checksum_sha256(has_checksums.then(|| base64(sha256)));
            let request = request.set_content_md5((!has_checksums).then(|| content_md5(content)));
            let request = with_options!(request, &bucket.options, sha256).customize();
            let config = S3Options::with_checksums(Builder::new(), has_checksums);
            let sent = request.config_override(config).send().await;
            sent.map(drop).map_err(|error| fault(bucket, Action::Upload, key, &error))
        };
        bucket.with_checksums(sending).await
    }
}

#[async_trait]
impl ObjectStore for S3Store {
    fn url(&self, key: &str) -> String {
        self.bucket.url(&self.bucket.key(key))
    }

    fn transfer_plan(&self, byte_count: u64) -> TransferPlan {
        let options = &self.bucket.options;
        TransferPlan {
            part_byte_count: options.part_size(byte_count),
            copies_at_once: options.copies_at_once(byte_count),
            requests_at_once: options.small_requests,
        }
    }

    fn check_key(&self, key: &str) -> Result<()> {
        check_key(&self.bucket.key(key))
    }

    async fn list_page(&self, prefix: &str, next: Option<&str>) -> Result<ObjectPage> {
        check_prefix(prefix)?;
        self.bucket.list_page(&self.bucket.prefix(prefix), next).await
    }

    async fn head(&self, key: &str) -> Result<Option<ObjectProperties>> {
        let found = self.bucket.properties(&self.key(key)?).await?;
        Ok(found.map(|found| ObjectProperties {
            byte_count: found.byte_count,
            sha256: found.sha256.and_then(|sha256| Digest::try_from(sha256).ok()),
            e_tag: found.e_tag,
        }))
    }

    async fn get(&self, key: &str, range: Option<Range<u64>>) -> Result<Option<ObjectContent>> {
        self.bucket.content(&self.key(key)?, range).await
    }

    async fn put(&self, key: &str, content: Bytes, options: PutOptions) -> Result<PutOutcome> {
        let key = self.key(key)?;
        if options.condition == PutCondition::Always {
            self.put_bytes(&key, &content, options.content_type, None).await?;
            return Ok(PutOutcome::Written);
        }
        match self.put_bytes(&key, &content, options.content_type, Some("*")).await {
            Ok(()) => Ok(PutOutcome::Written),
            Err(Error::Request { code: Some(code), .. }) if CONDITION_FAILED.contains(&code.as_str()) => {
                Ok(PutOutcome::Exists)
            }
            // A store without conditions: between the two requests another process may write the object.
            Err(error) if is_unsupported(&error) => match self.bucket.properties(&key).await? {
                Some(_) => Ok(PutOutcome::Exists),
                None => {
                    self.put_bytes(&key, &content, options.content_type, None).await?;
                    Ok(PutOutcome::Written)
                }
            },
            Err(error) => Err(error),
        }
    }

    async fn put_file(&self, key: &str, source: &Arc<Source>, upload: Upload<'_>) -> Result<Uploaded> {
        let resumable: Vec<_> = upload.resumable.iter().map(|upload| self.bucket.whole_upload(upload)).collect();
        let upload = Upload { resumable: &resumable, ..upload };
        Uploading { bucket: &self.bucket, source, upload }.upload(&self.key(key)?).await
    }

    async fn find(&self, key: &str, source: &Arc<Source>) -> Result<Option<CopySource>> {
        let found = self.bucket.holding(&self.key(key)?, source).await?;
        Ok(found.map(|found| CopySource {
            key: key.to_owned(),
            e_tag: found.e_tag,
            is_current: found.settings == self.bucket.options.settings(),
        }))
    }

    async fn copy(&self, from: &CopySource, key: &str, source: &Arc<Source>, uploads: &MultipartUploads) -> Result<()> {
        let from = CopySource { key: self.key(&from.key)?, ..from.clone() };
        copy(&self.bucket, source, &from, &self.key(key)?, uploads).await
    }

    async fn delete(&self, keys: &[String]) -> Result<()> {
        self.bucket.delete(&keys.iter().map(|key| self.key(key)).collect::<Result<Vec<_>>>()?).await
    }

    async fn list_multipart_uploads(&self, prefix: &str) -> Result<Vec<MultipartUpload>> {
        check_prefix(prefix)?;
        let uploads = match self.bucket.multipart_uploads(&self.bucket.prefix(prefix)).await {
            // A store that cannot list them cannot resume them either.
            Err(error) if is_unsupported(&error) => Vec::new(),
            uploads => uploads?,
        };
        Ok(uploads.iter().map(|upload| self.bucket.relative_upload(upload)).collect())
    }

    async fn abort_multipart_upload(&self, upload: &MultipartUpload) -> Result<()> {
        self.bucket.abort(&self.bucket.whole_upload(upload)).await
    }
}
