//! What headers of the Hub and of its mirrors mean.

use crate::listing::Blob;
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderMap, LINK, RETRY_AFTER};
use reqwest::{StatusCode, Url};
use std::time::{Duration, SystemTime};

/// The page after `current` of a listing, asked of the endpoint: a mirror may pass on links to the Hub itself, or to a path that
/// is not below its own.
pub(crate) fn next_page(headers: &HeaderMap, current: &Url, endpoint: &Url) -> Option<Url> {
    let target = headers.get_all(LINK).iter().filter_map(|link| link.to_str().ok()).find_map(next_target)?;
    let url = current.join(target).ok()?;
    let base = endpoint.path().trim_end_matches('/');
    let is_below = url.path().strip_prefix(base).is_some_and(|rest| rest.starts_with('/'));
    if url.origin() == endpoint.origin() && is_below {
        return Some(url);
    }
    let mut own = current.clone();
    if let Some(start) = url.path().find("/api/") {
        own = endpoint.clone();
        own.set_path(&format!("{base}{}", &url.path()[start..]));
    }
    own.set_query(url.query());
    Some(own)
}

/// The target of the link `next` (RFC 8288).
fn next_target(mut links: &str) -> Option<&str> {
    while let Some((_, rest)) = links.split_once('<') {
        let (target, rest) = rest.split_once('>')?;
        let parameters = rest.split('<').next().unwrap_or_default();
        let is_next =
            parameters.split([';', ',']).filter_map(|parameter| parameter.split_once('=')).any(|(key, value)| {
                let mut relations = value.trim().trim_matches('"').split_whitespace();
                key.trim().eq_ignore_ascii_case("rel")
                    && relations.any(|relation| relation.eq_ignore_ascii_case("next"))
            });
        if is_next {
            return Some(target);
        }
        links = rest;
    }
    None
}

/// The pause that a server asks for: `Retry-After` in seconds or as a date; of a server that counts requests, the rest of the
/// window in `RateLimit`.
pub(crate) fn requested_pause(headers: &HeaderMap, status: StatusCode) -> Option<Duration> {
    if let Some(text) = text(headers, RETRY_AFTER.as_str()) {
        if let Ok(seconds) = text.trim().parse() {
            return Some(Duration::from_secs(seconds));
        }
        let until = httpdate::parse_http_date(text.trim()).ok();
        return until.map(|until| until.duration_since(SystemTime::now()).unwrap_or_default());
    }
    let limit = text(headers, "ratelimit").filter(|_| status == StatusCode::TOO_MANY_REQUESTS)?;
    let seconds = limit.split(';').find_map(|part| part.trim().strip_prefix("t=")?.parse().ok());
    seconds.map(Duration::from_secs)
}

/// The digest or name of a file's bytes. `X-Linked-Etag` is that of a file outside git, from wherever its bytes come; an `ETag`
/// may be weak, and that of a redirection counts, as it is the Hub's.
pub(crate) fn blob(headers: &HeaderMap, path: &str) -> Option<Blob> {
    let tag = text(headers, "x-linked-etag").or_else(|| text(headers, ETAG.as_str()))?.trim();
    let tag = tag.strip_prefix("W/").unwrap_or(tag).trim_matches('"');
    if tag.is_empty() { None } else { Some(Blob::parse(tag).unwrap_or_else(|| Blob::unverified(tag, path))) }
}

