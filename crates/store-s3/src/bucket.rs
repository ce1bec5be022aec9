//! A bucket, and the keys of objects in it.

use crate::options::S3Options;
use aws_sdk_s3::Client;
use planforge_store::{StoreUrl, join};

/// A bucket, and the prefix of the objects in it.
#[derive(Debug)]
pub(crate) struct Bucket {
    pub(crate) client: Client,
    pub(crate) options: S3Options,
    name: String,
    prefix: String,
}

impl Bucket {
    pub(crate) fn new(config: aws_sdk_s3::Config, name: &str, prefix: &str, options: S3Options) -> Self {
        Self { client: Client::from_conf(config), options, name: name.to_owned(), prefix: prefix.to_owned() }
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
