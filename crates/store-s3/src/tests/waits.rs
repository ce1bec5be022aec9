//! Lines and servers that are slow, and what others do meanwhile.

use super::*;
use std::sync::Mutex;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn requests_with_many_bytes_have_longer_timeouts() {
    let (runtime, server, folder) = (runtime(), S3Server::start(), tempfile::tempdir().unwrap());
    let content = content(11, 11 * MIB);
    let archive = archive(folder.path(), &content);
    let delayed = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&delayed);
    let proxy = FaultyProxy::start(&server.address(), move |_, head| {
        let is_large = head.starts_with("PUT") && ["partNumber", "x-id=CopyObject"].iter().any(|it| head.contains(it));
        is_large.then(|| {
            count.fetch_add(1, Ordering::Relaxed);
            ProxyFault::Delay(2 * SECOND)
        })
    });
    let mib = MIB as u64;
    // 33 s for the smallest part: a delayed request is never late, however slow this machine is.
    let options = S3Options { timeout: SECOND, slowest_upload: mib / 32, slowest_copy: mib / 4, ..small() };
    publish(&runtime, &bucket(&proxy.unwrap().address(), options), &archive, 2).unwrap();
    assert_published(&server, &content, 2);
    assert_eq!(delayed.load(Ordering::Relaxed), 4, "three parts and a copy, none of them tried twice");
    assert_eq!(S3Options::default().copies_at_once(mib), 16);
    assert_eq!(S3Options::default().copies_at_once(6 << 30), 8);
}

#[test]
fn a_server_that_begins_a_response_and_then_works_does_not_time_out() {
    let (runtime, server, folder) = (runtime(), S3Server::start(), tempfile::tempdir().unwrap());
    let content = content(12, 11 * MIB);
    let archive = archive(folder.path(), &content);
    let slow = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&slow);
    let proxy = FaultyProxy::start(&server.address(), move |_, head| {
        let is_copied_part = head.contains("x-amz-copy-source-range");
        let is_first = is_copied_part && count.fetch_add(1, Ordering::Relaxed) == 0;
        is_first.then_some(ProxyFault::SlowAnswer(8 * SECOND))
    });
    let mib = MIB as u64;
    let options = S3Options { copy_byte_count: 6 * mib, copy_part_byte_count: 6 * mib, ..small() };
    publish(&runtime, &bucket(&proxy.unwrap().address(), options), &archive, 2).unwrap();
    assert_published(&server, &content, 2);
    assert_eq!(slow.load(Ordering::Relaxed), 2, "two parts, neither of them tried twice");
}

#[test]
fn an_upload_that_another_run_aborts_starts_again() {
    let (runtime, server, folder) = (runtime(), S3Server::start(), tempfile::tempdir().unwrap());
    let content = content(13, 11 * MIB);
    let archive = archive(folder.path(), &content);
    let straight = Mutex::new((super::runtime(), bucket(&server.address(), small())));
    let parts = AtomicU64::new(0);
    let proxy = FaultyProxy::start(&server.address(), move |_, head| {
        if head.contains("partNumber=") && parts.fetch_add(1, Ordering::Relaxed) == 1 {
            let (runtime, other) = &*straight.lock().unwrap();
            runtime.block_on(async {
                for upload in other.list_multipart_uploads("tiny/onnx-fp32").await.unwrap() {
                    other.abort_multipart_upload(&upload).await.unwrap();
                }
            });
        }
        None
    });
    let one_by_one = S3Options { connections: 1, ..small() };
    publish(&runtime, &bucket(&proxy.unwrap().address(), one_by_one), &archive, 2).unwrap();
    assert_published(&server, &content, 2);
}

#[test]
fn copies_that_were_moved_to_an_archive_class_are_made_again() {
    let (runtime, server, folder) = (runtime(), S3Server::start(), tempfile::tempdir().unwrap());
    let content = content(14, 6 * MIB);
    let archive = archive(folder.path(), &content);
    let bucket = bucket(&server.address(), small());
    publish(&runtime, &bucket, &archive, 3).unwrap();
    let move_to_archive = |key: &str| {
        runtime.block_on(async {
            let moved =
                bucket.bucket.client.copy_object().bucket("models").key(key).copy_source(format!("models/{key}"));
            let moved = moved.metadata(super::super::options::DIGEST_KEY, archive.record.sha256.as_str());
            let moved = moved.metadata_directive(aws_sdk_s3::types::MetadataDirective::Replace);
            moved.storage_class(aws_sdk_s3::types::StorageClass::Glacier).send().await.unwrap();
        });
        assert!(server.properties(key).contains("x-amz-storage-class: glacier"), "{}", server.properties(key));
    };
    let keys = keys(3);
    move_to_archive(&keys[0]);
    let again = publish(&runtime, &bucket, &archive, 3).unwrap();
    assert_eq!((again.kept, again.written_byte_count), (2, 0), "another copy is the origin");
    keys.iter().for_each(|key| move_to_archive(key));
    let anew = publish(&runtime, &bucket, &archive, 3).unwrap();
    assert_eq!((anew.kept, anew.written_byte_count), (0, content.len() as u64));
    assert!(keys.iter().all(|key| !server.properties(key).contains("glacier")));
}
