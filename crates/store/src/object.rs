//! What stores are given and answer.

use crate::{MultipartUpload, MultipartUploads};
use planforge_types::Digest;
use std::fmt;

/// An object as a listing names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectSummary {
    /// Its key.
    pub key: String,
    /// Its size.
    pub byte_count: u64,
}

/// A part of a listing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObjectPage {
    /// Its objects.
    pub objects: Vec<ObjectSummary>,
    /// What the next page is asked for with; none after the last.
    pub next: Option<String>,
}

/// Most objects in a page of a listing that is made here.
const PAGE_OBJECT_COUNT: usize = 1000;

/// The page after the key `after` of a whole listing in order.
pub(crate) fn page(objects: impl Iterator<Item = ObjectSummary>, after: Option<&str>) -> ObjectPage {
    let mut rest = objects.skip_while(|object| after.is_some_and(|after| object.key.as_str() <= after));
    let objects: Vec<_> = rest.by_ref().take(PAGE_OBJECT_COUNT).collect();
    let next = rest.next().and(objects.last()).map(|last| last.key.clone());
    ObjectPage { objects, next }
}

/// What a store knows about one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectProperties {
    /// Its size.
    pub byte_count: u64,
    /// The SHA-256 that was recorded when it was written; none for objects of other programs, and in folders.
    pub sha256: Option<Digest>,
    /// The store's name of this content; none where the store has none.
    pub e_tag: Option<String>,
}

/// An object that copies are made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopySource {
    /// Its key.
    pub key: String,
    /// The store's name of its content, which it must still have when it is copied.
    pub e_tag: Option<String>,
    /// Whether it also has the encryption, storage class and tags that the store is configured with.
    pub is_current: bool,
}

/// When an object is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PutCondition {
    /// Always; an object of that key is replaced.
    #[default]
    Always,
    /// Only while there is no object of that key.
    IfAbsent,
}

/// How an object is written.
#[derive(Debug, Clone, Copy)]
pub struct PutOptions {
    /// Its media type.
    pub content_type: &'static str,
    /// When it is written.
    pub condition: PutCondition,
}

/// What became of a conditional write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutOutcome {
    /// The object was written.
    Written,
    /// There was an object of that key, which stays.
    Exists,
}

/// An upload of a file: what it may resume, and who hears of it.
#[derive(Clone, Copy)]
pub struct Upload<'a> {
    /// Multipart uploads of the same key that earlier processes left. One of them is resumed if its parts are the file's,
    /// the others are aborted.
    pub resumable: &'a [MultipartUpload],
    /// Where the upload is recorded while it is not finished.
    pub uploads: &'a MultipartUploads,
    /// Called with the bytes that are there after each part.
    pub advanced: &'a (dyn Fn(u64) + Send + Sync),
}

impl fmt::Debug for Upload<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload")
            .field("resumable", &self.resumable)
            .field("uploads", &self.uploads)
            .finish_non_exhaustive()
    }
}
