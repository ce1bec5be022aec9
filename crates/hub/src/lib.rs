//! Hub repository to verified local snapshot.
//!
//! Downloads go through the standard Hugging Face cache, which Python's `huggingface_hub` shares.

mod cache;
mod card;
mod client;
mod download;
mod error;
mod fetch;
mod graph;
mod headers;
mod heads;
mod listing;
mod named;
mod options;
mod path;
mod retry;
mod select;
mod snapshot;
#[cfg(test)]
mod tests;
mod unusable;

pub use card::model_card;
pub use error::{Error, Result};
pub use fetch::fetch;
pub use options::{FetchOptions, Token, Transfer};
pub use snapshot::local_snapshot;
