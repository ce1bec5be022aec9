//! Hub repository to verified local snapshot.
//!
//! Downloads go through the standard Hugging Face cache, which Python's `huggingface_hub` shares.

mod error;
mod fetch;
mod select;
mod snapshot;

pub use error::{Error, Result};
pub use fetch::{FetchOptions, Token, fetch};
pub use snapshot::local_snapshot;
