//! The publish step: N copies of an archive in a store.

mod names;
mod unpublish;

use crate::{Error, Result};
use futures_util::{StreamExt, TryStreamExt, stream};
use names::{copy_index, statement_name};
use planforge_core::{Archive, CachedArtifact, ModelName, Outcome, Progress, Published, Step, copy_name};
use planforge_store::{
    CopySource, Error as StoreError, MultipartUpload, MultipartUploads, ObjectStore, Source, Upload, join,
};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

pub use unpublish::{StoredObject, unpublish};

/// Media type of an archive.
const ARCHIVE_TYPE: &str = "application/gzip";
/// Media type of a provenance statement.
const STATEMENT_TYPE: &str = "application/json";
/// Time between two looks at whether the user asks to stop.
const CANCELLATION_INTERVAL: Duration = Duration::from_millis(50);

/// What is published, and where in a store.
#[derive(Debug, Clone, Copy)]
pub struct Publication<'a> {
    /// The archive.
    pub archive: &'a CachedArtifact<Archive>,
    /// Name of the model, which the copies are named after.
    pub name: &'a ModelName,
    /// Prefix in the store: copies are `<prefix>/<variant>/<name>-v0.tar.gz` and on.
    pub prefix: &'a str,
    /// Number of copies.
    pub copies: u32,
    /// The provenance statement of the archive, published next to the copies.
    pub statement: Option<&'a Path>,
}

/// Writes copies of an archive to a store: one is uploaded, the store makes the others of it. Copies that are there with the
/// same content and settings stay as they are, those from [`Publication::copies`] on are deleted. Where everything is there,
/// nothing is written.
///
/// Each copy appears whole or not at all. When it fails, or the user asks to stop, uploads in parts are aborted; those of a
/// process that was killed are resumed, or aborted, by the next one.
///
/// # Errors
/// [`Error::Changed`] when the archive differs from its record, errors of the store, and cancellation.
pub async fn publish(
    publication: &Publication<'_>,
    store: &dyn ObjectStore,
    progress: Arc<dyn Progress>,
) -> Result<Published> {
    let start = Instant::now();
    let Archive { variant, sha256, .. } = &publication.archive.record;
    let (subject, copies) = (variant.id(), publication.copies);
    let folder = join(publication.prefix, &subject);
    store.check_key(&join(&folder, &copy_name(publication.name, copies)))?;
    progress.started(Step::Publish, &subject, Some(copies.into()), "copies");
    let uploads = MultipartUploads::default();
    let publishing =
        Publishing { publication, store, folder, subject: &subject, uploads: &uploads, progress: &progress };
    let result = until_cancelled(&progress, publishing.publish()).await;
    if result.is_err() {
        store.abort_all(&uploads).await;
    }
    let Done { written_byte_count, kept } = result?;
    let outcome = if kept == copies { Outcome::Cached } else { Outcome::Built };
    progress.finished(Step::Publish, &subject, outcome, start.elapsed());
    Ok(Published {
        variant: variant.clone(),
        url: store.url(&format!("{}/", publishing.folder)),
        target_models: (0..copies).map(|index| copy_name(publication.name, index)).collect(),
        sha256: sha256.clone(),
        written_byte_count,
        kept,
    })
}

/// A publication that has ended.
struct Done {
    /// Bytes sent for the archive.
    written_byte_count: u64,
    /// Copies that were there.
    kept: u32,
}

/// A publication in progress.
struct Publishing<'a> {
    publication: &'a Publication<'a>,
    store: &'a dyn ObjectStore,
    /// Prefix of the copies.
    folder: String,
    subject: &'a str,
    uploads: &'a MultipartUploads,
    progress: &'a Arc<dyn Progress>,
}

