//! Object stores: the trait [`ObjectStore`], with implementations for folders ([`FileStore`]) and memory ([`MemoryStore`]).
//!
//! A [`StoreUrl`] is the address of a store. Keys are plain relative paths such as `models/bert/a.tar.gz`. What a store
//! must do is tested by `testing::check_store`, which every implementation passes, those of other crates too.

mod address;
mod content;
mod error;
mod file;
mod key;
mod memory;
mod multipart;
mod object;
mod source;
mod store;
#[cfg(feature = "testing")]
pub mod testing;

pub use address::StoreUrl;
pub use content::ObjectContent;
pub use error::{Action, Error, Result};
pub use file::FileStore;
pub use key::{check_key, check_prefix, join, percent_encoded};
pub use memory::MemoryStore;
pub use multipart::{MultipartUpload, MultipartUploads};
pub use object::{
    CopySource, ObjectPage, ObjectProperties, ObjectSummary, PutCondition, PutOptions, PutOutcome, Upload,
};
pub use source::{Part, Source};
pub use store::{ObjectStore, TransferPlan, Uploaded};
