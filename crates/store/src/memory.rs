//! A store in memory, for tests and for what need not outlive a process.

use crate::key::{check_key, contains};
use crate::{
    CopySource, Error, MultipartUploads, ObjectContent, ObjectPage, ObjectProperties, ObjectStore, ObjectSummary,
    PutCondition, PutOptions, PutOutcome, Result, Source, TransferPlan, Upload, Uploaded, object,
};
use async_trait::async_trait;
use bytes::Bytes;
use planforge_core::digest_bytes;
use planforge_types::Digest;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Objects in memory. Copies share their bytes.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<BTreeMap<String, Object>>);

#[derive(Debug, Clone)]
struct Object {
    bytes: Bytes,
    sha256: Digest,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn objects(&self) -> MutexGuard<'_, BTreeMap<String, Object>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn object(&self, key: &str) -> Option<Object> {
        self.objects().get(key).cloned()
    }

    fn insert(&self, key: &str, bytes: Bytes) -> Result<()> {
        check_key(key)?;
        let sha256 = digest_bytes(&bytes);
        self.objects().insert(key.to_owned(), Object { bytes, sha256 });
        Ok(())
    }
}

#[async_trait]
impl ObjectStore for MemoryStore {
    fn url(&self, key: &str) -> String {
        format!("memory:///{key}")
    }

    fn transfer_plan(&self, _byte_count: u64) -> TransferPlan {
        TransferPlan { part_byte_count: u64::MAX, copies_at_once: 1, requests_at_once: 1 }
    }

    async fn list_page(&self, prefix: &str, next: Option<&str>) -> Result<ObjectPage> {
        let objects = self.objects();
        let summary = |(key, object): (&String, &Object)| ObjectSummary {
            key: key.clone(),
            byte_count: object.bytes.len() as u64,
        };
        let below = objects.iter().filter(|(key, _)| contains(prefix, key)).map(summary);
        Ok(object::page(below, next))
    }

    async fn head(&self, key: &str) -> Result<Option<ObjectProperties>> {
        let properties = |object: Object| ObjectProperties {
            byte_count: object.bytes.len() as u64,
            e_tag: Some(object.sha256.to_string()),
            sha256: Some(object.sha256),
        };
        Ok(self.object(key).map(properties))
    }

    async fn get(&self, key: &str, range: Option<Range<u64>>) -> Result<Option<ObjectContent>> {
        let Some(Object { bytes, .. }) = self.object(key) else { return Ok(None) };
        let length = bytes.len();
        let at = |place: u64| usize::try_from(place).unwrap_or(usize::MAX).min(length);
        let bytes = match range {
            Some(range) => bytes.slice(at(range.start)..at(range.end.max(range.start))),
            None => bytes,
        };
        Ok(Some(ObjectContent::from_bytes(bytes)))
    }

    async fn put(&self, key: &str, content: Bytes, options: PutOptions) -> Result<PutOutcome> {
        check_key(key)?;
        let object = Object { sha256: digest_bytes(&content), bytes: content };
        let mut objects = self.objects();
        if options.condition == PutCondition::IfAbsent && objects.contains_key(key) {
            return Ok(PutOutcome::Exists);
        }
        objects.insert(key.to_owned(), object);
        Ok(PutOutcome::Written)
    }

    async fn put_file(&self, key: &str, source: &Arc<Source>, upload: Upload<'_>) -> Result<Uploaded> {
        let bytes = tokio::fs::read(&source.path).await.map_err(|error| {
            std::io::Error::new(error.kind(), format!("failed to read `{}`: {error}", source.path.display()))
        })?;
        let found = digest_bytes(&bytes);
        if found != source.sha256 {
            return Err(Error::Changed { path: source.path.clone(), recorded: source.sha256.clone(), found });
        }
        self.insert(key, bytes.into())?;
        (upload.advanced)(source.byte_count);
        Ok(Uploaded { e_tag: Some(found.to_string()), byte_count: source.byte_count })
    }

    async fn find(&self, key: &str, source: &Arc<Source>) -> Result<Option<CopySource>> {
        let found = self.object(key).filter(|object| object.sha256 == source.sha256);
        Ok(found.map(|object| CopySource {
            key: key.to_owned(),
            e_tag: Some(object.sha256.to_string()),
            is_current: true,
        }))
    }

    async fn copy(&self, from: &CopySource, key: &str, source: &Arc<Source>, _: &MultipartUploads) -> Result<()> {
        let found = self.object(&from.key).filter(|object| object.sha256 == source.sha256);
        let Some(object) = found else {
            let (url, expected) = (self.url(&from.key), source.sha256.to_string());
            return Err(Error::Corrupt { url, what: "its digest", found: "another".to_owned(), expected });
        };
        self.insert(key, object.bytes)
    }

    async fn delete(&self, keys: &[String]) -> Result<()> {
        let mut objects = self.objects();
        for key in keys {
            objects.remove(key);
        }
        Ok(())
    }
}
