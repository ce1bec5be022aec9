//! Errors of libtorch.

use crate::Error;
use tch::TchError;

/// An error with libtorch's message, without the addresses in its library that follow.
pub(super) fn failed(subject: &str, error: &TchError) -> Error {
    let message = error.to_string();
    let message = message.split("Exception raised from").next().unwrap_or_default();
    let words: Vec<&str> = message.split_whitespace().collect();
    Error::Torch { subject: subject.to_owned(), message: words.join(" ") }
}
