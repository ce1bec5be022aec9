//! The publish step into a bucket, and away again.

use super::bucket::Bucket;
use super::copy::{Origin, copy};
use super::fault::fault;
use super::options::with_options;
use super::source::Source;
use super::unfinished::{Unfinished, Upload};
use super::upload::Uploading;
use crate::publish::{copy_index, is_own, statement_name};
use crate::store::check_key;
use crate::{Action, Error, Publication, Result, StoredObject};
use aws_sdk_s3::primitives::ByteStream;
use futures_util::{StreamExt, TryStreamExt, stream};
use planforge_core::{Archive, ModelName, Outcome, Progress, Published, Step, Stored, copy_name, digest_bytes};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Puts copies of an archive into a bucket: one is uploaded, the others are made of it by the store. Copies that are
/// there with the same content and settings stay as they are, those from [`Publication::copies`] on are removed.
///
/// Each copy appears whole or not at all. When it fails, or the user asks to stop, uploads in parts are given up; those
/// of a run that was killed are gone on with, or given up, by the next one.
///
/// # Errors
/// [`Error::Changed`] when the archive is not the recorded one, [`Error::Prefix`], those of [`crate::connect`],
/// [`Error::Corrupted`], and cancellation.
pub async fn publish_to_bucket(
    publication: &Publication<'_>,
    bucket: &Bucket,
    progress: Arc<dyn Progress>,
) -> Result<Published> {
    let start = Instant::now();
    let subject = publication.archive.record.variant.id();
    let folder = bucket.key(&publication.key()?);
    check_key(&format!("{folder}/{}", copy_name(publication.name, publication.copies)))?;
    let unfinished = Unfinished::default();
    let publishing =
        Publishing { publication, bucket, folder, subject: &subject, unfinished: &unfinished, progress: &progress };
    let result = match until_cancelled(&progress, publishing.publish()).await {
        Ok(result) => result,
        Err(cancelled) => Err(cancelled),
    };
    if result.is_err() {
        unfinished.abort_all(bucket).await;
    }
    let (written_byte_count, kept) = result?;
    let outcome = if kept == publication.copies { Outcome::Cached } else { Outcome::Built };
    progress.finished(Step::Publish, &subject, outcome, start.elapsed());
    Ok(publication.published(bucket.url(&format!("{}/", publishing.folder)), written_byte_count, kept))
}

/// One publication under way.
struct Publishing<'a> {
    publication: &'a Publication<'a>,
    bucket: &'a Bucket,
    /// Whole key of the copies' prefix, without a final `/`.
    folder: String,
    subject: &'a str,
    unfinished: &'a Unfinished,
    progress: &'a Arc<dyn Progress>,
}

