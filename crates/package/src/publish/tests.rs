//! Publishing into folders.

use super::*;
use planforge_core::{CachedArtifact, NoProgress, Precision, Variant, digest_bytes};
use planforge_store::FileStore;
use planforge_testkit::{model_name as name, stored};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use tokio::runtime::Runtime;

const CONTENT: &[u8] = b"an archive";

pub(crate) fn archive(folder: &Path) -> CachedArtifact<Archive> {
    let record = Archive {
        variant: Variant::onnx(Precision::Fp32),
        file: "tiny.tar.gz".to_owned(),
        sha256: digest_bytes(CONTENT),
        byte_count: CONTENT.len() as u64,
        unpacked_byte_count: 20,
        max_batch_size: 8,
    };
    stored(&folder.join("archive"), record, &[("tiny.tar.gz", CONTENT)])
}

/// Publishes into the folder `store`.
fn publish(publication: &Publication<'_>, store: &Path, progress: Arc<dyn Progress>) -> Result<Published> {
    runtime().block_on(super::publish(publication, &FileStore::new(store), progress))
}

fn unpublish(store: &Path, prefix: &str, dry_run: bool) -> Vec<StoredObject> {
    runtime().block_on(super::unpublish(&FileStore::new(store), prefix, &name(), dry_run)).unwrap()
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn put_below(prefix: &str, archive: &CachedArtifact<Archive>, folder: &Path, copies: u32) -> Result<Published> {
    let publication = Publication { archive, name: &name(), prefix, copies, statement: None };
    publish(&publication, &folder.join("store"), Arc::new(NoProgress))
}

fn put(folder: &Path, copies: u32) -> Published {
    put_below("models/tiny", &archive(folder), folder, copies).unwrap()
}

fn objects(folder: &Path) -> PathBuf {
    folder.join("store/models/tiny/onnx-fp32")
}

fn listing(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs_err::read_dir(objects(folder))
        .unwrap()
        .map(|item| item.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn copies_are_links_to_one_file_and_stay_on_a_second_run() {
    let folder = tempfile::tempdir().unwrap();
    let first = put(folder.path(), 3);
    assert_eq!((first.kept, first.written_byte_count), (0, CONTENT.len() as u64));
    assert_eq!(first.target_models, ["tiny-v0.tar.gz", "tiny-v1.tar.gz", "tiny-v2.tar.gz"]);
    assert!(first.url.starts_with("file:///") && first.url.ends_with("/models/tiny/onnx-fp32/"), "{}", first.url);
    let inode = |name: &str| fs_err::metadata(objects(folder.path()).join(name)).unwrap().ino();
    assert_eq!(inode("tiny-v0.tar.gz"), inode("tiny-v2.tar.gz"));
    assert_eq!(listing(folder.path()), first.target_models);
    let second = put(folder.path(), 4);
    assert_eq!((second.kept, second.written_byte_count), (3, 0));
}

#[test]
fn a_statement_with_the_same_content_stays_and_another_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let archive = archive(folder.path());
    let statement = folder.path().join("statement");
    let publish_with = |text: &str| {
        // A file of its own each time, as every run writes it.
        let _ = fs_err::remove_file(&statement);
        fs_err::write(&statement, text).unwrap();
        let (name, prefix) = (name(), "models/tiny");
        let publication =
            Publication { archive: &archive, name: &name, prefix, copies: 1, statement: Some(&statement) };
        publish(&publication, &folder.path().join("store"), Arc::new(NoProgress)).unwrap();
        let published = objects(folder.path()).join("tiny.tar.gz.intoto.json");
        (fs_err::read_to_string(&published).unwrap(), fs_err::metadata(&published).unwrap().ino())
    };
    let first = publish_with("{}");
    assert_eq!(publish_with("{}"), first);
    let other = publish_with("{ }");
    assert_eq!(other.0, "{ }");
    assert_ne!(other.1, first.1);
}

#[test]
fn fewer_copies_remove_only_our_own_surplus() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), 5);
    let others = ["other-v9.tar.gz", "tiny-v007.tar.gz", "tiny-v9.tar.gz.md5", "tiny-vx.tar.gz"];
    for other in others {
        fs_err::write(objects(folder.path()).join(other), "not ours").unwrap();
    }
    put(folder.path(), 1);
    let mut expected = others.map(str::to_owned).to_vec();
    expected.push("tiny-v0.tar.gz".to_owned());
    expected.sort();
    assert_eq!(listing(folder.path()), expected);
}

