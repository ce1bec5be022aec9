//! Addresses of stores.

use crate::key::{below, check_prefix, join, percent_encoded};
use crate::{Error, Result};
use std::path::PathBuf;

/// The address of an object store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// A folder; objects are files, and copies are hard links where the file system has them.
    Directory(PathBuf),
    /// A bucket of S3, or of a server that speaks as S3 does.
    S3 {
        /// The bucket.
        bucket: String,
        /// Prefix of all keys, without `/` at either end; may be empty.
        prefix: String,
    },
}

impl StoreUrl {
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
    /// whoever opens them.
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

    /// The folder of a prefix; none where objects are not files.
    #[must_use]
    pub fn folder(&self, prefix: &str) -> Option<PathBuf> {
        match self {
            Self::Directory(root) => Some(below(root, prefix)),
            Self::S3 { .. } => None,
        }
    }
}

/// What follows `s3:`.
fn parse_bucket(rest: &str) -> std::result::Result<StoreUrl, String> {
    let rest = rest.strip_prefix("//").ok_or("give bucket and prefix: `s3://bucket/prefix`")?;
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let is_end = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_name = (3..=63).contains(&bucket.len())
        && bucket.chars().all(|c| is_end(c) || ".-".contains(c))
        && bucket.starts_with(is_end)
        && bucket.ends_with(is_end);
    if !is_name {
        return Err(format!(
            "invalid bucket name `{bucket}`; expected 3 to 63 of a-z 0-9 . -, starting and ending with a letter or digit"
        ));
    }
    let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
    check_prefix(prefix).map_err(|error| error.to_string())?;
    Ok(StoreUrl::S3 { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn addresses_are_read_and_written() {
        let store = StoreUrl::parse("file:///a%20b/c").unwrap();
        assert_eq!(store, StoreUrl::Directory(PathBuf::from("/a b/c")));
        assert_eq!(StoreUrl::parse("file:/x").unwrap(), StoreUrl::parse("file://localhost/x").unwrap());
        assert_eq!(store.url("p/é/"), "file:///a%20b/c/p/%C3%A9/");
        assert_eq!(StoreUrl::parse(&store.url("é")).unwrap(), StoreUrl::Directory(PathBuf::from("/a b/c/é")));
        assert_eq!(store.folder("p/q").unwrap(), Path::new("/a b/c/p/q"));
    }

    #[test]
    fn a_file_in_the_way_of_a_folder_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let store = |path: &str| StoreUrl::Directory(folder.path().join(path));
        store("a/b").check_folder().unwrap();
        fs_err::write(folder.path().join("a"), "").unwrap();
        let message = store("a/b").check_folder().unwrap_err().to_string();
        assert!(message.contains("/a/b/`: `") && message.contains("/a` is not a folder"), "{message}");
        std::os::unix::fs::symlink("nowhere", folder.path().join("dangling")).unwrap();
        assert!(store("dangling").check_folder().is_err());
    }

    #[test]
    fn buckets_are_read_and_written() {
        let store = StoreUrl::parse("s3://models-1/team a/50%+é/").unwrap();
        assert_eq!(store, StoreUrl::S3 { bucket: "models-1".to_owned(), prefix: "team a/50%+é".to_owned() });
        assert_eq!(store.url("x/"), "s3://models-1/team a/50%+é/x/");
        assert_eq!(StoreUrl::parse("s3://models").unwrap().url("x/"), "s3://models/x/");
        assert_eq!(StoreUrl::parse("s3://models/").unwrap(), StoreUrl::parse("s3://models").unwrap());
        assert_eq!(store.folder(""), None);
    }

    #[test]
    fn other_addresses_are_refused_with_a_hint() {
        let message = |url: &str| StoreUrl::parse(url).unwrap_err().to_string();
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
}
