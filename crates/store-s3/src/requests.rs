//! Small requests to a bucket. Keys are whole keys, with the store's prefix.

use crate::bucket::Bucket;
use crate::checksum::{agrees, base64, content_md5};
use crate::fault::fault;
use crate::options::{DIGEST_KEY, SETTINGS_KEY};
use crate::unsupported::is_unsupported;
use aws_sdk_s3::types::{ChecksumMode, Delete, Object, ObjectIdentifier, StorageClass};
use futures_util::{StreamExt, TryStreamExt, stream};
use planforge_store::{Action, Error, ObjectPage, ObjectSummary, Result, Source};

/// Most objects that S3 deletes in one request.
const DELETED_AT_ONCE: usize = 1000;

/// What S3 knows about an object.
#[derive(Debug, Clone)]
pub(crate) struct Properties {
    pub(crate) byte_count: u64,
    /// The SHA-256 in its metadata.
    pub(crate) sha256: Option<String>,
    /// The short digest of the settings that it was made with.
    pub(crate) settings: Option<String>,
    /// S3's SHA-256 of it.
    pub(crate) checksum: Option<String>,
    pub(crate) e_tag: Option<String>,
    /// Whether it is in an archive, from which it would have to be restored before it can be read.
    pub(crate) is_archived: bool,
}

impl Bucket {
    /// Lists one object, which shows whether bucket, region and credentials are right.
    pub(crate) async fn check(&self) -> Result<()> {
        let prefix = self.key("");
        let request = self.client.list_objects_v2().bucket(self.name()).prefix(&prefix).max_keys(1);
        request.send().await.map(drop).map_err(|error| fault(self, Action::List, &prefix, &error))
    }

    /// A page of the objects below `prefix`, which ends with `/` or is empty, with keys relative to the store.
    pub(crate) async fn list_page(&self, prefix: &str, next: Option<&str>) -> Result<ObjectPage> {
        let request = self.client.list_objects_v2().bucket(self.name()).prefix(prefix);
        let page = request.set_continuation_token(next.map(str::to_owned)).send().await;
        let page = page.map_err(|error| fault(self, Action::List, prefix, &error))?;
        let summary = |object: &Object| {
            let byte_count = object.size().and_then(|size| size.try_into().ok()).unwrap_or(0);
            Some(ObjectSummary { key: self.relative(object.key()?)?.to_owned(), byte_count })
        };
        let objects = page.contents().iter().filter_map(summary).collect();
        Ok(ObjectPage { objects, next: page.next_continuation_token().map(str::to_owned) })
    }

    /// The properties of an object; none where there is no such object.
    pub(crate) async fn properties(&self, key: &str) -> Result<Option<Properties>> {
        let asking = |has_checksums: bool| async move {
            let request = self.client.head_object().bucket(self.name()).key(key);
            let request = request.set_checksum_mode(has_checksums.then_some(ChecksumMode::Enabled));
            match request.send().await {
                Ok(found) => Ok(Some(found)),
                Err(error) if error.raw_response().is_some_and(|response| response.status().as_u16() == 404) => {
                    Ok(None)
                }
                Err(error) => Err(fault(self, Action::Head, key, &error)),
            }
        };
        match self.with_checksums(asking).await {
            Ok(None) => Ok(None),
            Ok(Some(found)) => Ok(Some(Properties {
                byte_count: found.content_length().and_then(|length| length.try_into().ok()).unwrap_or(0),
                sha256: found.metadata().and_then(|metadata| metadata.get(DIGEST_KEY).cloned()),
                settings: found.metadata().and_then(|metadata| metadata.get(SETTINGS_KEY).cloned()),
                checksum: found.checksum_sha256().map(str::to_owned),
                e_tag: found.e_tag().map(str::to_owned),
                is_archived: found.archive_status().is_some()
                    || matches!(found.storage_class(), Some(StorageClass::Glacier | StorageClass::DeepArchive)),
            })),
            // An answer to `HEAD` has no text. What is wrong with credentials or region, another request shows.
            Err(error) if is_unsupported(&error) => self.check().await.and(Err(error)),
            Err(error) => Err(error),
        }
    }

