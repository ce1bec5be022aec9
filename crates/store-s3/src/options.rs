//! The settings of a store on S3, and the sizes that uploads and copies are cut into.

use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{Builder, RequestChecksumCalculation, ResponseChecksumValidation};
use aws_sdk_s3::types::{ServerSideEncryption, StorageClass};
use planforge_core::{Checksums, Digest, digest_bytes};
use planforge_store::percent_encoded;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// Metadata with the SHA-256 of an object.
pub(crate) const DIGEST_KEY: &str = "planforge-sha256";
/// Metadata with the short digest of the settings that an object was made with.
pub(crate) const SETTINGS_KEY: &str = "planforge-settings";
const MIB: u64 = 1 << 20;

/// Options of a store on S3.
#[derive(Debug, Clone)]
pub struct S3Options {
    /// Region, before that of AWS's standard chain.
    pub region: Option<String>,
    /// Whether the bucket is named in the path; at endpoints other than AWS's when left out.
    pub path_style: Option<bool>,
    /// Key of AWS KMS to encrypt with.
    pub kms_key: Option<String>,
    /// Storage class.
    pub storage_class: Option<planforge_core::StorageClass>,
    /// Tags of every object.
    pub tags: BTreeMap<String, String>,
    /// Whether uploads carry S3's checksums.
    pub checksums: Checksums,
    /// Longest time for one request, in addition to that for the bytes that it sends, or has copied.
    pub timeout: Duration,
    /// Slowest rate, in bytes a second, at which one of the requests that send bytes is waited for.
    pub slowest_upload: u64,
    /// The same for bytes that the store copies.
    pub slowest_copy: u64,
    /// Uploads, whole or of parts, at once.
    pub connections: usize,
    /// Requests without a large body at once. The store limits them, not the connection: stores that write the bytes of
    /// every copy become slower with more of them (SeaweedFS, on one disk, with 32).
    pub small_requests: usize,
    /// Size of the parts of an upload; archives of up to this size are sent whole.
    pub part_byte_count: u64,
    /// Size of the largest object that the store copies in one request.
    pub copy_byte_count: u64,
    /// Size of the parts of a copy beyond that.
    pub copy_part_byte_count: u64,
}

impl Default for S3Options {
    fn default() -> Self {
        Self {
            region: None,
            path_style: None,
            kms_key: None,
            storage_class: None,
            tags: BTreeMap::new(),
            checksums: Checksums::Auto,
            timeout: Duration::from_secs(300),
            // All connections together: 1 Mbit/s.
            slowest_upload: 16 << 10,
            slowest_copy: 4 * MIB,
            connections: 8,
            small_requests: 16,
            part_byte_count: 16 * MIB,
            // S3's limit for `CopyObject`.
            copy_byte_count: 5 * 1024 * MIB,
            copy_part_byte_count: 512 * MIB,
        }
    }
}

impl S3Options {
    /// Size of parts of an upload: larger than usual where there would be more than S3 takes.
    pub(crate) fn part_size(&self, byte_count: u64) -> u64 {
        const MOST_PARTS: u64 = 10_000;
        self.part_byte_count.max(byte_count.div_ceil(MOST_PARTS))
    }

    /// How many objects of this size are copied at once. Those that are copied in parts have several requests each.
    pub(crate) fn copies_at_once(&self, byte_count: u64) -> usize {
        if byte_count > self.copy_byte_count { self.connections } else { self.small_requests }
    }

    /// Configuration of a request that sends `byte_count` bytes.
    pub(crate) fn sending(&self, byte_count: u64) -> Builder {
        self.waiting(byte_count, self.slowest_upload)
    }

    /// `config` of a request, for which the client computes no checksums of its own, unless the store knows them.
    pub(crate) fn with_checksums(config: Builder, has_checksums: bool) -> Builder {
        if has_checksums {
            return config;
        }
        config
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
    }

    /// Configuration of a request that has `byte_count` bytes copied.
    pub(crate) fn copying(&self, byte_count: u64) -> Builder {
        self.waiting(byte_count, self.slowest_copy)
    }

