//! Multipart uploads that are not finished.

use crate::bucket::Bucket;
use crate::fault::fault;
use aws_sdk_s3::error::ProvideErrorMetadata;
use planforge_store::{Action, Error, MultipartUpload, Result};

impl Bucket {
    /// Unfinished uploads of keys below `prefix`, which ends with `/` or is empty. Their keys are whole ones.
    pub(crate) async fn multipart_uploads(&self, prefix: &str) -> Result<Vec<MultipartUpload>> {
        let (mut uploads, mut key_marker, mut id_marker) = (Vec::new(), None, None);
        loop {
            let request = self.client.list_multipart_uploads().bucket(self.name()).prefix(prefix);
            let request = request.set_key_marker(key_marker).set_upload_id_marker(id_marker);
            let page = request.send().await.map_err(|error| fault(self, Action::ListUploads, prefix, &error))?;
            for upload in page.uploads() {
                if let (Some(key), Some(id)) = (upload.key(), upload.upload_id()) {
                    uploads.push(MultipartUpload { key: key.to_owned(), id: id.to_owned() });
                }
            }
            key_marker = page.next_key_marker().filter(|marker| !marker.is_empty()).map(str::to_owned);
            id_marker = page.next_upload_id_marker().filter(|marker| !marker.is_empty()).map(str::to_owned);
            if page.is_truncated() != Some(true) || key_marker.is_none() {
                return Ok(uploads);
            }
        }
    }

    /// An upload with its key relative to the store.
    pub(crate) fn relative_upload(&self, upload: &MultipartUpload) -> MultipartUpload {
        let key = self.relative(&upload.key).unwrap_or(&upload.key).to_owned();
        MultipartUpload { key, id: upload.id.clone() }
    }

    /// An upload with its whole key.
    pub(crate) fn whole_upload(&self, upload: &MultipartUpload) -> MultipartUpload {
        MultipartUpload { key: self.key(&upload.key), id: upload.id.clone() }
    }

    /// Aborts an upload. One that no longer exists is not an error.
    pub(crate) async fn abort(&self, upload: &MultipartUpload) -> Result<()> {
        let MultipartUpload { key, id } = upload;
        match self.client.abort_multipart_upload().bucket(self.name()).key(key).upload_id(id).send().await {
            Err(error) if error.code() != Some("NoSuchUpload") => Err(fault(self, Action::Remove, key, &error)),
            _ => Ok(()),
        }
    }
}

/// Whether an error means that an upload does not exist: another process has finished or aborted it.
pub(crate) fn is_gone(error: &Error) -> bool {
    matches!(error, Error::Request { code: Some(code), .. } if code == "NoSuchUpload")
}