impl Publishing<'_> {
    /// Bytes sent, and the number of copies that were there.
    async fn publish(&self) -> Result<(u64, u32)> {
        let source = self.read().await?;
        let listed = self.bucket.list(&self.folder).await?;
        let mut there = self.find_copies(&source, &listed).await?;
        let kept = there.values().filter(|copy| copy.is_current).count();
        let mut left = self.left_behind().await?;
        let mut written_byte_count = 0;
        if there.is_empty() && self.publication.copies > 0 {
            let key = self.copy_key(0);
            let of_key: Vec<_> = left.extract_if(.., |upload| upload.key == key).collect();
            let uploaded = self.upload(&source, &key, &of_key).await?;
            written_byte_count = uploaded.byte_count;
            there.insert(0, Origin { key, e_tag: uploaded.e_tag, is_current: true });
        }
        for upload in &left {
            self.bucket.abort(upload).await?;
        }
        self.copy_missing(&source, &there).await?;
        if source.parts.len() > 1 && written_byte_count > 0 {
            // An upload is begun twice where the answer to the first request was lost.
            for upload in self.left_behind().await? {
                self.bucket.abort(&upload).await?;
            }
        }
        self.remove_surplus(&listed).await?;
        if let Some(statement) = self.publication.statement {
            self.put_statement(statement, &listed).await?;
        }
        Ok((written_byte_count, u32::try_from(kept).unwrap_or(u32::MAX)))
    }

    fn copy_key(&self, index: u32) -> String {
        format!("{}/{}", self.folder, copy_name(self.publication.name, index))
    }

    /// Digests the archive, off the threads that wait for sockets.
    async fn read(&self) -> Result<Arc<Source>> {
        let Stored { record: Archive { sha256, byte_count, .. }, .. } = self.publication.archive;
        let (path, sha256) = (self.publication.source(), sha256.clone());
        let part_size = self.bucket.options.part_size(*byte_count);
        let progress = Arc::clone(self.progress);
        let reading = tokio::task::spawn_blocking(move || Source::read(&path, &sha256, part_size, &*progress));
        let source = reading.await.unwrap_or_else(|error| Err(std::io::Error::other(error).into()))?;
        Ok(Arc::new(source))
    }

    /// Copies that are there, whole and of this archive.
    async fn find_copies(&self, source: &Source, listed: &BTreeMap<String, u64>) -> Result<BTreeMap<u32, Origin>> {
        let Publication { name, copies, .. } = *self.publication;
        let candidates = (0..copies).filter(|&index| listed.get(&copy_name(name, index)) == Some(&source.byte_count));
        let looking = stream::iter(candidates).map(|index| async move {
            let key = self.copy_key(index);
            let found = self.bucket.holding(&key, source).await?;
            let is_current = found.as_ref().is_some_and(|found| found.noted == self.bucket.options.noted());
            Ok::<_, Error>(found.map(|found| (index, Origin { key, e_tag: found.e_tag, is_current })))
        });
        let found: Vec<_> = looking.buffer_unordered(self.bucket.options.small_requests).try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }

    /// Unfinished uploads of this model's own keys.
    async fn left_behind(&self) -> Result<Vec<Upload>> {
        let uploads = match self.bucket.unfinished(&self.folder).await {
            // The right to list them is one that nothing else here needs.
            Err(Error::Denied { url, reason, .. }) => {
                let note = format!("unfinished uploads of earlier runs below `{url}`, if any, stay: {reason}");
                self.progress.note(Step::Publish, self.subject, note);
                return Ok(Vec::new());
            }
            uploads => uploads?,
        };
        let is_own = |upload: &Upload| {
            let file = upload.key.strip_prefix(&self.folder).and_then(|file| file.strip_prefix('/'));
            file.is_some_and(|file| copy_index(self.publication.name, file).is_some())
        };
        Ok(uploads.into_iter().filter(is_own).collect())
    }

    async fn upload(&self, source: &Arc<Source>, key: &str, left: &[Upload]) -> Result<super::upload::Uploaded> {
        self.progress.started(Step::Publish, self.subject, Some(source.byte_count), "bytes");
        let advanced = |done| self.progress.advanced(Step::Publish, self.subject, done);
        let uploading = Uploading { bucket: self.bucket, source, unfinished: self.unfinished, advanced: &advanced };
        uploading.upload(key, left).await
    }

    /// Has the store make the copies that are not `there`, or have other settings, of one that is there.
    async fn copy_missing(&self, source: &Source, there: &BTreeMap<u32, Origin>) -> Result<()> {
        let copies = self.publication.copies;
        let is_current = |index: &u32| there.get(index).is_some_and(|copy| copy.is_current);
        let Some(from) = there.keys().copied().find(is_current).or(there.keys().next().copied()) else { return Ok(()) };
        let origin = &there[&from];
        self.progress.started(Step::Publish, self.subject, Some(copies.into()), "copies");
        let done = AtomicU64::new((0..copies).filter(is_current).count() as u64);
        let missing = (0..copies).filter(|index| *index != from && !is_current(index));
        let copying = stream::iter(missing).map(|index| {
            let done = &done;
            async move {
                copy(self.bucket, source, (origin, &self.copy_key(index)), self.unfinished).await?;
                let done = done.fetch_add(1, Ordering::Relaxed) + 1;
                self.progress.advanced(Step::Publish, self.subject, done);
                Ok::<_, Error>(())
            }
        });
        copying.buffer_unordered(self.bucket.options.copies_at_once(source.byte_count)).try_collect::<()>().await?;
        // The others were copies of it as it was.
        if origin.is_current { Ok(()) } else { copy(self.bucket, source, (origin, &origin.key), self.unfinished).await }
    }

    /// Removes this model's copies beyond the number wanted, and nothing else.
    async fn remove_surplus(&self, listed: &BTreeMap<String, u64>) -> Result<()> {
        let Publication { name, copies, .. } = *self.publication;
        let is_surplus = |file: &&String| copy_index(name, file).is_some_and(|index| index >= copies);
        let surplus: Vec<_> = listed.keys().filter(is_surplus).map(|file| format!("{}/{file}", self.folder)).collect();
        self.bucket.remove(&surplus).await
    }

    async fn put_statement(&self, statement: &Path, listed: &BTreeMap<String, u64>) -> Result<()> {
        let bucket = self.bucket;
        let file = statement_name(self.publication.name);
        let key = format!("{}/{file}", self.folder);
        let text = fs_err::read(statement)?;
        let sha256 = digest_bytes(&text);
        if listed.get(&file) == Some(&(text.len() as u64)) {
            let found = bucket.properties(&key).await?;
            let noted = bucket.options.noted();
            if found.is_some_and(|found| found.sha256.as_deref() == Some(sha256.as_str()) && found.noted == noted) {
                return Ok(());
            }
        }
        let request = bucket.client.put_object().bucket(bucket.name()).key(&key).body(ByteStream::from(text));
        let request = request.content_type("application/json");
        let sent = with_options!(request, &bucket.options, &sha256).send().await;
        sent.map(drop).map_err(|error| fault(bucket, Action::Upload, &key, &error))
    }
}

