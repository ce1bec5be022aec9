//! What every store must do, as a suite of checks.

use crate::{
    Error, MultipartUploads, ObjectStore, PutCondition, PutOptions, PutOutcome, Result, Source, Upload, Uploaded,
};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use planforge_types::NoProgress;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const CONTENT_TYPE: &str = "application/octet-stream";

/// Checks that `store`, which must be empty, does what every store must do, and leaves it empty. `folder` takes files to
/// upload; the largest of them has `large_byte_count` bytes, which should make several parts where the store has parts.
///
/// # Errors
/// Errors of the store.
///
/// # Panics
/// When the store does something else.
pub async fn check_store(store: &dyn ObjectStore, folder: &Path, large_byte_count: usize) -> Result<()> {
    objects_are_read_back_whole_and_in_ranges(store).await?;
    listings_are_sorted_and_hold_what_is_below_a_prefix(store).await?;
    listings_have_pages(store).await?;
    a_conditional_put_does_not_replace(store).await?;
    for byte_count in [0, 1000, large_byte_count] {
        files_are_uploaded_found_and_copied(store, &folder.join(format!("file-{byte_count}")), byte_count).await?;
    }
    keys_may_have_unusual_characters(store).await?;
    keys_that_lead_elsewhere_are_refused(store).await?;
    assert_eq!(store.list_multipart_uploads("").await?, []);
    assert_eq!(store.list("").await?, []);
    Ok(())
}

async fn put(store: &dyn ObjectStore, key: &str, content: &[u8], condition: PutCondition) -> Result<PutOutcome> {
    store.put(key, Bytes::copy_from_slice(content), PutOptions { content_type: CONTENT_TYPE, condition }).await
}

async fn content(store: &dyn ObjectStore, key: &str) -> Result<Option<Vec<u8>>> {
    match store.get(key, None).await? {
        Some(content) => Ok(Some(content.into_bytes().await?)),
        None => Ok(None),
    }
}

async fn keys(store: &dyn ObjectStore, prefix: &str) -> Result<Vec<String>> {
    Ok(store.list(prefix).await?.into_iter().map(|object| object.key).collect())
}

async fn delete(store: &dyn ObjectStore, keys: &[&str]) -> Result<()> {
    store.delete(&keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>()).await
}

async fn objects_are_read_back_whole_and_in_ranges(store: &dyn ObjectStore) -> Result<()> {
    assert_eq!((store.head("a/b").await?, content(store, "a/b").await?), (None, None));
    put(store, "a/b", b"0123456789", PutCondition::Always).await?;
    put(store, "a/empty", b"", PutCondition::Always).await?;
    assert_eq!(store.head("a/b").await?.map(|found| found.byte_count), Some(10));
    assert_eq!(content(store, "a/empty").await?.as_deref(), Some(b"".as_slice()));
    for (range, expected) in [(0..10, "0123456789"), (2..5, "234"), (8..100, "89")] {
        let Some(found) = store.get("a/b", Some(range.clone())).await? else { panic!("`a/b` is gone") };
        assert_eq!(found.byte_count(), expected.len() as u64, "{range:?}");
        assert_eq!(found.into_bytes().await?, expected.as_bytes(), "{range:?}");
    }
    put(store, "a/b", b"other", PutCondition::Always).await?;
    assert_eq!(content(store, "a/b").await?.as_deref(), Some(b"other".as_slice()));
    delete(store, &["a/b", "a/empty", "a/missing"]).await?;
    assert_eq!(store.head("a/b").await?, None);
    Ok(())
}

async fn listings_are_sorted_and_hold_what_is_below_a_prefix(store: &dyn ObjectStore) -> Result<()> {
    let all = ["p/b", "p/c/d", "p/a", "pq/x", "p.txt"];
    for key in all {
        put(store, key, key.as_bytes(), PutCondition::Always).await?;
    }
    assert_eq!(keys(store, "p").await?, ["p/a", "p/b", "p/c/d"]);
    assert_eq!(keys(store, "p/c").await?, ["p/c/d"]);
    assert_eq!(keys(store, "").await?, ["p.txt", "p/a", "p/b", "p/c/d", "pq/x"]);
    assert_eq!(keys(store, "nothing").await?, [""; 0]);
    assert_eq!(store.list("p/c").await?[0].byte_count, 5);
    delete(store, &all).await?;
    assert_eq!(keys(store, "").await?, [""; 0]);
    Ok(())
}

