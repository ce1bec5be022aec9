//! The trait of all stores.

use crate::{
    CopySource, MultipartUpload, MultipartUploads, ObjectContent, ObjectPage, ObjectProperties, ObjectSummary,
    PutOptions, PutOutcome, Result, Source, Upload, check_key,
};
use async_trait::async_trait;
use bytes::Bytes;
use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Longest time that is spent on clearing up after a failure.
const CLEAN_UP_TIMEOUT: Duration = Duration::from_secs(10);

/// How a store wants objects of one size written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransferPlan {
    /// Size of the parts of an upload; an object of up to this size is sent whole.
    pub part_byte_count: u64,
    /// How many such objects are copied at the same time.
    pub copies_at_once: usize,
    /// How many small requests are sent at the same time.
    pub requests_at_once: usize,
}

/// A store of objects, each of which appears whole or not at all.
#[async_trait]
pub trait ObjectStore: fmt::Debug + Send + Sync {
    /// The address of an object or, with a final `/`, of a prefix.
    fn url(&self, key: &str) -> String;

    /// The file that an object is, or the folder of a prefix; none in stores that are not folders.
    fn file(&self, key: &str) -> Option<PathBuf> {
        let _ = key;
        None
    }

    /// How objects of this size are written.
    fn transfer_plan(&self, byte_count: u64) -> TransferPlan;

    /// Checks a key, or a prefix, before anything is done for it.
    ///
    /// # Errors
    /// [`crate::Error::Prefix`].
    fn check_key(&self, key: &str) -> Result<()> {
        check_key(key)
    }

    /// Lists a page of the objects below `prefix` with a `/` after it; all of them where it is empty. `next` is
    /// [`ObjectPage::next`] of the page before.
    ///
    /// # Errors
    /// Errors of the store.
    async fn list_page(&self, prefix: &str, next: Option<&str>) -> Result<ObjectPage>;

    /// Lists all objects below `prefix` in the order of their keys.
    ///
    /// # Errors
    /// As for [`Self::list_page`].
    async fn list(&self, prefix: &str) -> Result<Vec<ObjectSummary>> {
        let mut page = self.list_page(prefix, None).await?;
        let mut objects = page.objects;
        while let Some(next) = page.next {
            page = self.list_page(prefix, Some(&next)).await?;
            objects.append(&mut page.objects);
        }
        objects.sort_by(|one, two| one.key.cmp(&two.key));
        Ok(objects)
    }

    /// The properties of an object; none where there is no such object.
    ///
    /// # Errors
    /// Errors of the store.
    async fn head(&self, key: &str) -> Result<Option<ObjectProperties>>;

    /// The content of an object, or a range of it; none where there is no such object. A range ends with the object.
    ///
    /// # Errors
    /// Errors of the store.
    async fn get(&self, key: &str, range: Option<Range<u64>>) -> Result<Option<ObjectContent>>;

    /// Writes a small object from memory.
    ///
    /// # Errors
    /// Errors of the store.
    async fn put(&self, key: &str, content: Bytes, options: PutOptions) -> Result<PutOutcome>;

    /// Writes a file, in parts where the store wants that, and returns the bytes that were sent. The file must have been
    /// read with the part size of [`Self::transfer_plan`].
    ///
    /// # Errors
    /// Errors of the store, and [`crate::Error::Corrupt`] when it does not have what was sent.
    async fn put_file(&self, key: &str, source: &Arc<Source>, upload: Upload<'_>) -> Result<Uploaded>;

    /// The object at `key` as a source of copies, if it has the content of `source` and can be read.
    ///
    /// # Errors
    /// Errors of the store.
    async fn find(&self, key: &str, source: &Arc<Source>) -> Result<Option<CopySource>>;

    /// Makes the object `key` a copy of `from`, which has the content of `source`, without sending it. `key` may be that of
    /// `from`, which then gets the store's present settings.
    ///
    /// # Errors
    /// As for [`Self::put_file`].
    async fn copy(&self, from: &CopySource, key: &str, source: &Arc<Source>, uploads: &MultipartUploads) -> Result<()>;

    /// Deletes objects. Those that do not exist are not an error.
    ///
    /// # Errors
    /// Errors of the store.
    async fn delete(&self, keys: &[String]) -> Result<()>;

    /// Multipart uploads of keys below `prefix` that are not finished.
    ///
    /// # Errors
    /// Errors of the store; [`crate::Error::Denied`] where the credentials do not allow it.
    async fn list_multipart_uploads(&self, prefix: &str) -> Result<Vec<MultipartUpload>> {
        let _ = prefix;
        Ok(Vec::new())
    }

    /// Aborts a multipart upload. One that no longer exists is not an error.
    ///
    /// # Errors
    /// Errors of the store.
    async fn abort_multipart_upload(&self, upload: &MultipartUpload) -> Result<()> {
        let _ = upload;
        Ok(())
    }

    /// Aborts the uploads of a process that has failed, as far as the store answers in time. The next run finds the rest.
    async fn abort_all(&self, uploads: &MultipartUploads) {
        let abort = async {
            for upload in uploads.take() {
                let _ = self.abort_multipart_upload(&upload).await;
            }
        };
        let _ = tokio::time::timeout(CLEAN_UP_TIMEOUT, abort).await;
    }

    /// Removes what processes that were killed left directly below `prefix`, other than multipart uploads.
    ///
    /// # Errors
    /// Errors of the store.
    async fn remove_abandoned(&self, prefix: &str) -> Result<()> {
        let _ = prefix;
        Ok(())
    }
}

/// The result of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uploaded {
    /// The store's name of the new object's content.
    pub e_tag: Option<String>,
    /// Bytes sent by this upload, those of resumed parts left out.
    pub byte_count: u64,
}
