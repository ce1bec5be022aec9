//! Deletes what was published.

use super::names::is_own;
use crate::Result;
use planforge_core::ModelName;
use planforge_store::{Error as StoreError, ObjectStore};
use serde::Serialize;
use std::collections::BTreeSet;

/// An object in a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoredObject {
    /// Its address.
    pub url: String,
    /// Its size.
    pub byte_count: u64,
}

/// Deletes what was published of `name` below `prefix`: copies and statements of all variants, and unfinished uploads of
/// them. Returns the objects; with `dry_run` they are only listed.
///
/// # Errors
/// Errors of the store.
pub async fn unpublish(
    store: &dyn ObjectStore,
    prefix: &str,
    name: &ModelName,
    dry_run: bool,
) -> Result<Vec<StoredObject>> {
    store.check_key(prefix)?;
    let below = |key: &str| {
        if prefix.is_empty() {
            Some(key.to_owned())
        } else {
            Some(key.strip_prefix(prefix)?.strip_prefix('/')?.to_owned())
        }
    };
    let is_own = |key: &str| below(key).is_some_and(|key| is_own(name, &key));
    let mut own = store.list(prefix).await?;
    own.retain(|object| is_own(&object.key));
    if !dry_run {
        let uploads = match store.list_multipart_uploads(prefix).await {
            // Listing them is a right that nothing else here needs.
            Err(StoreError::Denied { .. }) => Vec::new(),
            uploads => uploads?,
        };
        for upload in uploads.iter().filter(|upload| is_own(&upload.key)) {
            store.abort_multipart_upload(upload).await?;
        }
        let keys: Vec<_> = own.iter().map(|object| object.key.clone()).collect();
        let folders: BTreeSet<_> = keys.iter().filter_map(|key| Some(key.rsplit_once('/')?.0)).collect();
        for folder in folders {
            store.remove_abandoned(folder).await?;
        }
        if !keys.is_empty() {
            store.delete(&keys).await?;
        }
    }
    let object = |object: planforge_store::ObjectSummary| StoredObject {
        url: store.url(&object.key),
        byte_count: object.byte_count,
    };
    Ok(own.into_iter().map(object).collect())
}
