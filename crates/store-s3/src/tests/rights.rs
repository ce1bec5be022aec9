//! Rights that credentials need not have, and what stores need not know.

use super::*;

const DENIED: ProxyFault = ProxyFault::Answer(
    "403 Forbidden",
    "",
    "<Error><Code>AccessDenied</Code><Message>not authorized</Message></Error>",
);

#[test]
fn uploads_that_cannot_be_listed_are_left_and_all_else_works() {
    let (runtime, server, folder) = (runtime(), S3Server::start(), tempfile::tempdir().unwrap());
    let content = content(15, 6 * MIB);
    let archive = archive(folder.path(), &content);
    let proxy = FaultyProxy::start(&server.address(), |_, head| {
        let first = head.lines().next().unwrap_or_default();
        (first.starts_with("GET") && first.contains("uploads")).then_some(DENIED)
    });
    let bucket = bucket(&proxy.unwrap().address(), small());
    publish(&runtime, &bucket, &archive, 2).unwrap();
    assert_published(&server, &content, 2);
    let removed = unpublish(&runtime, &bucket, false);
    assert_eq!(removed.len(), 2);
    assert_eq!(server.keys("team (a)/"), [""; 0]);
}

#[test]
fn an_upload_whose_parts_cannot_be_listed_starts_again() {
    let (runtime, server, folder) = (runtime(), S3Server::start(), tempfile::tempdir().unwrap());
    let content = content(16, 11 * MIB);
    let archive = archive(folder.path(), &content);
    let straight = bucket(&server.address(), small());
    runtime.block_on(async {
        straight.bucket.client.create_multipart_upload().bucket("models").key(&keys(1)[0]).send().await.unwrap();
    });
    assert_eq!(server.unfinished(), keys(1));
    let proxy = FaultyProxy::start(&server.address(), |_, head| {
        let first = head.lines().next().unwrap_or_default();
        (first.starts_with("GET") && first.contains("uploadId=")).then_some(DENIED)
    });
    let sent = publish(&runtime, &bucket(&proxy.unwrap().address(), small()), &archive, 2).unwrap();
    assert_eq!(sent.written_byte_count, content.len() as u64);
    assert_published(&server, &content, 2);
}

#[test]
fn a_store_without_tags_makes_copies_too() {
    let (runtime, server, folder) = (runtime(), S3Server::start(), tempfile::tempdir().unwrap());
    let content = content(17, MIB);
    let archive = archive(folder.path(), &content);
    let proxy = FaultyProxy::start(&server.address(), |_, head| {
        let text = "<Error><Code>NotImplemented</Code><Message>x-amz-tagging-directive</Message></Error>";
        let asks = head.to_lowercase().contains("x-amz-tagging");
        asks.then_some(ProxyFault::Answer("501 Not Implemented", "", text))
    });
    let address = proxy.unwrap().address();
    publish(&runtime, &bucket(&address, small()), &archive, 3).unwrap();
    assert_published(&server, &content, 3);
    let tagged = S3Options { tags: [("team".to_owned(), "nlp".to_owned())].into(), ..small() };
    let error = publish(&runtime, &bucket(&address, tagged), &archive, 3).unwrap_err();
    assert!(
        matches!(&error, Error::Store(StoreError::Request { code: Some(code), .. }) if code == "NotImplemented"),
        "{error}"
    );
}
