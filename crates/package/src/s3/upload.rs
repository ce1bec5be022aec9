//! The one upload: whole, or in parts at once, each with its checksum. An upload that an earlier run left is gone on with.

use super::bucket::Bucket;
use super::fault::fault;
use super::options::with_options;
use super::source::{Part, Source};
use super::unfinished::{Unfinished, Upload, is_gone};
use crate::{Action, Error, Result};
use aws_sdk_s3::primitives::{ByteStream, Length};
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart};
use futures_util::{StreamExt, TryStreamExt, stream};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How much of a file is read at once while it is sent.
const BUFFER: usize = 128 << 10;
/// What archives are.
pub(super) const CONTENT_TYPE: &str = "application/gzip";

/// What an upload came to.
pub(super) struct Uploaded {
    pub(super) e_tag: Option<String>,
    /// Bytes sent in this run.
    pub(super) byte_count: u64,
}

/// An upload under way, and whom it tells.
pub(super) struct Uploading<'a> {
    pub(super) bucket: &'a Bucket,
    pub(super) source: &'a Arc<Source>,
    pub(super) unfinished: &'a Unfinished,
    /// Told the bytes that are there after each part.
    pub(super) advanced: &'a (dyn Fn(u64) + Sync),
}

impl Uploading<'_> {
    /// Uploads the file as `key`. Of `left`, unfinished uploads of that key, one is gone on with if its parts are the
    /// file's, and the others are given up.
    pub(super) async fn upload(&self, key: &str, left: &[Upload]) -> Result<Uploaded> {
        if self.source.parts.len() == 1 {
            for upload in left {
                self.bucket.abort(upload).await?;
            }
            return self.whole(key).await;
        }
        let there = self.resumable(left).await?;
        let is_resumed = there.is_some();
        let uploaded = self.in_parts(key, there).await;
        // One that is gone on with may have been begun for another archive, whose first parts are the same, and have that
        // one's digest, or with other settings. Any may have been given up, or finished, by another run meanwhile.
        let noted = self.bucket.options.noted();
        let holds = || async {
            Ok::<_, Error>(self.bucket.holding(key, self.source).await?.filter(|found| found.noted == noted))
        };
        match uploaded {
            Ok(uploaded) if !is_resumed || holds().await?.is_some() => Ok(uploaded),
            Ok(_) => self.in_parts(key, None).await,
            Err(error) if is_gone(&error) || is_resumed && matches!(error, Error::Corrupted { .. }) => {
                match holds().await? {
                    Some(found) => Ok(Uploaded { e_tag: found.e_tag, byte_count: 0 }),
                    None => self.in_parts(key, None).await,
                }
            }
            Err(error) => Err(error),
        }
    }

    async fn whole(&self, key: &str) -> Result<Uploaded> {
        let Self { bucket, source, .. } = self;
        let body = self.body(&source.parts[0]).await?;
        let request = bucket.client.put_object().bucket(bucket.name()).key(key).body(body);
        let request = request.content_type(CONTENT_TYPE).checksum_sha256(source.checksum());
        let request = with_options!(request, &bucket.options, &source.sha256);
        let request = request.customize().config_override(bucket.options.sending(source.byte_count));
        let answer = request.send().await.map_err(|error| fault(bucket, Action::Upload, key, &error))?;
        bucket.confirm(key, source, answer.checksum_sha256()).await?;
        (self.advanced)(source.byte_count);
        Ok(Uploaded { e_tag: answer.e_tag().map(str::to_owned), byte_count: source.byte_count })
    }

    /// Sends the parts that are not `there`, and finishes.
    async fn in_parts(&self, key: &str, there: Option<(Upload, Parts)>) -> Result<Uploaded> {
        let (upload, there) = match there {
            Some(there) => there,
            None => (begin(self.bucket, self.source, key).await?, Parts::new()),
        };
        self.unfinished.add(&upload);
        let (kept, missing): (Vec<_>, Vec<_>) =
            self.source.parts.iter().partition(|part| there.contains_key(&part.number));
        let kept_byte_count = kept.iter().map(|part| part.byte_count).sum();
        let done = AtomicU64::new(kept_byte_count);
        (self.advanced)(kept_byte_count);
        let sending = stream::iter(missing).map(|part| {
            let (upload, done) = (&upload, &done);
            async move {
                let e_tag = self.send(upload, part).await?;
                (self.advanced)(done.fetch_add(part.byte_count, Ordering::Relaxed) + part.byte_count);
                Ok::<_, Error>((part.number, e_tag))
            }
        });
        let sent: Vec<_> = sending.buffer_unordered(self.bucket.options.connections).try_collect().await?;
        let mut parts = there;
        parts.extend(sent);
        let completed = self.source.parts.iter().map(|part| {
            let part_builder = CompletedPart::builder().part_number(part.number).checksum_sha256(&part.checksum);
            part_builder.set_e_tag(parts.get(&part.number).cloned()).build()
        });
        let e_tag = finish(self.bucket, self.source, &upload, completed.collect()).await?;
        self.unfinished.finished(&upload);
        Ok(Uploaded { e_tag, byte_count: self.source.byte_count - kept_byte_count })
    }

    async fn send(&self, upload: &Upload, part: &Part) -> Result<String> {
        let Self { bucket, .. } = self;
        let body = self.body(part).await?;
        let request = bucket.client.upload_part().bucket(bucket.name()).key(&upload.key).upload_id(&upload.id);
        let request = request.part_number(part.number).checksum_sha256(&part.checksum).body(body);
        let request = request.customize().config_override(bucket.options.sending(part.byte_count));
        let answer = request.send().await.map_err(|error| fault(bucket, Action::Upload, &upload.key, &error))?;
        Ok(answer.e_tag().unwrap_or_default().to_owned())
    }

    /// A part, read from the file while it is sent, and again when it has to be sent again.
    async fn body(&self, part: &Part) -> Result<ByteStream> {
        let body = ByteStream::read_from().path(&self.source.path).offset(part.offset).buffer_size(BUFFER);
        let body = body.length(Length::Exact(part.byte_count)).build().await;
        Ok(body.map_err(|error| {
            std::io::Error::other(format!("`{}` cannot be read: {error}", self.source.path.display()))
        })?)
    }

    /// The unfinished upload that is furthest, with its parts; those that are of another file are given up.
    async fn resumable(&self, left: &[Upload]) -> Result<Option<(Upload, Parts)>> {
        let mut best: Option<(Upload, Parts)> = None;
        for upload in left {
            let parts = self.parts_of(upload).await?;
            let given_up = match parts {
                Some(parts) if best.as_ref().is_none_or(|(_, known)| known.len() < parts.len()) => {
                    best.replace((upload.clone(), parts)).map(|(upload, _)| upload)
                }
                _ => Some(upload.clone()),
            };
            if let Some(upload) = given_up {
                self.bucket.abort(&upload).await?;
            }
        }
        Ok(best)
    }

    /// `ETag`s of the parts that an upload has; none where one of them is not the file's.
    async fn parts_of(&self, upload: &Upload) -> Result<Option<Parts>> {
        let Self { bucket, source, .. } = self;
        let (mut parts, mut marker) = (Parts::new(), None);
        loop {
            let request = bucket.client.list_parts().bucket(bucket.name()).key(&upload.key).upload_id(&upload.id);
            let page = match request.set_part_number_marker(marker).send().await {
                Ok(page) => page,
                Err(error) => {
                    let error = fault(bucket, Action::Look, &upload.key, &error);
                    // The right to look at parts is one that nothing else here needs.
                    let is_closed = is_gone(&error) || matches!(error, Error::Denied { .. });
                    return if is_closed { Ok(None) } else { Err(error) };
                }
            };
            for found in page.parts() {
                let number = found.part_number().unwrap_or(0);
                let part = source.parts.iter().find(|part| part.number == number);
                let Some(part) = part.filter(|part| found.size() == i64::try_from(part.byte_count).ok()) else {
                    return Ok(None);
                };
                let e_tag = found.e_tag().unwrap_or_default();
                let is_ours = match found.checksum_sha256() {
                    Some(checksum) => checksum == part.checksum,
                    // A server that tells no checksum tells MD5.
                    None => e_tag.trim_matches('"') == md5(source, part).await?,
                };
                if !is_ours {
                    return Ok(None);
                }
                parts.insert(number, e_tag.to_owned());
            }
            marker = page.next_part_number_marker().map(str::to_owned);
            if page.is_truncated() != Some(true) || marker.is_none() {
                return Ok(Some(parts));
            }
        }
    }
}

