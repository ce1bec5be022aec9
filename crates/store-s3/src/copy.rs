//! Copies that the store makes itself.

use crate::bucket::Bucket;
use crate::fault::fault;
use crate::options::with_options;
use crate::upload::{begin, finish};
use aws_sdk_s3::types::{CompletedPart, MetadataDirective, TaggingDirective};
use futures_util::{StreamExt, TryStreamExt, stream};
use planforge_store::{Action, CopySource, Error, MultipartUpload, MultipartUploads, Result, Source, percent_encoded};

/// Makes `key` a copy of `from`, as that was when it was found. It may be `from` itself, for other settings.
pub(crate) async fn copy(
    bucket: &Bucket,
    source: &Source,
    from: &CopySource,
    key: &str,
    uploads: &MultipartUploads,
) -> Result<()> {
    if source.byte_count > bucket.options.copy_byte_count {
        return copy_in_parts(bucket, source, from, key, uploads).await;
    }
    let copying = |tagging: Option<TaggingDirective>| async {
        let request = bucket.client.copy_object().bucket(bucket.name()).key(key);
        let request = request.copy_source(copy_source(bucket, from)).set_copy_source_if_match(from.e_tag.clone());
        // Everything is replaced: the source may have other settings, and reading its tags is a separate right.
        let request = with_options!(request, &bucket.options, &source.sha256).content_type(source.content_type);
        let request = request.metadata_directive(MetadataDirective::Replace).set_tagging_directive(tagging);
        let request = request.customize().config_override(bucket.options.copying(source.byte_count));
        request.send().await.map_err(|error| fault(bucket, Action::Copy, key, &error))
    };
    let response = match copying(Some(TaggingDirective::Replace)).await {
        // Some stores have no tags.
        Err(Error::Request { code: Some(code), .. }) if code == "NotImplemented" && bucket.options.tags.is_empty() => {
            copying(None).await?
        }
        answer => answer?,
    };
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