    fn waiting(&self, byte_count: u64, slowest: u64) -> Builder {
        let allowed = self.timeout + Duration::from_secs(byte_count / slowest.max(1));
        Builder::new().timeout_config(TimeoutConfig::builder().operation_attempt_timeout(allowed).build())
    }

    pub(crate) fn encryption(&self) -> Option<ServerSideEncryption> {
        self.kms_key.as_ref().map(|_| ServerSideEncryption::AwsKms)
    }

    pub(crate) fn class(&self) -> Option<StorageClass> {
        self.storage_class.map(|class| StorageClass::from(class.name()))
    }

    /// The tags as a query, which is how S3 takes them.
    pub(crate) fn tagging(&self) -> Option<String> {
        let escaped = |text: &str| percent_encoded(text).replace('/', "%2F");
        let tags: Vec<_> =
            self.tags.iter().map(|(name, value)| format!("{}={}", escaped(name), escaped(value))).collect();
        (!tags.is_empty()).then(|| tags.join("&"))
    }

    /// A short digest of encryption, storage class and tags; none where none is set. It is recorded with every object, as
    /// S3 shows tags only to those with a separate right to read them, and keys by other names.
    pub(crate) fn settings(&self) -> Option<String> {
        let class = self.storage_class.map(|class| class.name());
        let settings =
            [self.kms_key.as_deref(), class, self.tagging().as_deref()].map(|it| it.unwrap_or("").to_owned());
        settings
            .iter()
            .any(|it| !it.is_empty())
            .then(|| digest_bytes(settings.join("\n").as_bytes()).short().to_owned())
    }

    /// The metadata of an object.
    pub(crate) fn metadata(&self, sha256: &Digest) -> HashMap<String, String> {
        let digest = (DIGEST_KEY.to_owned(), sha256.to_string());
        self.settings().map(|settings| (SETTINGS_KEY.to_owned(), settings)).into_iter().chain([digest]).collect()
    }
}

/// Sets what every new object is given, whether it is uploaded, copied, or made of parts: three builders of the client
/// that have these methods, and no trait, in common.
macro_rules! with_options {
    ($request:expr, $options:expr, $sha256:expr) => {{
        let options: &$crate::S3Options = $options;
        $request
            .set_metadata(Some(options.metadata($sha256)))
            .set_server_side_encryption(options.encryption())
            .set_ssekms_key_id(options.kms_key.clone())
            .set_storage_class(options.class())
            .set_tagging(options.tagging())
    }};
}
pub(crate) use with_options;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_recorded_where_there_are_some() {
        let plain = S3Options::default();
        assert_eq!((plain.settings(), plain.metadata(&digest_bytes(b"")).len()), (None, 1));
        let key = || S3Options { kms_key: Some("alias/models".to_owned()), ..S3Options::default() };
        let tagged = S3Options { tags: [("alias/models".to_owned(), String::new())].into(), ..S3Options::default() };
        let both = S3Options { tags: tagged.tags.clone(), ..key() };
        let recorded = [&key(), &tagged, &both].map(|options| options.settings().unwrap());
        assert!(recorded[0] != recorded[1] && recorded[1] != recorded[2] && recorded[0] != recorded[2], "{recorded:?}");
        assert_eq!(key().settings().as_ref(), key().metadata(&digest_bytes(b"")).get(SETTINGS_KEY));
    }

    #[test]
    fn parts_are_as_many_as_s3_takes_and_tags_a_query() {
        let options = S3Options {
            tags: [("team".to_owned(), "a/b & c".to_owned()), ("x".to_owned(), String::new())].into(),
            ..S3Options::default()
        };
        assert_eq!(options.tagging().unwrap(), "team=a%2Fb%20%26%20c&x=");
        assert_eq!(S3Options::default().tagging(), None);
        assert_eq!(options.part_size(1 << 30), 16 * MIB);
        let large = 5 << 40;
        assert!(large / options.part_size(large) <= 10_000);
    }
}
