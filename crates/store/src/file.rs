//! A store in a folder: objects are files, and copies are hard links where the file system has them.

mod folder;

use crate::{
    CopySource, MultipartUploads, ObjectContent, ObjectPage, ObjectProperties, ObjectStore, ObjectSummary,
    PutCondition, PutOptions, PutOutcome, Result, Source, StoreUrl, TransferPlan, Upload, Uploaded, object,
};
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use folder::Folder;
use futures_util::stream;
use std::io::{self, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

/// Bytes of a file that are read at once.
const CHUNK_BYTE_COUNT: u64 = 256 << 10;

/// A folder of objects.
#[derive(Debug, Clone)]
pub struct FileStore(Arc<Folder>);

impl FileStore {
    /// The store in the folder `root`, which is made when something is written.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self(Arc::new(Folder::new(root)))
    }

    /// Runs blocking work on the folder.
    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce(&Folder) -> Result<T> + Send + 'static) -> Result<T> {
        let folder = Arc::clone(&self.0);
        let done = tokio::task::spawn_blocking(move || work(&folder)).await;
        done.unwrap_or_else(|error| Err(io::Error::other(error).into()))
    }
}

#[async_trait]
impl ObjectStore for FileStore {
    fn url(&self, key: &str) -> String {
        StoreUrl::Directory(self.0.root().to_owned()).url(key)
    }

    fn file(&self, key: &str) -> Option<PathBuf> {
        StoreUrl::Directory(self.0.root().to_owned()).folder(key)
    }

    fn transfer_plan(&self, _byte_count: u64) -> TransferPlan {
        TransferPlan { part_byte_count: u64::MAX, copies_at_once: 1, requests_at_once: 1 }
    }

    async fn list_page(&self, prefix: &str, next: Option<&str>) -> Result<ObjectPage> {
        let objects = self.list(prefix).await?;
        Ok(object::page(objects.into_iter(), next))
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectSummary>> {
        let prefix = prefix.to_owned();
        self.blocking(move |folder| folder.list(&prefix)).await
    }

    async fn head(&self, key: &str) -> Result<Option<ObjectProperties>> {
        let path = self.0.path(key)?;
        let found = self.blocking(move |_| folder::byte_count(&path)).await?;
        Ok(found.map(|byte_count| ObjectProperties { byte_count, sha256: None, e_tag: None }))
    }

    async fn get(&self, key: &str, range: Option<Range<u64>>) -> Result<Option<ObjectContent>> {
        let path = self.0.path(key)?;
        let looked_at = path.clone();
        let Some(length) = self.blocking(move |_| folder::byte_count(&looked_at)).await? else { return Ok(None) };
        let range = range.map_or(0..length, |range| {
            range.start.min(length)..range.end.clamp(range.start, length.max(range.start)).min(length)
        });
        let named = move |error: io::Error| {
            io::Error::new(error.kind(), format!("failed to read `{}`: {error}", path.display()))
        };
        let mut file = tokio::fs::File::open(self.0.path(key)?).await.map_err(&named)?;
        file.seek(SeekFrom::Start(range.start)).await.map_err(&named)?;
        let left = range.end - range.start;
        let chunks = stream::try_unfold((file, left, named), async |(mut file, left, named)| {
            if left == 0 {
                return Ok(None);
            }
            let wanted = left.min(CHUNK_BYTE_COUNT);
            let mut chunk = BytesMut::with_capacity(usize::try_from(wanted).unwrap_or(0));
            let count = (&mut file).take(wanted).read_buf(&mut chunk).await.map_err(&named)?;
            if count == 0 {
                return Err(named(io::ErrorKind::UnexpectedEof.into()).into());
            }
            Ok(Some((chunk.freeze(), (file, left - count as u64, named))))
        });
        Ok(Some(ObjectContent::new(left, chunks)))
    }

    async fn put(&self, key: &str, content: Bytes, options: PutOptions) -> Result<PutOutcome> {
        let path = self.0.path(key)?;
        let write = move |_: &Folder| match options.condition {
            PutCondition::Always => {
                planforge_core::write_atomically(&path, &content)?;
                Ok(PutOutcome::Written)
            }
            PutCondition::IfAbsent if planforge_core::create_atomically(&path, &content)? => Ok(PutOutcome::Written),
            PutCondition::IfAbsent => Ok(PutOutcome::Exists),
        };
        self.blocking(write).await
    }

    async fn put_file(&self, key: &str, source: &Arc<Source>, upload: Upload<'_>) -> Result<Uploaded> {
        let (path, linked) = (self.0.path(key)?, Arc::clone(source));
        self.blocking(move |_| Ok(planforge_core::link_or_copy(&linked.path, &path)?)).await?;
        (upload.advanced)(source.byte_count);
        Ok(Uploaded { e_tag: None, byte_count: source.byte_count })
    }

    async fn find(&self, key: &str, source: &Arc<Source>) -> Result<Option<CopySource>> {
        let (path, expected) = (self.0.path(key)?, Arc::clone(source));
        let found = self.blocking(move |folder| folder.has_content(&path, &expected)).await?;
        Ok(found.then(|| CopySource { key: key.to_owned(), e_tag: None, is_current: true }))
    }

    async fn copy(&self, from: &CopySource, key: &str, _: &Arc<Source>, _: &MultipartUploads) -> Result<()> {
        let (from, to) = (self.0.path(&from.key)?, self.0.path(key)?);
        self.blocking(move |folder| folder.copy(from, &to)).await
    }

    async fn delete(&self, keys: &[String]) -> Result<()> {
        let paths = keys.iter().map(|key| self.0.path(key)).collect::<Result<Vec<_>>>()?;
        self.blocking(move |folder| paths.iter().try_for_each(|path| folder.delete(path))).await
    }

    async fn remove_abandoned(&self, prefix: &str) -> Result<()> {
        let path = self.0.path(prefix)?;
        self.blocking(move |_| folder::remove_abandoned(&path)).await
    }
}
