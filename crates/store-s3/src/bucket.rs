//! A bucket, and the keys of objects in it.

use crate::options::S3Options;
use crate::unsupported::is_unsupported;
use aws_sdk_s3::Client;
use planforge_core::Checksums;
use planforge_store::{Result, StoreUrl, join};
use std::sync::atomic::{AtomicBool, Ordering};

/// A bucket, and the prefix of the objects in it.
#[derive(Debug)]
pub(crate) struct Bucket {
    pub(crate) client: Client,
    pub(crate) options: S3Options,
    name: String,
    prefix: String,
    /// Whether requests carry S3's checksums.
    has_checksums: AtomicBool,
}

impl Bucket {
    pub(crate) fn new(config: aws_sdk_s3::Config, name: &str, prefix: &str, options: S3Options) -> Self {
        let has_checksums = AtomicBool::new(options.checksums != Checksums::Off);
        let (name, prefix) = (name.to_owned(), prefix.to_owned());
        Self { client: Client::from_conf(config), options, name, prefix, has_checksums }
    }

    /// Whether requests carry S3's checksums.
    pub(crate) fn has_checksums(&self) -> bool {
        self.has_checksums.load(Ordering::Relaxed)
    }

    /// Sends a request with S3's checksums, and again without them where the store refuses them. A store that accepts it then
    /// gets no more checksums.
    pub(crate) async fn with_checksums<T, F>(&self, request: impl Fn(bool) -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let has_checksums = self.has_checksums();
        let refused = match request(has_checksums).await {
            Err(error) if has_checksums && self.options.checksums == Checksums::Auto && is_unsupported(&error) => error,
            answer => return answer,
        };
        let Ok(answer) = request(false).await else { return Err(refused) };
        self.has_checksums.store(false, Ordering::Relaxed);
        tracing::info!(bucket = self.name, %refused, "the store does not know S3's checksums; it gets Content-MD5");
        Ok(answer)
    }

    /// The bucket's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The region that requests go to.
    pub(crate) fn region(&self) -> String {
        self.client.config().region().map_or_else(String::new, ToString::to_string)
    }

    /// The address of an object by its whole key.
    pub(crate) fn url(&self, key: &str) -> String {
        StoreUrl::S3 { bucket: self.name.clone(), prefix: String::new() }.url(key)
    }

    /// The whole key of a key below the store's prefix.
    pub(crate) fn key(&self, key: &str) -> String {
        join(&self.prefix, key)
    }

    /// A whole key without the store's prefix.
    pub(crate) fn relative<'a>(&self, key: &'a str) -> Option<&'a str> {
        if self.prefix.is_empty() { Some(key) } else { key.strip_prefix(&self.prefix)?.strip_prefix('/') }
    }

    /// A prefix as it is listed, with `/` at its end.
    pub(crate) fn prefix(&self, prefix: &str) -> String {
        let key = if prefix.is_empty() { self.prefix.clone() } else { self.key(prefix) };
        if key.is_empty() { key } else { key + "/" }
    }
}
