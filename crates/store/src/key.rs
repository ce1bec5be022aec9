//! Keys and prefixes of objects.

use crate::{Error, Result};
use std::path::{Path, PathBuf};

/// Longest key that S3 takes, in bytes.
const LONGEST_KEY: usize = 1024;

/// The folder of a prefix below `root`.
pub(crate) fn below(root: &Path, prefix: &str) -> PathBuf {
    prefix.split('/').filter(|part| !part.is_empty()).fold(root.to_owned(), |folder, part| folder.join(part))
}

/// Two parts of a key with `/` between them, or the one that is not empty.
#[must_use]
pub fn join(prefix: &str, key: &str) -> String {
    if prefix.is_empty() { key.to_owned() } else { format!("{prefix}/{key}") }
}

/// Whether `key` is below `prefix`; every key is below the empty one.
pub(crate) fn contains(prefix: &str, key: &str) -> bool {
    prefix.is_empty() || key.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/'))
}

/// Checks that `key` is one that every store takes.
///
/// # Errors
/// [`Error::Prefix`].
pub fn check_key(key: &str) -> Result<()> {
    match key.len() {
        0..=LONGEST_KEY => check_prefix(key),
        _ => Err(Error::Prefix { prefix: key.to_owned(), reason: "with it keys are longer than 1024 bytes" }),
    }
}

/// Checks that `prefix` is a plain relative one, such as `models/bert`; it may be empty.
///
/// # Errors
/// [`Error::Prefix`].
pub fn check_prefix(prefix: &str) -> Result<()> {
    let fault = |reason| Err(Error::Prefix { prefix: prefix.to_owned(), reason });
    let parts: Vec<&str> = prefix.split('/').collect();
    if prefix.is_empty() {
        return Ok(());
    }
    if prefix.chars().any(|c| c.is_control() || c == '\\') {
        return fault("it has control characters or backslashes");
    }
    if parts.iter().any(|part| part.is_empty()) {
        return fault("it starts or ends with `/`, or has an empty part");
    }
    if parts
        .iter()
        .any(|part| Path::new(part).components().all(|part| !matches!(part, std::path::Component::Normal(_))))
    {
        return fault("it has a part `.` or `..`");
    }
    Ok(())
}

/// The path, with everything but unreserved characters and `/` escaped (RFC 3986).
#[must_use]
pub fn percent_encoded(path: &str) -> String {
    let mut text = String::new();
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_a_longest_length() {
        assert!(check_key(&"k".repeat(1024)).is_ok() && check_key(&"k".repeat(1025)).is_err());
    }

    #[test]
    fn prefixes_stay_in_the_store() {
        check_prefix("").unwrap();
        check_prefix("models/bert-base").unwrap();
        for bad in ["..", "a/../b", "./a", "/a", "a/", "a//b", "a\\b", "a\nb"] {
            assert!(matches!(check_prefix(bad), Err(Error::Prefix { .. })), "{bad:?}");
        }
    }
}
