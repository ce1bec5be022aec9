//! What can go wrong with a store.

use planforge_types::{Digest, ErrorKind, io_hint};
use std::fmt;
use std::path::PathBuf;

/// Errors of all stores.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An error of the shared parts: I/O or cancellation.
    #[error(transparent)]
    Core(#[from] planforge_core::Error),
    /// A file could not be read, written or linked; the text names the path.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// A file differs from its record.
    #[error("`{}` has changed since it was made: its digest is {found}, recorded is {recorded}", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
        /// Digest in the record.
        recorded: Digest,
        /// Digest now.
        found: Digest,
    },
    /// The address of a store does not parse.
    #[error("store `{url}`: {reason}")]
    StoreUrl {
        /// The address given.
        url: String,
        /// What is wrong and what would be right.
        reason: String,
    },
    /// A kind of store that planforge cannot write to.
    #[error("store `{url}`: scheme `{scheme}` is not supported; use `file:///folder` or `s3://bucket/prefix`")]
    UnsupportedStore {
        /// The address given.
        url: String,
        /// Its scheme.
        scheme: String,
    },
    /// A key or prefix that is not a plain relative one.
    #[error("prefix `{prefix}`: {reason}")]
    Prefix {
        /// The prefix given.
        prefix: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// AWS's standard chain found no credentials, or could not get them.
    #[error("there are no AWS credentials for `{url}`: {reason}")]
    NoCredentials {
        /// The store.
        url: String,
        /// The chain's explanation.
        reason: String,
    },
    /// The store does not accept the credentials: unknown, expired, or with a wrong secret.
    #[error("the AWS credentials for `{url}` were refused ({code}): {reason}")]
    Credentials {
        /// The object or store.
        url: String,
        /// S3's code, such as `ExpiredToken`.
        code: String,
        /// S3's explanation.
        reason: String,
    },
    /// No region is set.
    #[error("no AWS region is known for `{url}`")]
    NoRegion {
        /// The store.
        url: String,
    },
    /// The bucket is in another region.
    #[error("bucket `{bucket}` is in region `{found}`, not in `{used}`")]
    Region {
        /// The bucket.
        bucket: String,
        /// Its region.
        found: String,
        /// The region that was asked.
        used: String,
    },
    /// The bucket does not exist.
    #[error("bucket `{bucket}` does not exist")]
    NoBucket {
        /// The bucket.
        bucket: String,
    },
    /// The credentials do not allow it.
    #[error("{action} `{url}` was denied: {reason}")]
    Denied {
        /// What was tried.
        action: Action,
        /// The object or prefix.
        url: String,
        /// The store's explanation.
        reason: String,
    },
    /// The store failed, or did not answer, also when asked again.
    #[error("{action} `{url}` failed: {reason}")]
    Request {
        /// What was tried.
        action: Action,
        /// The object or prefix.
        url: String,
        /// S3's code where it gave one, such as `SlowDown`.
        code: Option<String>,
        /// Its explanation, or what happened to the connection.
        reason: String,
    },
    /// The store does not have what was sent.
    #[error("`{url}` is not what was sent: {what} is {found} in the store, expected {expected}")]
    Corrupt {
        /// The object.
        url: String,
        /// Of what: "size", "checksum".
        what: &'static str,
        /// In the store.
        found: String,
        /// Here.
        expected: String,
    },
}

/// What a store was asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// List objects.
    List,
    /// List multipart uploads.
    ListUploads,
    /// Return an object's properties.
    Head,
    /// Return an object's content.
    Get,
    /// Write an object, or a part of one.
    Upload,
    /// Make an object a copy of another one.
    Copy,
    /// Delete objects.
    Remove,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::List => "listing",
            Self::ListUploads => "listing the unfinished uploads below",
            Self::Head => "looking at",
            Self::Get => "reading",
            Self::Upload => "uploading",
            Self::Copy => "copying to",
            Self::Remove => "removing",
        })
    }
}

impl Error {
    /// What the error means to the caller.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Core(error) => error.kind(),
            Self::Io(error) => ErrorKind::of_io(error),
            Self::StoreUrl { .. } | Self::UnsupportedStore { .. } | Self::Prefix { .. } => ErrorKind::BadInput,
            Self::NoCredentials { .. } | Self::Credentials { .. } | Self::NoRegion { .. } => ErrorKind::Environment,
            Self::NoBucket { .. } => ErrorKind::NotFound,
            Self::Denied { .. } => ErrorKind::Denied,
            Self::Request { code, .. } if is_transient(code.as_deref()) => ErrorKind::Transient,
            Self::Changed { .. } | Self::Region { .. } | Self::Request { .. } | Self::Corrupt { .. } => {
                ErrorKind::Internal
            }
        }
    }

    /// The next step, where there is one.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Core(error) => error.hint(),
            Self::Io(error) => io_hint(error),
            Self::NoCredentials { .. } => {
                Some("set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; for SSO run `aws sso login`")
            }
            Self::Credentials { .. } => Some(
                "get new ones, for SSO with `aws sso login`, or choose others with AWS_PROFILE; the clock must be right too",
            ),
            Self::NoRegion { .. } => {
                Some("set key `store.region`, AWS_REGION, or `region` in the profile in ~/.aws/config")
            }
            Self::Region { .. } => Some("set key `store.region`, or AWS_REGION, to that region"),
            Self::NoBucket { .. } => Some("create it, or correct key `store.url`; planforge makes no buckets"),
            Self::Denied { .. } => Some(
                "the credentials need s3:ListBucket on the bucket, and s3:GetObject, s3:PutObject, s3:DeleteObject and \
                 s3:AbortMultipartUpload on its objects; to find uploads that were interrupted, \
                 s3:ListBucketMultipartUploads and s3:ListMultipartUploadParts; with `store.tags` s3:PutObjectTagging; \
                 with `store.kms_key` kms:GenerateDataKey and kms:Decrypt",
            ),
            Self::Request { code, .. } if is_transient(code.as_deref()) => {
                Some("run again: what is published stays, and the rest is resumed")
            }
            _ => None,
        }
    }
}

/// Whether what S3 answered, if it answered at all, may be over the next time.
fn is_transient(code: Option<&str>) -> bool {
    let transient = ["InternalError", "OperationAborted", "RequestTimeout", "ServiceUnavailable", "SlowDown"];
    code.is_none_or(|code| transient.contains(&code))
}

/// Result with this crate's error.
pub type Result<T> = std::result::Result<T, Error>;
