//! Publishing into moto, an S3 server in Python that knows keys of KMS, storage classes and rights, and what boto3, AWS's
//! own library, then finds there.

use super::*;
use planforge_core::StorageClass;
use planforge_store::Action;
use planforge_testkit::{native, repository};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// Names a Python that has what scripts/reference/moto-requirements.txt lists, which makes these tests compulsory.
const PYTHON: &str = "PLANFORGE_MOTO_PYTHON";
/// What moto takes before it looks at credentials.
const ANYBODY: (&str, &str) = ("test", "test");

/// A running server with the buckets `models` in eu-central-1 and `elsewhere` in ap-south-1.
struct Moto {
    python: PathBuf,
    child: Child,
    address: String,
    /// The key that has the alias `alias/models`.
    key: String,
}

impl Moto {
    fn start() -> Option<Self> {
        let named = std::env::var_os(PYTHON).filter(|path| !path.is_empty()).map(PathBuf::from);
        let python = named.clone().unwrap_or_else(|| native().join("moto/bin/python"));
        if named.is_none() && !python.exists() {
            eprintln!("SKIPPED: no moto in `{}`; scripts/test-moto brings it", python.display());
            return None;
        }
        let mut command = script(&python, &["serve"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).expect("moto starts");
        let (address, key) = (format!("127.0.0.1:{}", said["port"]), said["key"].as_str().unwrap().to_owned());
        Some(Self { python, child, address, key })
    }

    fn ask(&self, arguments: &[&str]) -> Value {
        let output = script(&self.python, arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// What boto3 finds in `models`, by key.
    fn objects(&self, (key, secret): (&str, &str)) -> BTreeMap<String, Value> {
        serde_json::from_value(self.ask(&["objects", &self.address, "models", key, secret])).unwrap()
    }

    fn bucket(&self, name: &str, identity: (&str, &str), options: S3Options) -> S3Store {
        bucket_of(&self.address, name, identity, options)
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn script(python: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(python);
    command.arg(repository().join("scripts/reference/moto-server.py")).args(arguments);
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

#[test]
fn uploads_copies_and_their_settings_are_what_boto3_finds() {
    let Some(moto) = Moto::start() else { return };
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let tagged = |team: &str| S3Options { tags: [("team".to_owned(), team.to_owned())].into(), ..small() };
    let key = Some("alias/models".to_owned());
    let encrypted =
        S3Options { kms_key: key, storage_class: Some(StorageClass::StandardIa), ..tagged("nlp + vision/x:@=") };
    let in_parts = S3Options { copy_byte_count: 6 * MIB as u64, copy_part_byte_count: 5 * MIB as u64, ..tagged("x") };
    // Whole and in parts; the second time all is there, with other settings.
    for (length, mut written) in [(1000, 1000), (11 * MIB + 7, 11 * MIB as u64 + 7)] {
        let archive = archive(&folder.path().join(length.to_string()), &content(11, length));
        for options in [encrypted.clone(), in_parts.clone(), small()] {
            let bucket = moto.bucket("models", ANYBODY, options.clone());
            let published = publish(&runtime, &bucket, &archive, 3).unwrap();
            assert_eq!((published.kept, published.written_byte_count), (0, written));
            written = 0;
            let objects = moto.objects(ANYBODY);
            assert_eq!(objects.keys().collect::<Vec<_>>(), keys(3).iter().collect::<Vec<_>>());
            for (name, object) in &objects {
                let sha256 = archive.record.sha256.as_str();
                assert_eq!(
                    (object["sha256"].as_str(), object["metadata"]["planforge-sha256"].as_str()),
                    (Some(sha256), Some(sha256))
                );
                assert_eq!(object["content_type"], "application/gzip", "{name}");
                assert_eq!(object["tags"], json!(options.tags), "{name}");
                assert_eq!(
                    object["storage_class"],
                    options.storage_class.map_or("STANDARD", StorageClass::name),
                    "{name}"
                );
                let is_encrypted = object["encryption"] == "aws:kms";
                assert_eq!(is_encrypted, options.kms_key.is_some(), "{name}: {object}");
                let key = object["key"].as_str();
                assert!(!is_encrypted || key == Some("alias/models") || key == Some(&moto.key), "{name}: {object}");
            }
            assert_eq!(publish(&runtime, &bucket, &archive, 3).unwrap().kept, 3);
        }
        let bucket = moto.bucket("models", ANYBODY, small());
        publish(&runtime, &bucket, &archive, 1).unwrap();
        assert_eq!(moto.objects(ANYBODY).into_keys().collect::<Vec<_>>(), keys(1));
        unpublish(&runtime, &bucket, false);
        assert!(moto.objects(ANYBODY).is_empty());
    }
}

#[test]
fn refusals_of_moto_are_understood() {
    let Some(moto) = Moto::start() else { return };
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let archive = archive(folder.path(), b"an archive");
    let missing = publish(&runtime, &moto.bucket("missing", ANYBODY, small()), &archive, 2).unwrap_err();
    assert!(matches!(&missing, Error::Store(StoreError::NoBucket { bucket }) if bucket == "missing"), "{missing}");
    let users: BTreeMap<String, (String, String)> =
        serde_json::from_value(moto.ask(&["users", &moto.address])).unwrap();
    let [uploader, writer] = ["uploader", "writer"].map(|user| (users[user].0.as_str(), users[user].1.as_str()));
    for (identity, expected) in [((writer.0, "wrong"), "SignatureDoesNotMatch"), (ANYBODY, "InvalidAccessKeyId")] {
        let error = publish(&runtime, &moto.bucket("models", identity, small()), &archive, 2).unwrap_err();
        assert!(matches!(&error, Error::Store(StoreError::Credentials { code, .. }) if code == expected), "{error}");
    }
    // One that may not read cannot have copies made, and what it has written stays whole.
    let error = publish(&runtime, &moto.bucket("models", uploader, small()), &archive, 2).unwrap_err();
    assert!(matches!(&error, Error::Store(StoreError::Denied { action: Action::Copy | Action::Head, .. })), "{error}");
    assert_eq!(moto.objects(writer).into_keys().collect::<Vec<_>>(), keys(1));
    let published = publish(&runtime, &moto.bucket("models", writer, small()), &archive, 2).unwrap();
    assert_eq!((published.kept, published.written_byte_count), (1, 0));
    let objects = moto.objects(writer);
    assert!(objects.values().all(|object| object["sha256"] == archive.record.sha256.as_str()), "{objects:?}");
}