/// `ETag`s by number.
type Parts = BTreeMap<i32, String>;

/// Begins an upload in parts.
pub(super) async fn begin(bucket: &Bucket, source: &Source, key: &str) -> Result<Upload> {
    let request = bucket.client.create_multipart_upload().bucket(bucket.name()).key(key);
    let request = request.content_type(CONTENT_TYPE).checksum_algorithm(ChecksumAlgorithm::Sha256);
    let request = with_options!(request, &bucket.options, &source.sha256);
    let answer = request.send().await.map_err(|error| fault(bucket, Action::Upload, key, &error))?;
    Ok(Upload { key: key.to_owned(), id: answer.upload_id().unwrap_or_default().to_owned() })
}

/// Makes the parts an object, which appears only now, and returns its `ETag`.
pub(super) async fn finish(
    bucket: &Bucket,
    source: &Source,
    upload: &Upload,
    parts: Vec<CompletedPart>,
) -> Result<Option<String>> {
    let Upload { key, id } = upload;
    let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
    let request = bucket.client.complete_multipart_upload().bucket(bucket.name()).key(key).upload_id(id);
    match request.multipart_upload(parts).send().await {
        Ok(answer) => {
            bucket.confirm(key, source, answer.checksum_sha256()).await?;
            Ok(answer.e_tag().map(str::to_owned))
        }
        Err(error) => {
            let error = fault(bucket, Action::Upload, key, &error);
            // An answer that was lost is asked for again, and the upload is then gone because it is done.
            match bucket.holding(key, source).await {
                Ok(Some(found)) if is_gone(&error) => Ok(found.e_tag),
                _ => Err(error),
            }
        }
    }
}

async fn md5(source: &Arc<Source>, part: &Part) -> Result<String> {
    let (source, part) = (Arc::clone(source), part.clone());
    let digest = tokio::task::spawn_blocking(move || source.md5(&part)).await;
    digest.unwrap_or_else(|error| Err(std::io::Error::other(error).into()))
}
