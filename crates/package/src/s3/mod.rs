//! Stores on S3, and on servers that speak as S3 does.
//!
//! A model's archive is uploaded once, in parts where it is large; all other copies are made by the store itself. Every
//! object carries the archive's SHA-256 as metadata, by which the next run knows what is there. What the store says of
//! sizes and checksums is compared with the archive, so that a copy that is there is the archive.
//!
//! - <https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html>
//! - <https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html>

mod bucket;
mod connect;
mod copy;
mod fault;
mod options;
mod publish;
mod source;
mod unfinished;
mod upload;

pub use bucket::Bucket;
pub use connect::connect;
pub use options::S3Options;
pub use publish::{publish_to_bucket, unpublish_from_bucket};

#[cfg(test)]
mod tests;
