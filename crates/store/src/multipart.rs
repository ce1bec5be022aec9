//! Uploads in parts that are not finished. Only the store's bill shows them.

use std::sync::{Mutex, PoisonError};

/// An upload in parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MultipartUpload {
    /// Key of the object that it becomes.
    pub key: String,
    /// The store's name of it.
    pub id: String,
}

/// The multipart uploads that this process has started, or resumed, and not finished.
#[derive(Debug, Default)]
pub struct MultipartUploads(Mutex<Vec<MultipartUpload>>);

impl MultipartUploads {
    /// Records an upload that was started or resumed.
    pub fn add(&self, upload: &MultipartUpload) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(upload.clone());
    }

    /// Forgets an upload that has become an object.
    pub fn finish(&self, upload: &MultipartUpload) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|other| other != upload);
    }

    /// Returns all of them and forgets them.
    #[must_use]
    pub fn take(&self) -> Vec<MultipartUpload> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