#[test]
fn foreign_content_is_replaced_and_equal_content_kept() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), 2);
    let object = objects(folder.path()).join("tiny-v1.tar.gz");
    fs_err::remove_file(&object).unwrap();
    fs_err::write(&object, CONTENT).unwrap();
    assert_eq!(put(folder.path(), 2).kept, 2);
    fs_err::remove_file(&object).unwrap();
    fs_err::write(&object, "an 4rchive").unwrap();
    assert_eq!(put(folder.path(), 2).kept, 1);
    assert_eq!(fs_err::read(&object).unwrap(), CONTENT);
}

#[test]
fn a_changed_archive_and_a_bad_prefix_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let archive = archive(folder.path());
    let bad = put_below("a/../../b", &archive, folder.path(), 1).unwrap_err();
    assert!(matches!(bad, Error::Store(StoreError::Prefix { .. })), "{bad}");
    fs_err::write(archive.path("tiny.tar.gz"), "other").unwrap();
    let changed = put_below("", &archive, folder.path(), 1).unwrap_err();
    assert!(matches!(changed, Error::Changed { .. }), "{changed}");
    assert!(!folder.path().join("store").exists());
}

#[test]
fn a_store_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let blocked = folder.path().join("store");
    fs_err::write(&blocked, "a file, not a folder").unwrap();
    fs_err::set_permissions(&blocked, std::fs::Permissions::from_mode(0o444)).unwrap();
    let error = put_below("", &archive(folder.path()), folder.path(), 1).unwrap_err();
    assert!(error.to_string().contains("store"), "{error}");
}

#[test]
fn a_folder_of_links_elsewhere_stays() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), 2);
    let elsewhere = folder.path().join("elsewhere");
    fs_err::rename(objects(folder.path()), &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, objects(folder.path())).unwrap();
    assert_eq!(unpublish(&folder.path().join("store"), "models/tiny", false).len(), 2);
    assert_eq!(listing(folder.path()), [""; 0]);
    assert!(elsewhere.exists());
}

#[test]
fn unpublishing_deletes_what_was_published_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), 3);
    let statement = objects(folder.path()).join("tiny.tar.gz.intoto.json");
    fs_err::write(&statement, "{}").unwrap();
    let others = ["onnx-fp32/tiny-v01.tar.gz", "onnx-fp32/other-v0.tar.gz", "other/tiny-v0.tar.gz", "tiny-v0.tar.gz"];
    let root = folder.path().join("store");
    for other in others {
        let path = root.join("models/tiny").join(other);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, "not ours").unwrap();
    }
    let listed = unpublish(&root, "models/tiny", true);
    assert_eq!(listed.len(), 4);
    assert!(listed[0].url.ends_with("/models/tiny/onnx-fp32/tiny-v0.tar.gz"), "{listed:?}");
    assert!(statement.exists(), "a dry run removes nothing");
    assert_eq!(unpublish(&root, "models/tiny", false), listed);
    assert_eq!(listing(folder.path()), ["other-v0.tar.gz", "tiny-v01.tar.gz"]);
    assert!(others.iter().all(|other| root.join("models/tiny").join(other).exists()));
    assert_eq!(unpublish(&root, "models/tiny", false), []);
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), 1);
    unpublish(&folder.path().join("store"), "models/tiny", false);
    assert!(!folder.path().join("store/models/tiny").exists());
}
