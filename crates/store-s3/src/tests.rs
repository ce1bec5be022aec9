//! Publishing into a real S3 server, SeaweedFS, also through a network that fails.

mod moto;
mod rights;
mod settings;
mod unsupported;
mod waits;

use super::bucket::Bucket;
use super::connect::configured;
use super::*;
use aws_config::SdkConfig;
use aws_sdk_s3::config::{Credentials, Region, SharedCredentialsProvider};
use planforge_core::{
    Archive, CachedArtifact, Event, EventKind, NoProgress, Precision, Progress, Published, Variant, digest_bytes,
};
use planforge_package::{Error, Publication, Result, StoredObject};
use planforge_store::{Error as StoreError, ObjectStore};
use planforge_testkit::{ADMIN, FaultyProxy, ProxyFault, S3Server, model_name as name, stored};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::runtime::Runtime;

const MIB: usize = 1 << 20;

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Bytes that no two seeds share, and that no part has twice.
fn content(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed;
    let next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 32).to_le_bytes()
    };
    std::iter::repeat_with(next).flat_map(|bytes| bytes.into_iter().take(4)).take(length).collect()
}

fn archive(folder: &Path, content: &[u8]) -> CachedArtifact<Archive> {
    let record = Archive {
        variant: Variant::onnx(Precision::Fp32),
        file: "tiny.tar.gz".to_owned(),
        sha256: digest_bytes(content),
        byte_count: content.len() as u64,
        unpacked_byte_count: 20,
        max_batch_size: 8,
    };
    stored(folder, record, &[("tiny.tar.gz", content)])
}

/// Small parts, as small as S3 takes.
fn small() -> S3Options {
    S3Options { part_byte_count: 5 * MIB as u64, timeout: Duration::from_secs(60), ..S3Options::default() }
}

/// The bucket `models` behind an address.
fn bucket(address: &str, options: S3Options) -> S3Store {
    bucket_of(address, "models", ADMIN, options)
}

fn bucket_of(address: &str, name: &str, (key, secret): (&str, &str), options: S3Options) -> S3Store {
    let credentials = Credentials::new(key, secret, None, None, "test");
    let shared = SdkConfig::builder()
        .behavior_version(aws_config::BehaviorVersion::latest())
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .region(Region::from_static("eu-central-1"))
        .endpoint_url(format!("http://{address}"))
        .build();
    let config = configured(&shared, &options).force_path_style(true).build();
    S3Store::new(Bucket::new(config, name, "team (a)", options))
}

fn publish(runtime: &Runtime, bucket: &S3Store, archive: &CachedArtifact<Archive>, copies: u32) -> Result<Published> {
    let publication = Publication { archive, name: &name(), prefix: "tiny", copies, statement: None };
    runtime.block_on(planforge_package::publish(&publication, bucket, Arc::new(NoProgress)))
}

fn unpublish(runtime: &Runtime, bucket: &S3Store, dry_run: bool) -> Vec<StoredObject> {
    runtime.block_on(planforge_package::unpublish(bucket, "tiny", &name(), dry_run)).unwrap()
}

fn keys(copies: u32) -> Vec<String> {
    let mut keys: Vec<_> = (0..copies).map(|copy| format!("team (a)/tiny/onnx-fp32/tiny-v{copy}.tar.gz")).collect();
    keys.sort();
    keys
}

#[track_caller]
fn assert_published(server: &S3Server, content: &[u8], copies: u32) {
    assert_eq!(server.keys("team (a)/"), keys(copies));
    for key in keys(copies) {
        assert!(server.get(&key).as_deref() == Some(content), "{key} is not the archive");
    }
    assert_eq!(server.unfinished(), [""; 0]);
}

#[test]
fn the_store_copies_one_upload_and_existing_copies_stay() {
    let (runtime, server, folder) = (runtime(), S3Server::start(), tempfile::tempdir().unwrap());
    let proxy = FaultyProxy::start(&server.address(), |_, _| None).unwrap();
    let content = content(1, 12 * MIB);
    let archive = archive(folder.path(), &content);
    let through = bucket(&proxy.address(), small());
    let first = publish(&runtime, &through, &archive, 5).unwrap();
    assert_eq!((first.kept, first.written_byte_count), (0, content.len() as u64));
    assert_eq!(first.url, "s3://models/team (a)/tiny/onnx-fp32/");
    assert_published(&server, &content, 5);
    let sent = proxy.body_byte_count();
    assert!((content.len()..content.len() + 20_000).contains(&(sent as usize)), "{sent} bytes were sent");
    let second = publish(&runtime, &through, &archive, 5).unwrap();
    assert_eq!((second.kept, second.written_byte_count), (5, 0));
    let grown = publish(&runtime, &through, &archive, 7).unwrap();
    assert_eq!((grown.kept, grown.written_byte_count), (5, 0));
    assert_published(&server, &content, 7);
    assert!((proxy.body_byte_count() - sent) < 20_000, "nothing is sent again");
    // Another object of the same size, without a recorded digest, in place of one; and one that is no longer there.
    server.put(&keys(7)[0], &vec![0; content.len()]);
    let repaired = publish(&runtime, &through, &archive, 7).unwrap();
    assert_eq!((repaired.kept, repaired.written_byte_count), (6, 0));
    assert_published(&server, &content, 7);
    publish(&runtime, &through, &archive, 2).unwrap();
    assert_published(&server, &content, 2);
}

