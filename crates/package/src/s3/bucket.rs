//! A bucket that was reached, and the small requests: what is there, and away with it.

use super::fault::fault;
use super::options::S3Options;
use super::source::Source;
use crate::store::join;
use crate::{Action, Error, Result, Store};
use aws_sdk_s3::Client;
use aws_sdk_s3::types::{ChecksumMode, Delete, ObjectIdentifier, StorageClass};
use std::collections::BTreeMap;

/// Metadata that says which archive an object is.
pub(super) const DIGEST_KEY: &str = "planforge-sha256";
/// Metadata that says with which settings it was made.
pub(super) const SETTINGS_KEY: &str = "planforge-settings";
/// Most objects that S3 removes at once.
const REMOVED_AT_ONCE: usize = 1000;

/// A bucket that was reached, and where in it objects lie.
#[derive(Debug)]
pub struct Bucket {
    pub(super) client: Client,
    pub(super) options: S3Options,
    name: String,
    prefix: String,
}

/// What S3 says of an object.
#[derive(Debug, Clone)]
pub(super) struct Properties {
    pub(super) byte_count: u64,
    /// Of the archive that it is said to be.
    pub(super) sha256: Option<String>,
    /// The settings that it was made with.
    pub(super) noted: Option<String>,
    /// S3's SHA-256 of it.
    pub(super) checksum: Option<String>,
    pub(super) e_tag: Option<String>,
    /// Whether it lies in an archive, from which it would have to be restored before anybody reads it.
    pub(super) is_archived: bool,
}

impl Bucket {
    pub(super) fn new(config: aws_sdk_s3::Config, (name, prefix): (&str, &str), options: S3Options) -> Self {
        Self { client: Client::from_conf(config), options, name: name.to_owned(), prefix: prefix.to_owned() }
    }

    /// The bucket's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The region that requests go to.
    pub(super) fn region(&self) -> String {
        self.client.config().region().map_or_else(String::new, ToString::to_string)
    }

    /// The address of an object by its whole key.
    pub(super) fn url(&self, key: &str) -> String {
        Store::S3 { bucket: self.name.clone(), prefix: String::new() }.url(key)
    }

    /// A key below the store's prefix, as a whole key.
    pub(super) fn key(&self, key: &str) -> String {
        join(&self.prefix, key)
    }

    /// Asks for one object, which shows whether bucket, region and credentials are right.
    pub(super) async fn check(&self) -> Result<()> {
        let prefix = self.key("");
        let request = self.client.list_objects_v2().bucket(&self.name).prefix(&prefix).max_keys(1);
        request.send().await.map(drop).map_err(|error| fault(self, Action::List, &prefix, &error))
    }

    /// Names and sizes of what lies below `prefix/`.
    pub(super) async fn list(&self, prefix: &str) -> Result<BTreeMap<String, u64>> {
        let prefix = format!("{prefix}/");
        let mut pages = self.client.list_objects_v2().bucket(&self.name).prefix(&prefix).into_paginator().send();
        let mut objects = BTreeMap::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| fault(self, Action::List, &prefix, &error))?;
            for object in page.contents() {
                if let Some(name) = object.key().and_then(|key| key.strip_prefix(&prefix)) {
                    objects.insert(name.to_owned(), object.size().and_then(|size| size.try_into().ok()).unwrap_or(0));
                }
            }
        }
        Ok(objects)
    }

    /// What S3 says of an object; none where there is no such object.
    pub(super) async fn properties(&self, key: &str) -> Result<Option<Properties>> {
        let request = self.client.head_object().bucket(&self.name).key(key).checksum_mode(ChecksumMode::Enabled);
        match request.send().await {
            Ok(found) => Ok(Some(Properties {
                byte_count: found.content_length().and_then(|length| length.try_into().ok()).unwrap_or(0),
                sha256: found.metadata().and_then(|metadata| metadata.get(DIGEST_KEY).cloned()),
                noted: found.metadata().and_then(|metadata| metadata.get(SETTINGS_KEY).cloned()),
                checksum: found.checksum_sha256().map(str::to_owned),
                e_tag: found.e_tag().map(str::to_owned),
                is_archived: found.archive_status().is_some()
                    || matches!(found.storage_class(), Some(StorageClass::Glacier | StorageClass::DeepArchive)),
            })),
            Err(error) if error.raw_response().is_some_and(|response| response.status().as_u16() == 404) => Ok(None),
            Err(error) => Err(fault(self, Action::Look, key, &error)),
        }
    }

    /// What S3 says of an object that is the archive and can be read; none where it is not, or is not there.
    pub(super) async fn holding(&self, key: &str, source: &Source) -> Result<Option<Properties>> {
        let found = self.properties(key).await?;
        Ok(found.filter(|found| {
            !found.is_archived
                && found.byte_count == source.byte_count
                && found.sha256.as_deref() == Some(source.sha256.as_str())
                && found.checksum.as_deref().is_none_or(|checksum| source.agrees(checksum))
        }))
    }

    /// Fails where an object that was just made is not the archive. `told` is the checksum that came with the answer.
    pub(super) async fn confirm(&self, key: &str, source: &Source, told: Option<&str>) -> Result<()> {
        let corrupted =
            |what, found: String, expected: String| Err(Error::Corrupted { url: self.url(key), what, found, expected });
        if let Some(found) = told {
            return if source.agrees(found) {
                Ok(())
            } else {
                corrupted("checksum", found.to_owned(), source.checksum())
            };
        }
        let Some(found) = self.properties(key).await? else {
            return corrupted("it", "absent".to_owned(), "an object".to_owned());
        };
        if found.byte_count != source.byte_count {
            return corrupted("size", found.byte_count.to_string(), source.byte_count.to_string());
        }
        if let Some(checksum) = found.checksum.filter(|checksum| !source.agrees(checksum)) {
            return corrupted("checksum", checksum, source.checksum());
        }
        match found.sha256 {
            Some(sha256) if sha256 == source.sha256.as_str() => Ok(()),
            other => corrupted("its noted digest", other.unwrap_or_default(), source.sha256.to_string()),
        }
    }

    /// Removes objects. Those that are not there are no error.
    pub(super) async fn remove(&self, keys: &[String]) -> Result<()> {
        for keys in keys.chunks(REMOVED_AT_ONCE) {
            let first = keys.first().map_or("", String::as_str);
            let failed = |code: Option<&str>, reason: &str, key: &str| Error::Request {
                action: Action::Remove,
                url: self.url(key),
                code: code.map(str::to_owned),
                reason: reason.to_owned(),
            };
            let named = keys.iter().map(|key| ObjectIdentifier::builder().key(key).build());
            let named = named.collect::<std::result::Result<Vec<_>, _>>();
            let delete = named.and_then(|named| Delete::builder().set_objects(Some(named)).quiet(true).build());
            let delete = delete.map_err(|error| failed(None, &error.to_string(), first))?;
            let request = self.client.delete_objects().bucket(&self.name).delete(delete);
            let answer = request.send().await.map_err(|error| fault(self, Action::Remove, first, &error))?;
            if let Some(error) = answer.errors().first() {
                let (key, reason) = (error.key().unwrap_or(first), error.message().unwrap_or("no reason was given"));
                if error.code() == Some("AccessDenied") {
                    let (action, url) = (Action::Remove, self.url(key));
                    return Err(Error::Denied { action, url, reason: reason.to_owned() });
                }
                return Err(failed(error.code(), reason, key));
            }
        }
        Ok(())
    }
}
