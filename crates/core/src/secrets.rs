//! Secrets in URLs, which no output may show.

use std::borrow::Cow;

/// Keys of a URL's query whose values are credentials: of presigned URLs of S3, CloudFront and Azure, and of tokens.
const SECRET_KEYS: [&str; 9] = [
    "access_token",
    "key-pair-id",
    "policy",
    "sig",
    "signature",
    "token",
    "x-amz-credential",
    "x-amz-security-token",
    "x-amz-signature",
];
/// What stands in their place.
const MASK: &str = "***";

/// `text` with `***` for user and password of each URL in it, and for values of its query that are credentials.
#[must_use]
pub fn mask_secrets(text: &str) -> Cow<'_, str> {
    if !text.contains("://") {
        return Cow::Borrowed(text);
    }
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("://") {
        let (before, url) = rest.split_at(start + 3);
        let (url, after) = url.split_at(url.find(ends_url).unwrap_or(url.len()));
        masked += before;
        mask_url(url, &mut masked);
        rest = after;
    }
    masked += rest;
    Cow::Owned(masked)
}

fn ends_url(character: char) -> bool {
    character.is_whitespace() || character.is_control() || "`\"'<>|\\".contains(character)
}

/// Appends what follows the scheme of a URL.
fn mask_url(url: &str, masked: &mut String) {
    let (authority, path) = url.split_at(url.find(['/', '?', '#']).unwrap_or(url.len()));
    match authority.rsplit_once('@') {
        Some((_, host)) => *masked += &format!("{MASK}@{host}"),
        None => *masked += authority,
    }
    let Some((path, query)) = path.split_once('?') else {
        *masked += path;
        return;
    };
    *masked += path;
    let mut separator = '?';
    for pair in query.split('&') {
        masked.push(separator);
        separator = '&';
        match pair.split_once('=') {
            // In HTML, `&` is `&amp;`.
            Some((key, _)) if SECRET_KEYS.contains(&key.trim_start_matches("amp;").to_lowercase().as_str()) => {
                *masked += &format!("{key}={MASK}");
            }
            _ => *masked += pair,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_passwords_and_signatures_are_masked() {
        for (text, expected) in [
            ("no URL: a@b", "no URL: a@b"),
            ("`https://user:pa:ss@host:8/p@th` failed", "`https://***@host:8/p@th` failed"),
            ("http://user@host", "http://***@host"),
            (
                "https://a/b?X-Amz-Signature=abc&x=1, https://c?token=t#x",
                "https://a/b?X-Amz-Signature=***&x=1, https://c?token=***",
            ),
            ("{\"url\":\"http://u:p@h/?a=b\"}", "{\"url\":\"http://***@h/?a=b\"}"),
            ("<a href=\"s://h?a=1&amp;sig=x\">", "<a href=\"s://h?a=1&amp;sig=***\">"),
            ("s3://bucket/prefix file:///a/b@c", "s3://bucket/prefix file:///a/b@c"),
        ] {
            assert_eq!(mask_secrets(text), expected);
        }
    }
}
