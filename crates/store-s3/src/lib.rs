//! Stores on S3, and on servers with S3's interface, on AWS's SDK.
//!
//! A file is uploaded once, in parts where it is large; the store itself makes copies of it. Every object carries the
//! SHA-256 of its content as metadata, by which the next run knows what is there. Sizes and checksums that the store
//! reports are compared with the file.
//!
//! - <https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html>
//! - <https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html>

mod bucket;
mod checksum;
mod connect;
mod copy;
mod credentials;
mod fault;
mod multipart;
mod options;
mod read;
mod requests;
mod store;
mod unsupported;
mod upload;

pub use connect::connect;
pub use options::S3Options;
pub use store::S3Store;

#[cfg(test)]
mod tests;
