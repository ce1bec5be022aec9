//! Copies that the store makes itself.

use crate::bucket::Bucket;
use crate::fault::fault;
use crate::options::with_options;
use crate::unsupported::is_unsupported;
use crate::upload::{Uploading, begin, finish};
use aws_sdk_s3::types::{CompletedPart, MetadataDirective, TaggingDirective};
use futures_util::{StreamExt, TryStreamExt, stream};
use planforge_store::{Action, CopySource, MultipartUpload, MultipartUploads, Result, Source, Upload, percent_encoded};
use std::sync::Arc;

/// Makes `key` a copy of `from`, as that was when it was found. It may be `from` itself, for other settings.
pub(crate) async fn copy(
    bucket: &Bucket,
    source: &Arc<Source>,
    from: &CopySource,
    key: &str,
    uploads: &MultipartUploads,
) -> Result<()> {
    let copied = if source.byte_count > bucket.options.copy_byte_count {
        copy_in_parts(bucket, source, from, key, uploads).await
    } else {
        copy_whole(bucket, source, from, key).await
    };
    match copied {
        // A store that makes no copies is sent each of them.
        Err(error) if is_unsupported(&error) => {
            let upload = Upload { resumable: &[], uploads, advanced: &|_| {} };
            let sent = Uploading { bucket, source, upload }.upload(key).await;
            // What is wrong with the upload too was not the copy.
            sent.map(drop).map_err(|failed| if is_unsupported(&failed) { error } else { failed })
        }
        copied => copied,
    }
}

/// A copy in one request.
async fn copy_whole(bucket: &Bucket, source: &Source, from: &CopySource, key: &str) -> Result<()> {
    let copying = |tagging: Option<TaggingDirective>, e_tag: Option<String>| async move {
        let request = bucket.client.copy_object().bucket(bucket.name()).key(key);
        let request = request.copy_source(copy_source(bucket, from)).set_copy_source_if_match(e_tag);
        // Everything is replaced: the source may have other settings, and reading its tags is a separate right.
        let request = with_options!(request, &bucket.options, &source.sha256).content_type(source.content_type);
        let request = request.metadata_directive(MetadataDirective::Replace).set_tagging_directive(tagging);
        let request = request.customize().config_override(bucket.options.copying(source.byte_count));
        request.send().await.map_err(|error| fault(bucket, Action::Copy, key, &error))
    };
    let mut copied = copying(Some(TaggingDirective::Replace), from.e_tag.clone()).await;
    // Some stores have no tags, and some no conditions.
    for e_tag in [from.e_tag.clone(), None] {
        if bucket.options.tags.is_empty() && copied.as_ref().is_err_and(is_unsupported) {
            copied = copying(None, e_tag).await;
        }
    }
    let response = copied?;
    let checksum = response.copy_object_result().and_then(|result| result.checksum_sha256());
    bucket.confirm(key, source, checksum).await
}

/// A copy of what is too large for one request.
async fn copy_in_parts(
    bucket: &Bucket,
    source: &Source,
    from: &CopySource,
    key: &str,
    uploads: &MultipartUploads,
) -> Result<()> {
    let upload = begin(bucket, source, key).await?;
    uploads.add(&bucket.relative_upload(&upload));
    let size = bucket.options.copy_part_byte_count.max(bucket.options.part_size(source.byte_count));
    let count = i32::try_from(source.byte_count.div_ceil(size)).unwrap_or(i32::MAX);
    let copying = stream::iter(1..=count).map(|number| {
        let first = u64::from(number.unsigned_abs() - 1) * size;
        let range = CopiedPart { number, first, last: (first + size).min(source.byte_count) - 1 };
        copy_part(bucket, from, &upload, range)
    });
    let mut parts: Vec<_> = copying.buffer_unordered(bucket.options.connections).try_collect().await?;
    parts.sort_by_key(CompletedPart::part_number);
    finish(bucket, source, &upload, parts).await?;
    uploads.finish(&bucket.relative_upload(&upload));
    Ok(())
}

/// A part of a copy: its number, and its first and last byte.
#[derive(Clone, Copy)]
struct CopiedPart {
    number: i32,
    first: u64,
    last: u64,
}

async fn copy_part(
    bucket: &Bucket,
    from: &CopySource,
    upload: &MultipartUpload,
    part: CopiedPart,
) -> Result<CompletedPart> {
    let MultipartUpload { key, id } = upload;
    let CopiedPart { number, first, last } = part;
    let request = bucket.client.upload_part_copy().bucket(bucket.name()).key(key).upload_id(id).part_number(number);
    let request = request.copy_source(copy_source(bucket, from)).copy_source_range(format!("bytes={first}-{last}"));
    let request = request.set_copy_source_if_match(from.e_tag.clone());
    let request = request.customize().config_override(bucket.options.copying(last - first + 1));
    let response = request.send().await.map_err(|error| fault(bucket, Action::Copy, key, &error))?;
    let result = response.copy_part_result();
    Ok(CompletedPart::builder()
        .part_number(number)
        .set_e_tag(result.and_then(|result| result.e_tag()).map(str::to_owned))
        .set_checksum_sha256(result.and_then(|result| result.checksum_sha256()).map(str::to_owned))
        .build())
}

fn copy_source(bucket: &Bucket, from: &CopySource) -> String {
    percent_encoded(&format!("{}/{}", bucket.name(), from.key))
}