/// Takes away what was published of `name` below `prefix`: copies and statements of all variants, whatever their
/// number, and unfinished uploads of them. With `dry_run` it only says what that would be.
///
/// # Errors
/// Those of [`crate::connect`].
pub async fn unpublish_from_bucket(
    bucket: &Bucket,
    prefix: &str,
    name: &ModelName,
    dry_run: bool,
) -> Result<Vec<StoredObject>> {
    let folder = bucket.key(prefix);
    check_key(&folder)?;
    let listed = bucket.list(&folder).await?;
    let own: Vec<_> = listed.iter().filter(|(key, _)| is_own(name, key)).collect();
    if !dry_run {
        let unfinished = match bucket.unfinished(&folder).await {
            // The right to list them is one that nothing else here needs.
            Err(Error::Denied { .. }) => Vec::new(),
            unfinished => unfinished?,
        };
        for upload in unfinished {
            let key = upload.key.strip_prefix(&folder).and_then(|key| key.strip_prefix('/'));
            if key.is_some_and(|key| is_own(name, key)) {
                bucket.abort(&upload).await?;
            }
        }
        bucket.remove(&own.iter().map(|(key, _)| format!("{folder}/{key}")).collect::<Vec<_>>()).await?;
    }
    let object = |(key, byte_count): (&String, &u64)| StoredObject {
        url: bucket.url(&format!("{folder}/{key}")),
        byte_count: *byte_count,
    };
    Ok(own.into_iter().map(object).collect())
}

/// `work`, given up as soon as the user asks to stop.
async fn until_cancelled<T>(progress: &Arc<dyn Progress>, work: impl Future<Output = T>) -> Result<T> {
    let asked_to_stop = async {
        while !progress.is_cancelled() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        result = work => Ok(result),
        () = asked_to_stop => Err(planforge_core::Error::Cancelled.into()),
    }
}