impl Publishing<'_> {
    async fn publish(&self) -> Result<Done> {
        let source = self.read_archive().await?;
        let listed = self.list().await?;
        let mut found = self.find_copies(&source, &listed).await?;
        let kept = found.values().filter(|copy| copy.is_current).count();
        let mut abandoned = self.abandoned_uploads().await?;
        let mut written_byte_count = 0;
        if found.is_empty() && self.publication.copies > 0 {
            let key = self.copy_key(0);
            let resumable: Vec<_> = abandoned.extract_if(.., |upload| upload.key == key).collect();
            let uploaded = self.upload(&source, &key, &resumable).await?;
            written_byte_count = uploaded.byte_count;
            found.insert(0, CopySource { key, e_tag: uploaded.e_tag, is_current: true });
        }
        self.abort(&abandoned).await?;
        self.copy_missing(&source, &found).await?;
        if source.parts.len() > 1 && written_byte_count > 0 {
            // An upload is started twice where the response to the first request was lost.
            self.abort(&self.abandoned_uploads().await?).await?;
        }
        self.delete_surplus(&listed).await?;
        self.store.remove_abandoned(&self.folder).await?;
        if let Some(statement) = self.publication.statement {
            self.put_statement(statement, &listed).await?;
        }
        Ok(Done { written_byte_count, kept: u32::try_from(kept).unwrap_or(u32::MAX) })
    }

    fn copy_key(&self, index: u32) -> String {
        join(&self.folder, &copy_name(self.publication.name, index))
    }

    /// Reads a file with its digests, on a thread for blocking work.
    async fn read(&self, path: &Path, byte_count: u64, content_type: &'static str) -> Result<Source> {
        let part_byte_count = self.store.transfer_plan(byte_count).part_byte_count;
        let (path, progress) = (path.to_owned(), Arc::clone(self.progress));
        let read = move || Source::read(&path, content_type, None, part_byte_count, &*progress);
        let source = tokio::task::spawn_blocking(read).await;
        Ok(source.unwrap_or_else(|error| Err(std::io::Error::other(error).into()))?)
    }

    /// Reads the archive, which must be the recorded one.
    async fn read_archive(&self) -> Result<Arc<Source>> {
        let Archive { file, sha256, byte_count, .. } = &self.publication.archive.record;
        let path = self.publication.archive.path(file);
        let source = self.read(&path, *byte_count, ARCHIVE_TYPE).await?;
        if source.sha256 != *sha256 {
            return Err(Error::Changed { path, recorded: sha256.clone(), found: source.sha256 });
        }
        Ok(Arc::new(source))
    }

    /// Names and sizes of the objects next to the copies.
    async fn list(&self) -> Result<BTreeMap<String, u64>> {
        let objects = self.store.list(&self.folder).await?;
        let named = |key: &str| Some(key.strip_prefix(&self.folder)?.strip_prefix('/')?.to_owned());
        Ok(objects.into_iter().filter_map(|object| Some((named(&object.key)?, object.byte_count))).collect())
    }

    /// Copies of this archive that are there, by number.
    async fn find_copies(
        &self,
        source: &Arc<Source>,
        listed: &BTreeMap<String, u64>,
    ) -> Result<BTreeMap<u32, CopySource>> {
        let Publication { name, copies, .. } = *self.publication;
        let candidates = (0..copies).filter(|&index| listed.get(&copy_name(name, index)) == Some(&source.byte_count));
        let finding = stream::iter(candidates).map(|index| async move {
            let found = self.store.find(&self.copy_key(index), source).await?;
            Ok::<_, Error>(found.map(|found| (index, found)))
        });
        let at_once = self.store.transfer_plan(source.byte_count).requests_at_once;
        let found: Vec<_> = finding.buffer_unordered(at_once).try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }

    /// Unfinished multipart uploads of this model's own keys.
    async fn abandoned_uploads(&self) -> Result<Vec<MultipartUpload>> {
        let uploads = match self.store.list_multipart_uploads(&self.folder).await {
            // Listing them is a right that nothing else here needs.
            Err(StoreError::Denied { url, reason, .. }) => {
                let note = format!("unfinished uploads of earlier runs below `{url}`, if any, stay: {reason}");
                self.progress.note(Step::Publish, self.subject, note);
                return Ok(Vec::new());
            }
            uploads => uploads?,
        };
        let is_own = |upload: &MultipartUpload| {
            let file = upload.key.strip_prefix(&self.folder).and_then(|file| file.strip_prefix('/'));
            file.is_some_and(|file| copy_index(self.publication.name, file).is_some())
        };
        Ok(uploads.into_iter().filter(is_own).collect())
    }

    async fn abort(&self, uploads: &[MultipartUpload]) -> Result<()> {
        for upload in uploads {
            self.store.abort_multipart_upload(upload).await?;
        }
        Ok(())
    }

    async fn upload(
        &self,
        source: &Arc<Source>,
        key: &str,
        resumable: &[MultipartUpload],
    ) -> Result<planforge_store::Uploaded> {
        self.progress.started(Step::Publish, self.subject, Some(source.byte_count), "bytes");
        let advanced = |done| self.progress.advanced(Step::Publish, self.subject, done);
        let upload = Upload { resumable, uploads: self.uploads, advanced: &advanced };
        Ok(self.store.put_file(key, source, upload).await?)
    }

    /// Has the store make the copies that are missing, or have other settings, of one that is there.
    async fn copy_missing(&self, source: &Arc<Source>, found: &BTreeMap<u32, CopySource>) -> Result<()> {
        let copies = self.publication.copies;
        let is_current = |index: &u32| found.get(index).is_some_and(|copy| copy.is_current);
        let from = found.keys().copied().find(is_current).or(found.keys().next().copied());
        let Some(from) = from else { return Ok(()) };
        let origin = &found[&from];
        self.progress.started(Step::Publish, self.subject, Some(copies.into()), "copies");
        let done = AtomicU64::new((0..copies).filter(is_current).count() as u64);
        let missing = (0..copies).filter(|index| *index != from && !is_current(index));
        let copying = stream::iter(missing).map(|index| {
            let done = &done;
            async move {
                self.store.copy(origin, &self.copy_key(index), source, self.uploads).await?;
                let done = done.fetch_add(1, Ordering::Relaxed) + 1;
                self.progress.advanced(Step::Publish, self.subject, done);
                Ok::<_, Error>(())
            }
        });
        let at_once = self.store.transfer_plan(source.byte_count).copies_at_once;
        copying.buffer_unordered(at_once).try_collect::<()>().await?;
        if !origin.is_current {
            // The others were copies of it as it was.
            self.store.copy(origin, &origin.key, source, self.uploads).await?;
        }
        Ok(())
    }

    /// Deletes this model's copies beyond the number wanted, and nothing else.
    async fn delete_surplus(&self, listed: &BTreeMap<String, u64>) -> Result<()> {
        let Publication { name, copies, .. } = *self.publication;
        let is_surplus = |file: &&String| copy_index(name, file).is_some_and(|index| index >= copies);
        let surplus: Vec<_> = listed.keys().filter(is_surplus).map(|file| join(&self.folder, file)).collect();
        if surplus.is_empty() { Ok(()) } else { Ok(self.store.delete(&surplus).await?) }
    }

    /// Publishes the statement. One with the same content stays: where everything is there, the store need not be writable.
    async fn put_statement(&self, statement: &Path, listed: &BTreeMap<String, u64>) -> Result<()> {
        let file = statement_name(self.publication.name);
        let key = join(&self.folder, &file);
        let source = Arc::new(self.read(statement, 0, STATEMENT_TYPE).await?);
        if listed.get(&file) == Some(&source.byte_count)
            && self.store.find(&key, &source).await?.is_some_and(|found| found.is_current)
        {
            return Ok(());
        }
        let upload = Upload { resumable: &[], uploads: self.uploads, advanced: &|_| {} };
        self.store.put_file(&key, &source, upload).await?;
        Ok(())
    }
}

/// The result of `work`, or cancellation as soon as the user asks to stop.
async fn until_cancelled<T>(progress: &Arc<dyn Progress>, work: impl Future<Output = Result<T>>) -> Result<T> {
    let asked_to_stop = async {
        while !progress.is_cancelled() {
            tokio::time::sleep(CANCELLATION_INTERVAL).await;
        }
    };
    tokio::select! {
        biased;
        result = work => result,
        () = asked_to_stop => Err(planforge_core::Error::Cancelled.into()),
    }
}

#[cfg(test)]
mod tests;
