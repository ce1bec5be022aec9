//! Copies that the store makes itself.

use super::bucket::Bucket;
use super::fault::fault;
use super::options::with_options;
use super::source::Source;
use super::unfinished::{Unfinished, Upload};
use super::upload::{CONTENT_TYPE, begin, finish};
use crate::store::percent_encoded;
use crate::{Action, Error, Result};
use aws_sdk_s3::types::{CompletedPart, MetadataDirective, TaggingDirective};
use futures_util::{StreamExt, TryStreamExt, stream};

/// An object that is the archive.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    pub(super) key: String,
    pub(super) e_tag: Option<String>,
    /// Whether it has the key, storage class and tags that are asked for.
    pub(super) is_current: bool,
}

/// Makes `key` a copy of `origin`, as that was when it was looked at. It may be the origin itself, for other settings.
pub(super) async fn copy(
    bucket: &Bucket,
    source: &Source,
    (origin, key): (&Origin, &str),
    unfinished: &Unfinished,
) -> Result<()> {
    if source.byte_count > bucket.options.copy_byte_count {
        return copy_in_parts(bucket, source, (origin, key), unfinished).await;
    }
    let copying = |tagging: Option<TaggingDirective>| async {
        let request = bucket.client.copy_object().bucket(bucket.name()).key(key);
        let request = request.copy_source(copy_source(bucket, origin)).set_copy_source_if_match(origin.e_tag.clone());
        // All is given anew: the origin may have other settings, and nobody needs the right to read its tags.
        let request = with_options!(request, &bucket.options, &source.sha256).content_type(CONTENT_TYPE);
        let request = request.metadata_directive(MetadataDirective::Replace).set_tagging_directive(tagging);
        let request = request.customize().config_override(bucket.options.copying(source.byte_count));
        request.send().await.map_err(|error| fault(bucket, Action::Copy, key, &error))
    };
    let answer = match copying(Some(TaggingDirective::Replace)).await {
        // Some stores have no tags.
        Err(Error::Request { code: Some(code), .. }) if code == "NotImplemented" && bucket.options.tags.is_empty() => {
            copying(None).await?
        }
        answer => answer?,
    };
    let checksum = answer.copy_object_result().and_then(|result| result.checksum_sha256());
    bucket.confirm(key, source, checksum).await
}

/// A copy of what is too large for one request.
async fn copy_in_parts(
    bucket: &Bucket,
    source: &Source,
    (origin, key): (&Origin, &str),
    unfinished: &Unfinished,
) -> Result<()> {
    let upload = begin(bucket, source, key).await?;
    unfinished.add(&upload);
    let size = bucket.options.copy_part_byte_count.max(bucket.options.part_size(source.byte_count));
    let count = i32::try_from(source.byte_count.div_ceil(size)).unwrap_or(i32::MAX);
    let copying = stream::iter(1..=count).map(|number| {
        let first = u64::from(number.unsigned_abs() - 1) * size;
        let last = (first + size).min(source.byte_count) - 1;
        copy_part(bucket, (origin, &upload), number, (first, last))
    });
    let mut parts: Vec<_> = copying.buffer_unordered(bucket.options.connections).try_collect().await?;
    parts.sort_by_key(CompletedPart::part_number);
    finish(bucket, source, &upload, parts).await?;
    unfinished.finished(&upload);
    Ok(())
}

async fn copy_part(
    bucket: &Bucket,
    (origin, upload): (&Origin, &Upload),
    number: i32,
    (first, last): (u64, u64),
) -> Result<CompletedPart> {
    let Upload { key, id } = upload;
    let request = bucket.client.upload_part_copy().bucket(bucket.name()).key(key).upload_id(id).part_number(number);
    let request = request.copy_source(copy_source(bucket, origin)).copy_source_range(format!("bytes={first}-{last}"));
    let request = request.set_copy_source_if_match(origin.e_tag.clone());
    let request = request.customize().config_override(bucket.options.copying(last - first + 1));
    let answer = request.send().await.map_err(|error| fault(bucket, Action::Copy, key, &error))?;
    let result = answer.copy_part_result();
    Ok(CompletedPart::builder()
        .part_number(number)
        .set_e_tag(result.and_then(|result| result.e_tag()).map(str::to_owned))
        .set_checksum_sha256(result.and_then(|result| result.checksum_sha256()).map(str::to_owned))
        .build())
}

fn copy_source(bucket: &Bucket, origin: &Origin) -> String {
    percent_encoded(&format!("{}/{}", bucket.name(), origin.key))
}
