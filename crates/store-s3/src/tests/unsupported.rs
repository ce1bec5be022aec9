//! Stores that do not know all of S3: they want `Content-MD5`, or have no checksums, conditions, copies or listings of uploads.

use super::*;
use planforge_core::Checksums;
use std::sync::Mutex;

const NOT_IMPLEMENTED: ProxyFault = ProxyFault::Answer(
    "501 Not Implemented",
    "",
    "<Error><Code>NotImplemented</Code><Message>A header you provided implies functionality that is not implemented</Message></Error>",
);
const NO_TEXT: ProxyFault = ProxyFault::Answer("501 Not Implemented", "", "");
const INVALID: ProxyFault = ProxyFault::Answer(
    "400 Bad Request",
    "",
    "<Error><Code>InvalidArgument</Code><Message>unsupported checksum</Message></Error>",
);
const NO_MD5: ProxyFault = ProxyFault::Answer(
    "400 Bad Request",
    "",
    "<Error><Code>MissingContentMD5</Code><Message>Missing required header for this request: Content-Md5.</Message></Error>",
);

/// A server behind a proxy that answers some requests itself, by their head in lower case.
fn refusing(server: &S3Server, refuse: impl Fn(&str) -> Option<ProxyFault> + Send + Sync + 'static) -> FaultyProxy {
    FaultyProxy::start(&server.address(), move |_, head| refuse(&head.to_lowercase())).unwrap()
}

fn has_checksum(head: &str) -> bool {
    head.contains("x-amz-checksum") || head.contains("x-amz-sdk-checksum") || head.contains("x-amz-trailer")
}

fn is_deletion_of_several(head: &str) -> bool {
    head.starts_with("post") && head.lines().next().unwrap_or_default().contains("?delete")
}

#[test]
fn objects_are_deleted_with_md5_or_one_by_one() {
    let (runtime, server, folder) = (runtime(), S3Server::start(), tempfile::tempdir().unwrap());
    let archive = archive(folder.path(), b"an archive");
    let wants_md5 =
        refusing(&server, |head| (is_deletion_of_several(head) && !head.contains("content-md5: ")).then_some(NO_MD5));
    let deletes_singly = refusing(&server, |head| is_deletion_of_several(head).then_some(NOT_IMPLEMENTED));
    for (proxy, singly) in [(wants_md5, 0), (deletes_singly, 3)] {
        let bucket = bucket(&proxy.address(), small());
        publish(&runtime, &bucket, &archive, 3).unwrap();
        publish(&runtime, &bucket, &archive, 2).unwrap();
        assert_published(&server, b"an archive", 2);
        assert_eq!(unpublish(&runtime, &bucket, false).len(), 2);
        assert_eq!(server.keys("team (a)/"), [""; 0]);
        let log = proxy.log();
        assert_eq!(log.iter().filter(|line| line.starts_with("DELETE")).count(), singly, "{log:?}");
    }
}

#[test]
fn stores_without_checksums_get_md5() {
    let (runtime, server, folder) = (runtime(), S3Server::start(), tempfile::tempdir().unwrap());
    let content = content(21, 11 * MIB);
    let (large, little) =
        (archive(&folder.path().join("l"), &content), archive(&folder.path().join("s"), b"an archive"));
    for fault in [NOT_IMPLEMENTED, INVALID, NO_TEXT] {
        let heads = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&heads);
        let proxy = refusing(&server, move |head| {
            if has_checksum(head) {
                return Some(fault.clone());
            }
            noted.lock().unwrap().push(head.to_owned());
            None
        });
        for (archive, content) in [(&little, &b"an archive"[..]), (&large, &content)] {
            let bucket = bucket(&proxy.address(), small());
            publish(&runtime, &bucket, archive, 3).unwrap();
            assert_published(&server, content, 3);
            assert_eq!(publish(&runtime, &bucket, archive, 2).unwrap().kept, 2);
            assert_eq!(unpublish(&runtime, &bucket, false).len(), 2);
        }
        // Every request with an object's bytes has their MD5, by which the server compares them.
        let heads = std::mem::take(&mut *heads.lock().unwrap());
        let sent = heads.iter().filter(|head| head.starts_with("put") && !head.contains("x-amz-copy-source"));
        let sent: Vec<_> = sent.collect();
        assert!(sent.len() >= 4 && sent.iter().all(|head| head.contains("content-md5: ")), "{sent:?}");
    }
    let refuses = refusing(&server, |head| has_checksum(head).then_some(NOT_IMPLEMENTED));
    let required = S3Options { checksums: Checksums::Required, ..small() };
    let error = publish(&runtime, &bucket(&refuses.address(), required), &little, 1).unwrap_err();
    assert!(error.to_string().contains("implies functionality that is not implemented"), "{error}");
    // With checksums off none is tried.
    let sees = refusing(&server, |head| {
        assert!(!has_checksum(head), "{head}");
        None
    });
    let off = S3Options { checksums: Checksums::Off, ..small() };
    for archive in [&little, &large] {
        let bucket = bucket(&sees.address(), off.clone());
        publish(&runtime, &bucket, archive, 2).unwrap();
        unpublish(&runtime, &bucket, false);
    }
    assert!(sees.faults().is_empty() && !sees.log().is_empty());
}

#[test]
fn a_store_that_lacks_most_passes_the_suite() {
    let (runtime, server, folder) = (runtime(), S3Server::start(), tempfile::tempdir().unwrap());
    let proxy = refusing(&server, |head| {
        let first = head.lines().next().unwrap_or_default();
        let lists_uploads = first.starts_with("get") && first.contains("?uploads");
        let is_conditional = head.contains("if-none-match: ") || head.contains("x-amz-copy-source-if-match: ");
        (has_checksum(head) || lists_uploads || is_conditional || is_deletion_of_several(head))
            .then_some(NOT_IMPLEMENTED)
    });
    let bucket = bucket(&proxy.address(), small());
    runtime.block_on(planforge_store::testing::check_store(&bucket, folder.path(), 11 * MIB)).unwrap();
}

#[test]
fn a_store_that_makes_no_copies_is_sent_each() {
    let (runtime, server, folder) = (runtime(), S3Server::start(), tempfile::tempdir().unwrap());
    let proxy = refusing(&server, |head| head.contains("x-amz-copy-source").then_some(NOT_IMPLEMENTED));
    for content in [b"an archive".to_vec(), content(22, 11 * MIB)] {
        let archive = archive(&folder.path().join(content.len().to_string()), &content);
        publish(&runtime, &bucket(&proxy.address(), small()), &archive, 3).unwrap();
        assert_published(&server, &content, 3);
        assert_eq!(server.unfinished(), [""; 0]);
    }
}

#[test]
fn credentials_that_expire_are_named_where_an_answer_has_no_text() {
    let (runtime, server, folder) = (runtime(), S3Server::start(), tempfile::tempdir().unwrap());
    let archive = archive(folder.path(), b"an archive");
    publish(&runtime, &bucket(&server.address(), small()), &archive, 2).unwrap();
    let expired = "<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>";
    let is_first = AtomicBool::new(true);
    let proxy = refusing(&server, move |head| {
        if is_first.swap(false, Ordering::Relaxed) {
            return None;
        }
        let body = if head.starts_with("head") { "" } else { expired };
        Some(ProxyFault::Answer("400 Bad Request", "", body))
    });
    let error = publish(&runtime, &bucket(&proxy.address(), small()), &archive, 2).unwrap_err();
    assert!(matches!(&error, Error::Store(StoreError::Credentials { code, .. }) if code == "ExpiredToken"), "{error}");
}