/// The size of a file: of one outside git, of one that comes with this answer, or of one of which a range does.
pub(crate) fn byte_count(headers: &HeaderMap, status: StatusCode) -> Option<u64> {
    let linked = text(headers, "x-linked-size").and_then(|size| size.parse().ok());
    linked.or_else(|| match status {
        StatusCode::PARTIAL_CONTENT => text(headers, CONTENT_RANGE.as_str())?.rsplit('/').next()?.parse().ok(),
        // That of a redirection is the length of its own text.
        status if status.is_success() => text(headers, CONTENT_LENGTH.as_str())?.parse().ok(),
        _ => None,
    })
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::HeaderValue;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_str(value).unwrap())).collect()
    }

    #[test]
    fn the_next_page_is_asked_of_the_endpoint() {
        let next = |endpoint: &str, link: &str| {
            let endpoint = Url::parse(endpoint).unwrap();
            let current = format!("{}/api/models/o/n/tree/c?recursive=true", endpoint.as_str().trim_end_matches('/'));
            let current = Url::parse(&current).unwrap();
            next_page(&headers(&[("link", link)]), &current, &endpoint).map(|url| url.to_string())
        };
        let query = "recursive=true&cursor=a,b%3D";
        for (endpoint, base) in [
            ("https://huggingface.co", "https://huggingface.co"),
            ("http://mirror:8080", "http://mirror:8080"),
            ("https://mirror/x/hf/", "https://mirror/x/hf"),
        ] {
            let expected = Some(format!("{base}/api/models/o/n/tree/c?{query}"));
            for link in [
                format!("<https://huggingface.co/api/models/o/n/tree/c?{query}>; rel=\"next\""),
                format!("<http://huggingface.co/api/models/o/n/tree/c?{query}>; rel=next"),
                format!("<{base}/api/models/o/n/tree/c?{query}>; title=\"x\"; REL=\"last next\""),
                format!("</api/models/o/n/tree/c?{query}>;rel=\"next\""),
                format!("<?{query}>; rel=\"next\""),
                format!("<https://elsewhere/tree?{query}>; rel=\"next\""),
                format!("<https://huggingface.co/first?a=b>; rel=\"first\", <?{query}>; rel=\"next\""),
            ] {
                assert_eq!(next(endpoint, &link), expected, "{endpoint} {link}");
            }
        }
        for link in ["", "<https://huggingface.co/api>; rel=\"prev\"", "<x", "; rel=\"next\""] {
            assert_eq!(next("https://mirror", link), None, "{link}");
        }
    }

    #[test]
    fn pauses_are_seconds_dates_and_the_rest_of_a_window() {
        let pause =
            |status: StatusCode, name: &'static str, value: &str| requested_pause(&headers(&[(name, value)]), status);
        let busy = StatusCode::TOO_MANY_REQUESTS;
        assert_eq!(pause(busy, "retry-after", "7"), Some(Duration::from_secs(7)));
        let soon = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(60));
        let found = pause(StatusCode::SERVICE_UNAVAILABLE, "retry-after", &soon).unwrap();
        assert!((50..=60).contains(&found.as_secs()), "{found:?}");
        assert_eq!(pause(busy, "retry-after", "Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        assert_eq!(pause(busy, "retry-after", "soon"), None);
        assert_eq!(pause(busy, "ratelimit", "\"api\";r=0;t=55"), Some(Duration::from_secs(55)));
        assert_eq!(pause(StatusCode::OK, "ratelimit", "\"api\";r=0;t=55"), None);
    }

    #[test]
    fn digests_and_sizes_are_those_of_the_file() {
        let (sha256, object) = ("a".repeat(64), "b".repeat(40));
        let quoted = |text: &str| format!("\"{text}\"");
        let found = blob(&headers(&[("etag", "\"x\""), ("x-linked-etag", &quoted(&sha256))]), "p");
        assert_eq!(found, Some(Blob::Sha256(sha256)));
        assert_eq!(blob(&headers(&[("etag", &format!("W/{}", quoted(&object)))]), "p"), Some(Blob::Git(object)));
        let [one, other] = ["p", "q"].map(|path| blob(&headers(&[("etag", "\"../5f-1\"")]), path).unwrap());
        assert!(one != other && matches!(&one, Blob::Unverified(name) if name.starts_with("5f-1-")), "{one:?}");
        assert_eq!(blob(&headers(&[]), "p"), None);
        let sizes = headers(&[("content-length", "9"), ("content-range", "bytes 0-0/77")]);
        assert_eq!(byte_count(&sizes, StatusCode::OK), Some(9));
        assert_eq!(byte_count(&sizes, StatusCode::PARTIAL_CONTENT), Some(77));
        assert_eq!(byte_count(&sizes, StatusCode::FOUND), None);
        assert_eq!(byte_count(&headers(&[("x-linked-size", "5")]), StatusCode::FOUND), Some(5));
    }
}