#[test]
fn large_objects_are_copied_in_parts_and_only_own_ones_are_deleted() {
    let (runtime, server, folder) = (runtime(), S3Server::start(), tempfile::tempdir().unwrap());
    let content = content(2, 11 * MIB + 7);
    let archive = archive(folder.path(), &content);
    let mib = MIB as u64;
    let options = S3Options {
        copy_byte_count: 6 * mib,
        copy_part_byte_count: 5 * mib,
        tags: [("team".to_owned(), "nlp + vision".to_owned())].into(),
        storage_class: Some(planforge_core::StorageClass::StandardIa),
        ..small()
    };
    let bucket = bucket(&server.address(), options);
    publish(&runtime, &bucket, &archive, 3).unwrap();
    assert_published(&server, &content, 3);
    let digest = format!("x-amz-meta-planforge-sha256: {}", archive.record.sha256);
    let expected = [digest.as_str(), "content-type: application/gzip", "x-amz-storage-class: standard_ia"];
    for key in keys(3) {
        let properties = server.properties(&key);
        for expected in expected.iter().chain(&["<Value>nlp + vision</Value>"]) {
            assert!(properties.contains(expected), "`{expected}` is not in {properties}");
        }
    }
    let others = ["onnx-fp32/tiny-v01.tar.gz", "onnx-fp32/other-v0.tar.gz", "other/tiny-v0.tar.gz", "tiny-v0.tar.gz"];
    let mut others = others.map(|other| format!("team (a)/tiny/{other}"));
    others.sort();
    others.iter().for_each(|other| server.put(other, b"not ours"));
    publish(&runtime, &bucket, &archive, 1).unwrap();
    let mut expected = [others.as_slice(), &keys(1)].concat();
    expected.sort();
    assert_eq!(server.keys("team (a)/"), expected);
    let unpublish = |dry_run| unpublish(&runtime, &bucket, dry_run);
    let listed = unpublish(true);
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].url, "s3://models/team (a)/tiny/onnx-fp32/tiny-v0.tar.gz");
    assert_eq!(server.keys("team (a)/"), expected, "a dry run removes nothing");
    assert_eq!(unpublish(false), listed);
    assert_eq!(server.keys("team (a)/"), others);
    assert_eq!(unpublish(false), []);
}

#[test]
fn an_upload_of_a_killed_run_is_resumed_or_aborted() {
    let (runtime, server, folder) = (runtime(), S3Server::start(), tempfile::tempdir().unwrap());
    let contents = [content(3, 22 * MIB), content(4, 22 * MIB)];
    let archives = [0, 1].map(|index| archive(&folder.path().join(index.to_string()), &contents[index]));
    let begin = |archive| {
        // Two parts get through; then nothing does, so that the upload is not aborted either.
        let parts = AtomicU64::new(0);
        let proxy = FaultyProxy::start(&server.address(), move |_, line| {
            let is_part = line.starts_with("PUT") && line.contains("partNumber");
            let sent = if is_part { parts.fetch_add(1, Ordering::Relaxed) } else { parts.load(Ordering::Relaxed) };
            (sent >= 2).then_some(ProxyFault::Cut)
        });
        let proxy = proxy.unwrap();
        let one_by_one = S3Options { connections: 1, ..small() };
        let error = publish(&runtime, &bucket(&proxy.address(), one_by_one), archive, 2).unwrap_err();
        assert!(matches!(error, Error::Store(StoreError::Request { .. })), "{error}");
        assert_eq!(server.keys("team (a)/"), [""; 0], "nothing is seen of it");
        assert_eq!(server.unfinished(), keys(1));
    };
    let bucket = bucket(&server.address(), small());
    begin(&archives[0]);
    let resumed = publish(&runtime, &bucket, &archives[0], 2).unwrap();
    assert_eq!(resumed.written_byte_count, 12 * MIB as u64, "two parts of 5 MiB were there");
    assert_published(&server, &contents[0], 2);
    unpublish(&runtime, &bucket, false);
    begin(&archives[0]);
    let other = publish(&runtime, &bucket, &archives[1], 2).unwrap();
    assert_eq!(other.written_byte_count, 22 * MIB as u64);
    assert_published(&server, &contents[1], 2);
}

/// Asks to stop when the first part is there.
#[derive(Default)]
struct StopAtFirstPart(AtomicBool);

