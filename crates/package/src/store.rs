//! Where copies are published: the address.

use crate::{Error, Result};
use std::path::{Path, PathBuf};

/// An object store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Store {
    /// A folder; objects are files, and copies are hard links where the file system has them.
    Directory(PathBuf),
    /// A bucket of S3, or of a server that speaks as S3 does.
    S3 {
        /// The bucket.
        bucket: String,
        /// Below which keys objects lie, without `/` at either end; may be empty.
        prefix: String,
    },
}

/// Longest key that S3 takes, in bytes.
const LONGEST_KEY: usize = 1024;

impl Store {
    /// The store of an address: `file:///folder`, with `%20` for a space, or `s3://bucket/prefix`, where every
    /// character stands for itself.
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
        match scheme {
            "file" => {}
            "s3" => return parse_bucket(rest).map_err(fault),
            _ => return Err(Error::UnsupportedStore { url: url.to_owned(), scheme: scheme.to_owned() }),
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

    /// Checks that the folder is there, or can be: nothing but folders is on the way to it. Buckets are asked by
    /// [`crate::connect`].
    ///
    /// # Errors
    /// [`Error::StoreUrl`] with what is in the way.
    pub fn check_folder(&self) -> Result<()> {
        let Self::Directory(root) = self else { return Ok(()) };
        match root.ancestors().find(|path| path.symlink_metadata().is_ok()) {
            Some(there) if !there.is_dir() => {
                let reason = format!("`{}` is not a folder", there.display());
                Err(Error::StoreUrl { url: self.url(""), reason })
            }
            _ => Ok(()),
        }
    }

    /// The address of an object or, with a final `/`, of a prefix.
    #[must_use]
    pub fn url(&self, key: &str) -> String {
        match self {
            Self::Directory(root) => {
                let root = root.to_string_lossy();
                format!("file://{}", percent_encoded(&format!("{}/{key}", root.trim_end_matches('/'))))
            }
            Self::S3 { bucket, prefix } => format!("s3://{bucket}/{}", join(prefix, key)),
        }
    }

    /// The folder that the objects of a prefix lie in; none where they are no files.
    #[must_use]
    pub fn folder(&self, prefix: &str) -> Option<PathBuf> {
        match self {
            Self::Directory(root) => Some(below(root, prefix)),
            Self::S3 { .. } => None,
        }
    }
}

/// The folder of a prefix below `root`.
pub(crate) fn below(root: &Path, prefix: &str) -> PathBuf {
    prefix.split('/').filter(|part| !part.is_empty()).fold(root.to_owned(), |folder, part| folder.join(part))
}

/// Two parts of a key with `/` between them, where both say something.
pub(crate) fn join(prefix: &str, key: &str) -> String {
    if prefix.is_empty() { key.to_owned() } else { format!("{prefix}/{key}") }
}

/// What follows `s3:`.
fn parse_bucket(rest: &str) -> std::result::Result<Store, String> {
    let rest = rest.strip_prefix("//").ok_or("give bucket and prefix: `s3://bucket/prefix`")?;
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let is_end = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_name = (3..=63).contains(&bucket.len())
        && bucket.chars().all(|c| is_end(c) || ".-".contains(c))
        && bucket.starts_with(is_end)
        && bucket.ends_with(is_end);
    if !is_name {
        return Err(format!(
            "`{bucket}` is no name of a bucket: use 3 to 63 of a-z 0-9 . -, starting and ending with a letter or digit"
        ));
    }
    let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
    check_prefix(prefix).map_err(|error| error.to_string())?;
    Ok(Store::S3 { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
}

/// Checks that `key` is one that S3 takes.
pub(crate) fn check_key(key: &str) -> Result<()> {
    match key.len() {
        0..=LONGEST_KEY => check_prefix(key),
        _ => Err(Error::Prefix { prefix: key.to_owned(), reason: "with it keys are longer than 1024 bytes" }),
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

/// The path, with everything but unreserved characters and `/` escaped (RFC 3986).
pub(crate) fn percent_encoded(path: &str) -> String {
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
    fn addresses_are_read_and_written() {
        let store = Store::parse("file:///a%20b/c").unwrap();
        assert_eq!(store, Store::Directory(PathBuf::from("/a b/c")));
        assert_eq!(Store::parse("file:/x").unwrap(), Store::parse("file://localhost/x").unwrap());
        assert_eq!(store.url("p/é/"), "file:///a%20b/c/p/%C3%A9/");
        assert_eq!(Store::parse(&store.url("é")).unwrap(), Store::Directory(PathBuf::from("/a b/c/é")));
        assert_eq!(store.folder("p/q").unwrap(), Path::new("/a b/c/p/q"));
    }

    #[test]
    fn what_is_in_the_way_of_a_folder_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let store = |path: &str| Store::Directory(folder.path().join(path));
        store("a/b").check_folder().unwrap();
        fs_err::write(folder.path().join("a"), "").unwrap();
        let message = store("a/b").check_folder().unwrap_err().to_string();
        assert!(message.contains("/a/b/`: `") && message.contains("/a` is not a folder"), "{message}");
        std::os::unix::fs::symlink("nowhere", folder.path().join("dangling")).unwrap();
        assert!(store("dangling").check_folder().is_err());
    }

    #[test]
    fn buckets_are_read_and_written() {
        let store = Store::parse("s3://models-1/team a/50%+é/").unwrap();
        assert_eq!(store, Store::S3 { bucket: "models-1".to_owned(), prefix: "team a/50%+é".to_owned() });
        assert_eq!(store.url("x/"), "s3://models-1/team a/50%+é/x/");
        assert_eq!(Store::parse("s3://models").unwrap().url("x/"), "s3://models/x/");
        assert_eq!(Store::parse("s3://models/").unwrap(), Store::parse("s3://models").unwrap());
        assert_eq!(store.folder(""), None);
        assert!(check_key(&"k".repeat(1024)).is_ok() && check_key(&"k".repeat(1025)).is_err());
    }

    #[test]
    fn other_addresses_are_refused_with_a_hint() {
        let message = |url: &str| Store::parse(url).unwrap_err().to_string();
        assert_eq!(
            message("gs://bucket/x"),
            "store `gs://bucket/x`: scheme `gs` is not supported; use `file:///folder` or `s3://bucket/prefix`"
        );
        for bad in ["s3:bucket", "s3://", "s3:///x", "s3://Bucket", "s3://b", "s3://bucket-/x", "s3://b_cket/x"] {
            assert!(message(bad).starts_with(&format!("store `{bad}`: ")), "{bad}");
        }
        assert!(message("s3://bucket/a/../b").contains("`..`"));
        assert!(message("s3://bucket//a").contains("empty part"));
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
