//! Uploads: whole, or in parts at once, each with its checksum. An upload that an earlier process left is resumed.

use crate::bucket::Bucket;
use crate::checksum::{self, base64};
use crate::fault::fault;
use crate::multipart::is_gone;
use crate::options::{S3Options, with_options};
use aws_sdk_s3::primitives::{ByteStream, Length};
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart};
use futures_util::{StreamExt, TryStreamExt, stream};
use planforge_store::{Action, Error, MultipartUpload, Part, Result, Source, Upload, Uploaded};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How much of a file is read at once while it is sent.
const BUFFER: usize = 128 << 10;
/// An upload in progress. Keys are whole ones, those of the uploads to resume too.
pub(crate) struct Uploading<'a> {
    pub(crate) bucket: &'a Bucket,
    pub(crate) source: &'a Arc<Source>,
    pub(crate) upload: Upload<'a>,
}

impl Uploading<'_> {
    /// Uploads the file as `key`.
    pub(crate) async fn upload(&self, key: &str) -> Result<Uploaded> {
        let left = self.upload.resumable;
        if self.source.parts.len() == 1 {
            for upload in left {
                self.bucket.abort(upload).await?;
            }
            return self.whole(key).await;
        }
        let there = self.resumable(left).await?;
        let is_resumed = there.is_some();
        let uploaded = self.in_parts(key, there).await;
        // One that is resumed may have been started for another file whose first parts are the same, and have that file's
        // digest, or with other settings. Any may have been aborted, or finished, by another process meanwhile.
        let settings = self.bucket.options.settings();
        let holds = || async {
            Ok::<_, Error>(self.bucket.holding(key, self.source).await?.filter(|found| found.settings == settings))
        };
        match uploaded {
            Ok(uploaded) if !is_resumed || holds().await?.is_some() => Ok(uploaded),
            Ok(_) => self.in_parts(key, None).await,
            Err(error) if is_gone(&error) || is_resumed && matches!(error, Error::Corrupt { .. }) => {
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
        let sending = |has_checksums: bool| async move {
            let body = self.body(&source.parts[0]).await?;
            let checksums = self.checksums(&source.parts[0], has_checksums).await?;
            let request = bucket.client.put_object().bucket(bucket.name()).key(key).body(body);
            let request = request.content_type(source.content_type);
            let request = request.set_checksum_sha256(checksums.sha256).set_content_md5(checksums.md5);
            let request = with_options!(request, &bucket.options, &source.sha256);
            let config = bucket.options.sending(source.byte_count);
            let request = request.customize().config_override(S3Options::with_checksums(config, has_checksums));
            request.send().await.map_err(|error| fault(bucket, Action::Upload, key, &error))
        };
        let response = bucket.with_checksums(sending).await?;
        bucket.confirm(key, source, response.checksum_sha256()).await?;
        (self.upload.advanced)(source.byte_count);
        Ok(Uploaded { e_tag: response.e_tag().map(str::to_owned), byte_count: source.byte_count })
    }

    /// Sends the parts that are not `there`, and finishes.
    async fn in_parts(&self, key: &str, there: Option<Resumed>) -> Result<Uploaded> {
        let Resumed { upload, parts: there } = match there {
            Some(there) => there,
            None => Resumed { upload: begin(self.bucket, self.source, key).await?, parts: Parts::new() },
        };
        self.upload.uploads.add(&self.bucket.relative_upload(&upload));
        let (kept, missing): (Vec<Part>, Vec<Part>) =
            self.source.parts.iter().cloned().partition(|part| there.contains_key(&part.number));
        let kept_byte_count = kept.iter().map(|part| part.byte_count).sum();
        let done = AtomicU64::new(kept_byte_count);
        (self.upload.advanced)(kept_byte_count);
        let sending = stream::iter(missing).map(|part| {
            let (upload, done) = (&upload, &done);
            async move {
                let e_tag = self.send(upload, &part).await?;
                (self.upload.advanced)(done.fetch_add(part.byte_count, Ordering::Relaxed) + part.byte_count);
                Ok::<_, Error>((part.number, e_tag))
            }
        });
        let sent: Vec<_> = sending.buffer_unordered(self.bucket.options.connections).try_collect().await?;
        let mut parts = there;
        parts.extend(sent);
        let completed = self.source.parts.iter().map(|part| {
            let part_builder = CompletedPart::builder().part_number(part.number).checksum_sha256(base64(&part.sha256));
            part_builder.set_e_tag(parts.get(&part.number).cloned()).build()
        });
        let e_tag = finish(self.bucket, self.source, &upload, completed.collect()).await?;
        self.upload.uploads.finish(&self.bucket.relative_upload(&upload));
        Ok(Uploaded { e_tag, byte_count: self.source.byte_count - kept_byte_count })
    }

    async fn send(&self, upload: &MultipartUpload, part: &Part) -> Result<String> {
        let Self { bucket, .. } = self;
        let sending = |has_checksums: bool| async move {
            let body = self.body(part).await?;
            let checksums = self.checksums(part, has_checksums).await?;
            let request = bucket.client.upload_part().bucket(bucket.name()).key(&upload.key).upload_id(&upload.id);
            let request = request.set_checksum_sha256(checksums.sha256).set_content_md5(checksums.md5);
            let request = request.part_number(part.number).body(body);
            let config = bucket.options.sending(part.byte_count);
            let request = request.customize().config_override(S3Options::with_checksums(config, has_checksums));
            request.send().await.map_err(|error| fault(bucket, Action::Upload, &upload.key, &error))
        };
        let response = bucket.with_checksums(sending).await?;
        Ok(response.e_tag().unwrap_or_default().to_owned())
    }

    /// What a store compares the bytes of a part with.
    async fn checksums(&self, part: &Part, has_checksums: bool) -> Result<PartChecksums> {
        if has_checksums {
            return Ok(PartChecksums { sha256: Some(base64(&part.sha256)), md5: None });
        }
        let (source, part) = (Arc::clone(self.source), part.clone());
        let md5 = tokio::task::spawn_blocking(move || checksum::part_md5(&source, &part)).await;
        Ok(PartChecksums { sha256: None, md5: Some(md5.map_err(std::io::Error::other)??) })
    }

    /// A part, read from the file while it is sent, and again when it has to be sent again.
    async fn body(&self, part: &Part) -> Result<ByteStream> {
        let body = ByteStream::read_from().path(&self.source.path).offset(part.offset).buffer_size(BUFFER);
        let body = body.length(Length::Exact(part.byte_count)).build().await;
        Ok(body.map_err(|error| {
            std::io::Error::other(format!("`{}` cannot be read: {error}", self.source.path.display()))
        })?)
    }

    /// The unfinished upload with the most parts; the others, and those of another file, are aborted.
    async fn resumable(&self, left: &[MultipartUpload]) -> Result<Option<Resumed>> {
        let mut best: Option<Resumed> = None;
        for upload in left {
            let parts = self.parts_of(upload).await?;
            let aborted = match parts {
                Some(parts) if best.as_ref().is_none_or(|known| known.parts.len() < parts.len()) => {
                    best.replace(Resumed { upload: upload.clone(), parts }).map(|other| other.upload)
                }
                _ => Some(upload.clone()),
            };
            if let Some(upload) = aborted {
                self.bucket.abort(&upload).await?;
            }
        }
        Ok(best)
    }

    /// `ETag`s of the parts that an upload has; none where one of them is not the file's.
    async fn parts_of(&self, upload: &MultipartUpload) -> Result<Option<Parts>> {
        let Self { bucket, source, .. } = self;
        let (mut parts, mut marker) = (Parts::new(), None);
        loop {
            let request = bucket.client.list_parts().bucket(bucket.name()).key(&upload.key).upload_id(&upload.id);
            let page = match request.set_part_number_marker(marker).send().await {
                Ok(page) => page,
                Err(error) => {
                    let error = fault(bucket, Action::Head, &upload.key, &error);
                    // Listing parts is a right that nothing else here needs.
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
                    Some(checksum) => checksum == base64(&part.sha256),
                    // A server that reports no checksum reports MD5.
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

/// What a store compares the bytes of a part with: its SHA-256, or its MD5 where the store does not know that.
struct PartChecksums {
    sha256: Option<String>,
    md5: Option<String>,
}

/// An upload of an earlier process, with the parts that it has.
struct Resumed {
    upload: MultipartUpload,
    parts: Parts,
}

/// `ETag`s by number.
type Parts = BTreeMap<i32, String>;

/// Starts an upload in parts.
pub(crate) async fn begin(bucket: &Bucket, source: &Source, key: &str) -> Result<MultipartUpload> {
    let beginning = |has_checksums: bool| async move {
        let request = bucket.client.create_multipart_upload().bucket(bucket.name()).key(key);
        let request = request.content_type(source.content_type);
        let request = request.set_checksum_algorithm(has_checksums.then_some(ChecksumAlgorithm::Sha256));
        let request = with_options!(request, &bucket.options, &source.sha256);
        request.send().await.map_err(|error| fault(bucket, Action::Upload, key, &error))
    };
    let response = bucket.with_checksums(beginning).await?;
    Ok(MultipartUpload { key: key.to_owned(), id: response.upload_id().unwrap_or_default().to_owned() })
}

/// Makes the parts an object, which appears only now, and returns its `ETag`.
pub(crate) async fn finish(
    bucket: &Bucket,
    source: &Source,
    upload: &MultipartUpload,
    parts: Vec<CompletedPart>,
) -> Result<Option<String>> {
    let MultipartUpload { key, id } = upload;
    let parts = &parts;
    let finishing = |has_checksums: bool| async move {
        let parts = parts.iter().map(|part| {
            let sha256 = part.checksum_sha256().filter(|_| has_checksums).map(str::to_owned);
            let named = CompletedPart::builder().set_part_number(part.part_number());
            named.set_e_tag(part.e_tag().map(str::to_owned)).set_checksum_sha256(sha256).build()
        });
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts.collect())).build();
        let request = bucket.client.complete_multipart_upload().bucket(bucket.name()).key(key).upload_id(id);
        let sent = request.multipart_upload(parts).send().await;
        sent.map_err(|error| fault(bucket, Action::Upload, key, &error))
    };
    match bucket.with_checksums(finishing).await {
        Ok(response) => {
            bucket.confirm(key, source, response.checksum_sha256()).await?;
            Ok(response.e_tag().map(str::to_owned))
        }
        Err(error) => {
            // After a response that was lost the request is repeated, and the upload is then gone because it is done.
            match bucket.holding(key, source).await {
                Ok(Some(found)) if is_gone(&error) => Ok(found.e_tag),
                _ => Err(error),
            }
        }
    }
}

async fn md5(source: &Arc<Source>, part: &Part) -> Result<String> {
    let (source, part) = (Arc::clone(source), part.clone());
    let digest = tokio::task::spawn_blocking(move || checksum::md5(&source, &part)).await;
    digest.unwrap_or_else(|error| Err(std::io::Error::other(error).into()))
}