impl Progress for StopAtFirstPart {
    fn send(&self, event: Event) {
        if matches!(event.kind, EventKind::Advanced { done } if done > 0) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

#[test]
fn a_cancelled_run_aborts_its_upload() {
    let (runtime, server, folder) = (runtime(), S3Server::start(), tempfile::tempdir().unwrap());
    let archive = archive(folder.path(), &content(8, 11 * MIB));
    // One part gets through, the others are never answered.
    let parts = AtomicU64::new(0);
    let proxy = FaultyProxy::start(&server.address(), move |_, line| {
        (line.contains("partNumber") && parts.fetch_add(1, Ordering::Relaxed) > 0).then_some(ProxyFault::Hang)
    });
    let proxy = proxy.unwrap();
    let bucket = bucket(&proxy.address(), small());
    let publication = Publication { archive: &archive, name: &name(), prefix: "tiny", copies: 2, statement: None };
    let progress = Arc::new(StopAtFirstPart::default());
    let error = runtime.block_on(planforge_package::publish(&publication, &bucket, progress)).unwrap_err();
    assert!(matches!(error, Error::Core(planforge_core::Error::Cancelled)), "{error}");
    assert!(proxy.log().iter().any(|line| line.starts_with("DELETE")), "it was started and aborted");
    assert_eq!((server.keys("team (a)/"), server.unfinished()), (Vec::new(), Vec::new()));
}

#[test]
fn an_upload_of_an_archive_with_the_same_first_part_is_not_mistaken_for_this_one() {
    let (runtime, server, folder) = (runtime(), S3Server::start(), tempfile::tempdir().unwrap());
    let mut one = content(5, 11 * MIB);
    let archives = [0_u8, 1].map(|last| {
        *one.last_mut().unwrap() = last;
        (archive(&folder.path().join(last.to_string()), &one), one.clone())
    });
    let bucket = bucket(&server.address(), small());
    let (path, digest) = (folder.path().join("0/tiny.tar.gz"), &archives[0].0.record.sha256);
    let shared_part =
        &planforge_store::Source::read(&path, "application/gzip", Some(digest), 5 * MIB as u64, &NoProgress)
            .unwrap()
            .parts[0];
    // The upload is begun by hand, with the digest of the first, and the part that both share.
    runtime.block_on(async {
        let key = &keys(1)[0];
        let begun = bucket.bucket.client.create_multipart_upload().bucket("models").key(key);
        let begun = begun.metadata(super::options::DIGEST_KEY, digest.as_str());
        let begun = begun.checksum_algorithm(aws_sdk_s3::types::ChecksumAlgorithm::Sha256).send().await.unwrap();
        let part = bucket.bucket.client.upload_part().bucket("models").key(key).upload_id(begun.upload_id().unwrap());
        let part = part.part_number(1).checksum_sha256(super::checksum::base64(&shared_part.sha256));
        part.body(one[..5 * MIB].to_vec().into()).send().await.unwrap();
    });
    publish(&runtime, &bucket, &archives[1].0, 2).unwrap();
    assert_published(&server, &archives[1].1, 2);
    for key in keys(2) {
        let properties = server.properties(&key);
        assert!(properties.contains(archives[1].0.record.sha256.as_str()), "{properties}");
    }
    assert_eq!(publish(&runtime, &bucket, &archives[1].0, 2).unwrap().kept, 2);
}

#[test]
fn a_failing_network_gives_the_right_bytes_or_a_clear_error() {
    let (runtime, server, folder) = (runtime(), S3Server::start(), tempfile::tempdir().unwrap());
    let content = content(6, 11 * MIB);
    let archive = archive(folder.path(), &content);
    let options = || S3Options { timeout: Duration::from_secs(2), slowest_upload: u64::MAX, ..small() };
    let straight = bucket(&server.address(), small());
    let mut met = std::collections::BTreeMap::new();
    // One in a hundred, as a bad day has it, and one in eight.
    for (seed, per_mille) in [(5, 10), (7, 125)] {
        let proxy = FaultyProxy::random(&server.address(), seed, per_mille).unwrap();
        match publish(&runtime, &bucket(&proxy.address(), options()), &archive, 30) {
            Ok(_) => {}
            Err(error @ Error::Store(StoreError::Request { .. })) => {
                assert!(error.to_string().contains("`s3://models/team (a)/tiny/onnx-fp32/"), "{error}");
            }
            Err(other) => panic!("{other}"),
        }
        for (kind, count) in proxy.faults() {
            *met.entry(kind).or_insert(0) += count;
        }
        for key in server.keys("team (a)/") {
            assert!(server.get(&key).as_deref() == Some(&content), "{key} is seen and not the archive");
        }
        publish(&runtime, &straight, &archive, 30).unwrap();
        assert_published(&server, &content, 30);
        unpublish(&runtime, &straight, false);
    }
    assert!(met.len() >= 5, "too few kinds of faults were met to say anything: {met:?}");
}

#[test]
fn a_bucket_is_a_store() {
    let (runtime, server, folder) = (runtime(), S3Server::start(), tempfile::tempdir().unwrap());
    let mib = MIB as u64;
    let whole_copies = bucket(&server.address(), small());
    runtime.block_on(planforge_store::testing::check_store(&whole_copies, folder.path(), 11 * MIB)).unwrap();
    let options = S3Options { copy_byte_count: 6 * mib, copy_part_byte_count: 5 * mib, ..small() };
    let copies_in_parts = bucket(&server.address(), options);
    runtime.block_on(planforge_store::testing::check_store(&copies_in_parts, folder.path(), 11 * MIB)).unwrap();
    assert_eq!(server.unfinished(), [""; 0]);
}
