//! Uploads in parts that are not finished: those of this run, and those that a run that was killed left behind. Nobody
//! sees them but in the bill.

use super::bucket::Bucket;
use super::fault::fault;
use crate::{Action, Error, Result};
use aws_sdk_s3::error::ProvideErrorMetadata;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Longest time that is spent on clearing up after a failure.
const PATIENCE: Duration = Duration::from_secs(10);

/// An upload in parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Upload {
    pub(super) key: String,
    pub(super) id: String,
}

/// Uploads that this run has begun, or gone on with, and not finished.
#[derive(Debug, Default)]
pub(super) struct Unfinished(Mutex<Vec<Upload>>);

impl Unfinished {
    pub(super) fn add(&self, upload: &Upload) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(upload.clone());
    }

    pub(super) fn finished(&self, upload: &Upload) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|other| other != upload);
    }

    /// Gives all of them up, as far as the store answers in time: the run has failed for a reason of its own, and what
    /// stays is found by the next one.
    pub(super) async fn abort_all(&self, bucket: &Bucket) {
        let uploads = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let abort = async {
            for upload in &uploads {
                let _ = bucket.abort(upload).await;
            }
        };
        let _ = tokio::time::timeout(PATIENCE, abort).await;
    }
}

impl Bucket {
    /// Unfinished uploads of keys below `prefix/`.
    ///
    /// # Errors
    /// As all requests; [`Error::Denied`] where the credentials do not allow it.
    pub(super) async fn unfinished(&self, prefix: &str) -> Result<Vec<Upload>> {
        let prefix = format!("{prefix}/");
        let (mut uploads, mut key_marker, mut id_marker) = (Vec::new(), None, None);
        loop {
            let request = self.client.list_multipart_uploads().bucket(self.name()).prefix(&prefix);
            let request = request.set_key_marker(key_marker).set_upload_id_marker(id_marker);
            let page = request.send().await.map_err(|error| fault(self, Action::ListUploads, &prefix, &error))?;
            for upload in page.uploads() {
                if let (Some(key), Some(id)) = (upload.key(), upload.upload_id()) {
                    uploads.push(Upload { key: key.to_owned(), id: id.to_owned() });
                }
            }
            key_marker = page.next_key_marker().filter(|marker| !marker.is_empty()).map(str::to_owned);
            id_marker = page.next_upload_id_marker().filter(|marker| !marker.is_empty()).map(str::to_owned);
            if page.is_truncated() != Some(true) || key_marker.is_none() {
                return Ok(uploads);
            }
        }
    }

    /// Gives an upload up. One that is not there any more is no error.
    pub(super) async fn abort(&self, upload: &Upload) -> Result<()> {
        let Upload { key, id } = upload;
        match self.client.abort_multipart_upload().bucket(self.name()).key(key).upload_id(id).send().await {
            Err(error) if error.code() != Some("NoSuchUpload") => Err(fault(self, Action::Remove, key, &error)),
            _ => Ok(()),
        }
    }
}

/// Whether an error says that an upload is not there: another run has finished it or given it up.
pub(super) fn is_gone(error: &Error) -> bool {
    matches!(error, Error::Request { code: Some(code), .. } if code == "NoSuchUpload")
}
