//! The settings of objects: key of KMS, storage class, tags.

use super::*;
use planforge_core::StorageClass;
use std::sync::Mutex;

#[test]
fn existing_objects_get_new_settings_without_being_sent_again() {
    let (runtime, server, folder) = (runtime(), S3Server::start(), tempfile::tempdir().unwrap());
    let proxy = FaultyProxy::start(&server.address(), |_, _| None).unwrap();
    let tagged = |team: &str| S3Options { tags: [("team".to_owned(), team.to_owned())].into(), ..small() };
    let class = S3Options { storage_class: Some(StorageClass::StandardIa), ..tagged("vision") };
    let in_parts = S3Options { copy_byte_count: 6 * MIB as u64, copy_part_byte_count: 5 * MIB as u64, ..tagged("nlp") };
    let content = content(10, 11 * MIB);
    let archive = archive(folder.path(), &content);
    publish(&runtime, &bucket(&proxy.address(), small()), &archive, 3).unwrap();
    let sent = proxy.body_byte_count();
    for (options, tag, class) in [
        (tagged("nlp"), Some("nlp"), None),
        (class, Some("vision"), Some("standard_ia")),
        (in_parts, Some("nlp"), None),
        (small(), None, None),
    ] {
        let bucket = bucket(&proxy.address(), options);
        let changed = publish(&runtime, &bucket, &archive, 3).unwrap();
        assert_eq!((changed.kept, changed.written_byte_count), (0, 0));
        assert_published(&server, &content, 3);
        for key in keys(3) {
            let properties = server.properties(&key);
            let found = properties.split_once("<Value>").and_then(|(_, rest)| rest.split_once("</Value>"));
            assert_eq!(found.map(|(value, _)| value), tag, "{properties}");
            let found = properties.split_once("x-amz-storage-class: ").and_then(|(_, rest)| rest.lines().next());
            assert_eq!(found.filter(|class| *class != "standard"), class, "{properties}");
            assert!(properties.contains("content-type: application/gzip"), "{properties}");
        }
        assert_eq!(publish(&runtime, &bucket, &archive, 3).unwrap().kept, 3, "now they stay");
    }
    assert!((proxy.body_byte_count() - sent) < 40_000, "nothing is sent again");
}

#[test]
fn every_object_is_encrypted_with_the_configured_key() {
    let (runtime, server, folder) = (runtime(), S3Server::start(), tempfile::tempdir().unwrap());
    let denied =
        "<Error><Code>AccessDenied</Code><Message>not authorized to perform: kms:GenerateDataKey</Message></Error>";
    // The server has no keys of KMS: requests that make objects are noted and denied, others go on to it.
    let heads = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&heads);
    let proxy = FaultyProxy::start(&server.address(), move |_, head| {
        if head.starts_with("GET") || head.starts_with("HEAD") {
            return None;
        }
        noted.lock().unwrap().push(head.to_lowercase());
        Some(ProxyFault::Answer("403 Forbidden", "", denied))
    });
    let options = S3Options { kms_key: Some("alias/models".to_owned()), ..small() };
    let (straight, encrypted) = (bucket(&server.address(), small()), bucket(&proxy.unwrap().address(), options));
    let small = archive(&folder.path().join("small"), b"an archive");
    let large = archive(&folder.path().join("large"), &content(9, 11 * MIB));
    publish(&runtime, &straight, &small, 1).unwrap();
    for (archive, copies, request) in [(&small, 2, "x-id=copyobject"), (&large, 1, "?uploads")] {
        let error = publish(&runtime, &encrypted, archive, copies).unwrap_err();
        assert!(
            matches!(&error, Error::Store(StoreError::Denied { reason, .. }) if reason.contains("kms:GenerateDataKey")),
            "{error}"
        );
        let heads = std::mem::take(&mut *heads.lock().unwrap());
        assert!(heads.iter().any(|head| head.contains(request)), "{heads:?}");
        for head in heads {
            let has = |header| head.contains(&format!("x-amz-server-side-encryption{header}\r\n"));
            assert!(has(": aws:kms") && has("-aws-kms-key-id: alias/models"), "{head}");
        }
    }
    unpublish(&runtime, &straight, false);
    publish(&runtime, &encrypted, &small, 1).unwrap_err();
    let head = heads.lock().unwrap().remove(0);
    assert!(head.contains("x-id=putobject") && head.contains("aws-kms-key-id: alias/models"), "{head}");
}