    /// The properties of an object that has the content of `source` and can be read; none where there is no such object.
    pub(crate) async fn holding(&self, key: &str, source: &Source) -> Result<Option<Properties>> {
        let found = self.properties(key).await?;
        Ok(found.filter(|found| {
            !found.is_archived
                && found.byte_count == source.byte_count
                && found.sha256.as_deref() == Some(source.sha256.as_str())
                && found.checksum.as_deref().is_none_or(|checksum| agrees(source, checksum))
        }))
    }

    /// Fails where an object that was just made does not have the content of `source`. `reported` is the checksum in the
    /// response, if there was one.
    pub(crate) async fn confirm(&self, key: &str, source: &Source, reported: Option<&str>) -> Result<()> {
        let corrupt =
            |what, found: String, expected: String| Err(Error::Corrupt { url: self.url(key), what, found, expected });
        if let Some(found) = reported {
            return if agrees(source, found) {
                Ok(())
            } else {
                corrupt("checksum", found.to_owned(), base64(&source.sha256))
            };
        }
        let Some(found) = self.properties(key).await? else {
            return corrupt("it", "absent".to_owned(), "an object".to_owned());
        };
        if found.byte_count != source.byte_count {
            return corrupt("size", found.byte_count.to_string(), source.byte_count.to_string());
        }
        if let Some(checksum) = found.checksum.filter(|checksum| !agrees(source, checksum)) {
            return corrupt("checksum", checksum, base64(&source.sha256));
        }
        match found.sha256 {
            Some(sha256) if sha256 == source.sha256.as_str() => Ok(()),
            other => corrupt("its recorded digest", other.unwrap_or_default(), source.sha256.to_string()),
        }
    }

    /// Deletes objects. Those that do not exist are not an error.
    pub(crate) async fn delete(&self, keys: &[String]) -> Result<()> {
        for keys in keys.chunks(DELETED_AT_ONCE) {
            match self.delete_together(keys).await {
                Err(error) if is_unsupported(&error) => self.delete_singly(keys).await?,
                deleted => deleted?,
            }
        }
        Ok(())
    }

    /// Deletes objects in one request. S3 wants a checksum of it: stores that do not know those of `x-amz-checksum-…` want
    /// `Content-MD5`, which S3 takes too.
    async fn delete_together(&self, keys: &[String]) -> Result<()> {
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
        let request = self.client.delete_objects().bucket(self.name()).delete(delete);
        let has_checksums = self.has_checksums();
        let request = request.customize().mutate_request(move |request| {
            if let Some(md5) = request.body().bytes().map(content_md5) {
                request.headers_mut().insert("content-md5", md5);
            }
            if !has_checksums {
                request.headers_mut().remove("x-amz-checksum-crc32");
                request.headers_mut().remove("x-amz-sdk-checksum-algorithm");
            }
        });
        let response = request.send().await.map_err(|error| fault(self, Action::Remove, first, &error))?;
        let Some(error) = response.errors().first() else { return Ok(()) };
        let (key, reason) = (error.key().unwrap_or(first), error.message().unwrap_or("no reason was given"));
        if error.code() == Some("AccessDenied") {
            let (action, url) = (Action::Remove, self.url(key));
            return Err(Error::Denied { action, url, reason: reason.to_owned() });
        }
        Err(failed(error.code(), reason, key))
    }

    /// Deletes objects one by one, for stores that delete no more at once.
    async fn delete_singly(&self, keys: &[String]) -> Result<()> {
        let deleting = stream::iter(keys.to_vec()).map(|key| async move {
            let sent = self.client.delete_object().bucket(self.name()).key(&key).send().await;
            match sent.map_err(|error| fault(self, Action::Remove, &key, &error)) {
                Err(Error::Request { code: Some(code), .. }) if code == "NoSuchKey" => Ok(()),
                deleted => deleted.map(drop),
            }
        });
        deleting.buffer_unordered(self.options.small_requests).try_collect().await
    }
}