/// More objects than S3 lists, and deletes, in one request.
async fn listings_have_pages(store: &dyn ObjectStore) -> Result<()> {
    let all: Vec<String> = (0..1001).map(|number| format!("pages/{number:04}")).collect();
    let puts = stream::iter(all.clone()).map(async |key| put(store, &key, b"", PutCondition::Always).await.map(drop));
    puts.buffer_unordered(store.transfer_plan(0).requests_at_once).try_collect::<()>().await?;
    let first = store.list_page("pages", None).await?;
    assert!(first.objects.len() <= 1000 && first.next.is_some(), "{} objects", first.objects.len());
    assert_eq!(keys(store, "pages").await?, all);
    store.delete(&all).await?;
    assert_eq!(keys(store, "pages").await?, [""; 0]);
    Ok(())
}

async fn a_conditional_put_does_not_replace(store: &dyn ObjectStore) -> Result<()> {
    assert_eq!(put(store, "c/x", b"one", PutCondition::IfAbsent).await?, PutOutcome::Written);
    assert_eq!(put(store, "c/x", b"two", PutCondition::IfAbsent).await?, PutOutcome::Exists);
    assert_eq!(content(store, "c/x").await?.as_deref(), Some(b"one".as_slice()));
    assert_eq!(put(store, "c/x", b"two", PutCondition::Always).await?, PutOutcome::Written);
    delete(store, &["c/x"]).await
}

async fn files_are_uploaded_found_and_copied(store: &dyn ObjectStore, path: &Path, byte_count: usize) -> Result<()> {
    let bytes: Vec<u8> = (0..byte_count).map(|index| (index.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    fs_err::write(path, &bytes)?;
    let part_byte_count = store.transfer_plan(byte_count as u64).part_byte_count;
    let source = Arc::new(Source::read(path, CONTENT_TYPE, None, part_byte_count, &NoProgress)?);
    assert_eq!(store.find("f/0", &source).await?, None);
    let (uploads, sent) = (MultipartUploads::default(), AtomicU64::new(0));
    let advanced = |byte_count| sent.store(byte_count, Ordering::Relaxed);
    let upload = Upload { resumable: &[], uploads: &uploads, advanced: &advanced };
    let Uploaded { byte_count: uploaded, .. } = store.put_file("f/0", &source, upload).await?;
    assert_eq!((uploaded, sent.into_inner()), (byte_count as u64, byte_count as u64));
    let Some(from) = store.find("f/0", &source).await? else {
        panic!("{byte_count} bytes were uploaded and not found")
    };
    assert!(from.key == "f/0" && from.is_current, "{from:?}");
    for key in ["f/1", "f/sub/2", "f/0"] {
        store.copy(&from, key, &source, &uploads).await?;
        assert!(content(store, key).await?.as_ref() == Some(&bytes), "`{key}` is not a copy of {byte_count} bytes");
        assert!(store.find(key, &source).await?.is_some_and(|found| found.is_current), "`{key}` is not found");
    }
    assert_eq!(uploads.take(), []);
    let listed = store.list("f").await?;
    assert!(listed.iter().all(|object| object.byte_count == byte_count as u64), "{listed:?}");
    assert_eq!(listed.len(), 3);
    other_content_is_not_found(store, &source).await?;
    delete(store, &["f/0", "f/1", "f/sub/2"]).await
}

/// An object that another program has put in the place of one.
async fn other_content_is_not_found(store: &dyn ObjectStore, source: &Arc<Source>) -> Result<()> {
    let mut other = content(store, "f/0").await?.unwrap_or_default();
    match other.last_mut() {
        Some(last) => *last ^= 1,
        None => other.push(0),
    }
    put(store, "f/1", &other, PutCondition::Always).await?;
    assert_eq!(store.find("f/1", source).await?, None);
    assert!(store.find("f/0", source).await?.is_some());
    Ok(())
}

async fn keys_may_have_unusual_characters(store: &dyn ObjectStore) -> Result<()> {
    let key = "odd (prefix) +é 50%41&=~/a b";
    put(store, key, b"x", PutCondition::Always).await?;
    assert_eq!(keys(store, "odd (prefix) +é 50%41&=~").await?, [key]);
    assert_eq!(content(store, key).await?.as_deref(), Some(b"x".as_slice()));
    delete(store, &[key]).await
}

async fn keys_that_lead_elsewhere_are_refused(store: &dyn ObjectStore) -> Result<()> {
    for key in ["..", "a/../../b", "/a", "a//b", "a/", "./a"] {
        let refused = put(store, key, b"x", PutCondition::Always).await;
        assert!(matches!(refused, Err(Error::Prefix { .. })), "{key}: {refused:?}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check_store;
    use crate::{FileStore, MemoryStore, ObjectStore};

    fn check(store: &dyn ObjectStore) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        runtime.block_on(check_store(store, folder.path(), 3 << 20)).unwrap();
    }

    #[test]
    fn a_folder_is_a_store() {
        let folder = tempfile::tempdir().unwrap();
        check(&FileStore::new(&folder.path().join("store")));
    }

    #[test]
    fn memory_is_a_store() {
        check(&MemoryStore::new());
    }
}
