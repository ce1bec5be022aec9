//! Where copies are published.

use crate::{Error, Result};
use std::path::{Path, PathBuf};

/// An object store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Store {
    /// A folder; objects are files, and copies are hard links where the file system has them.
    Directory(PathBuf),
}

impl Store {
    /// The store of an address: `file:///folder`, with `%20` for a space.
    ///
    /// # Errors
    /// [`Error::UnsupportedStore`] for other schemes, [`Error::StoreUrl`] for what is no such address.
    pub fn parse(url: &str) -> Result<Self> {
        let fault = |reason: String| Error::StoreUrl { url: url.to_owned(), reason };
        let Some((scheme, rest)) = url.split_once(':') else {
            return Err(fault(format!(
                "give an address with a scheme, such as `file:///{}`",
                url.trim_start_matches('/')
            )));
        };
        if scheme != "file" {
            return Err(Error::UnsupportedStore { url: url.to_owned(), scheme: scheme.to_owned() });
        }
        let path = match rest.strip_prefix("//") {
            Some(rest) => rest.strip_prefix("localhost").unwrap_or(rest),
            None => rest,
        };
        if !path.starts_with('/') {
            return Err(fault("give the folder as an absolute path: `file:///folder`".to_owned()));
        }
        let path = percent_decoded(path).map_err(fault)?;
        Ok(Self::Directory(PathBuf::from(path)))
    }

    /// The address of an object or, with a final `/`, of a prefix.
    #[must_use]
    pub fn url(&self, key: &str) -> String {
        let Self::Directory(root) = self;
        let root = root.to_string_lossy();
        percent_encoded(&format!("{}/{key}", root.trim_end_matches('/')))
    }

    /// The folder that the objects of a prefix lie in.
    #[must_use]
    pub fn folder(&self, prefix: &str) -> PathBuf {
        let Self::Directory(root) = self;
        prefix.split('/').filter(|part| !part.is_empty()).fold(root.clone(), |folder, part| folder.join(part))
    }
}

/// Checks that `prefix` is a plain relative one, such as `models/bert`; it may be empty.
pub(crate) fn check_prefix(prefix: &str) -> Result<()> {
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

fn percent_decoded(text: &str) -> std::result::Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let digits = rest.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits.filter(|digits| digits.chars().all(|c| c.is_ascii_hexdigit()));
        let byte = byte.and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(|byte| *byte != 0);
        bytes.push(byte.ok_or("`%` must be followed by two hexadecimal digits other than `00`")?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).map_err(|_| "the path is not UTF-8".to_owned())
}

/// `file://` and the path, with everything but unreserved characters and `/` escaped (RFC 3986).
fn percent_encoded(path: &str) -> String {
    let mut url = "file://".to_owned();
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) {
            url.push(char::from(byte));
        } else {
            url.push_str(&format!("%{byte:02X}"));
        }
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written() {
        let store = Store::parse("file:///a%20b/c").unwrap();
        assert_eq!(store, Store::Directory(PathBuf::from("/a b/c")));
        assert_eq!(Store::parse("file:/x").unwrap(), Store::parse("file://localhost/x").unwrap());
        assert_eq!(store.url("p/é/"), "file:///a%20b/c/p/%C3%A9/");
        assert_eq!(Store::parse(&store.url("é")).unwrap(), Store::Directory(PathBuf::from("/a b/c/é")));
        assert_eq!(store.folder("p/q"), Path::new("/a b/c/p/q"));
    }

    #[test]
    fn other_addresses_are_refused_with_a_hint() {
        let message = |url: &str| Store::parse(url).unwrap_err().to_string();
        assert_eq!(
            message("s3://bucket/x"),
            "store `s3://bucket/x`: scheme `s3` is not supported yet; use `file:///folder`"
        );
        assert!(message("some/folder").contains("such as `file:///some/folder`"));
        assert!(message("file://folder").contains("`file:///folder`"));
        assert!(message("file:folder").contains("absolute"));
        assert!(message("file:///a%2").contains("two hexadecimal digits"));
        assert!(message("file:///a%00").contains("two hexadecimal digits"));
        assert!(message("file:///%ff").contains("UTF-8"));
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
