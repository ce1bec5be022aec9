//! Fetching from a Hub where things go wrong.

mod faults;
mod mirrors;
mod schedules;

use crate::{FetchOptions, Result, Token, Transfer, fetch};
use planforge_core::{DigestCache, NoProgress, Progress, Snapshot, digest_bytes};
use planforge_testkit::{Fault, Rule, TestHub};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The repository of these tests.
const REPO: &str = "someone/model";

/// A Hub with a checkpoint, and a cache.
struct Place {
    folder: tempfile::TempDir,
    hub: TestHub,
}

impl Place {
    fn new() -> Self {
        let folder = checkpoint();
        let hub = TestHub::start(REPO, &folder.path().join("model")).unwrap();
        Self { folder, hub }
    }

    fn with(rules: Vec<Rule>) -> Self {
        let place = Self::new();
        place.hub.set_rules(rules);
        place
    }

    fn cache(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    fn options(&self) -> FetchOptions {
        options(&self.hub, self.cache())
    }

    fn fetch(&self) -> Result<Snapshot> {
        run(&self.options(), Arc::new(NoProgress))
    }

    /// What is asked for the weights' bytes.
    fn weights(&self) -> String {
        let weights = fs_err::read(self.folder.path().join("model/model.safetensors")).unwrap();
        format!("CDN GET /blobs/{}", digest_bytes(&weights))
    }

    /// Fetches, which must fail without leaving anything that is not whole, and returns the message.
    fn fails(&self, options: &FetchOptions) -> String {
        let error = run(options, Arc::new(NoProgress)).unwrap_err();
        is_right(&self.cache(), &self.folder.path().join("model"));
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        let folder = self.folder.path().to_str().unwrap();
        text.replace(&self.hub.url(), "HUB").replace(&self.hub.cdn_url(), "CDN").replace(folder, "FOLDER")
    }

    /// Fetches, which must succeed with all that is needed.
    fn succeeds(&self) -> Snapshot {
        let snapshot = self.fetch().unwrap();
        is_complete(&snapshot, &self.folder.path().join("model"));
        snapshot
    }
}

/// Files in git and outside it, among them one of several pieces and an empty one.
fn checkpoint() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let bytes: Vec<u8> = (0..200_000_u32).map(|number| (number.wrapping_mul(number) % 251) as u8).collect();
    for (path, bytes) in [
        ("config.json", &b"{\"model_type\": \"bert\"}"[..]),
        ("model.safetensors", &bytes),
        ("tokenizer.json", &bytes[7..40_000]),
        ("vocab.txt", b""),
        ("1_Pooling/config.json", b"{}"),
        ("pytorch_model.bin", b"not needed"),
    ] {
        let path = folder.path().join("model").join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, bytes).unwrap();
    }
    folder
}

/// Small pieces and short pauses.
fn options(hub: &TestHub, cache: PathBuf) -> FetchOptions {
    FetchOptions {
        repo: REPO.to_owned(),
        revision: "main".to_owned(),
        cache,
        endpoint: hub.url(),
        token: Some(Token("hf_secret".to_owned())),
        graph: None,
        pinned: Vec::new(),
        all_files: false,
        offline: false,
        digests: DigestCache::default(),
        transfer: Transfer {
            attempts: 4,
            first_pause: Duration::from_millis(1),
            longest_pause: Duration::from_secs(5),
            timeout: Duration::from_millis(700),
            least_piece: 30_000,
        },
    }
}

fn run(options: &FetchOptions, progress: Arc<dyn Progress>) -> Result<Snapshot> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(fetch(options, progress))
}

fn rule(on: &str, fault: Fault, times: usize) -> Rule {
    Rule { on: on.to_owned(), fault, times }
}

/// All that is needed is in a snapshot, byte for byte.
fn is_complete(snapshot: &Snapshot, model: &Path) {
    let needed = ["1_Pooling/config.json", "config.json", "model.safetensors", "tokenizer.json", "vocab.txt"];
    assert_eq!(snapshot.files.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(), needed);
    for file in &snapshot.files {
        let bytes = fs_err::read(snapshot.directory.join(&file.path)).unwrap();
        assert!(bytes == fs_err::read(model.join(&file.path)).unwrap(), "{}", file.path);
        assert_eq!(file.sha256, digest_bytes(&bytes));
    }
}

/// Nothing in a cache is seen under its name that is not what the Hub has.
fn is_right(cache: &Path, model: &Path) {
    let folder = cache.join("models--someone--model");
    let snapshot = folder.join("snapshots/0123456789abcdef0123456789abcdef01234567");
    for path in crate::snapshot::list(&snapshot).unwrap_or_default() {
        let there = fs_err::read(snapshot.join(&path)).unwrap();
        assert!(there == fs_err::read(model.join(&path)).unwrap(), "{path}");
    }
    for name in crate::snapshot::list(&folder.join("blobs")).unwrap_or_default() {
        let Some(blob) = crate::listing::Blob::parse(&name) else {
            assert!(name.ends_with(".incomplete"), "{name}");
            continue;
        };
        assert_eq!(blob.of_file(&folder.join("blobs").join(&name), &NoProgress).unwrap(), name);
    }
}

#[test]
fn shards_are_fetched_by_the_names_that_their_index_gives() {
    let folder = checkpoint();
    let model = folder.path().join("model");
    let index = r#"{"weight_map": {"a": "first", "b": "parts/second.safetensors", "c": "first"}}"#;
    fs_err::remove_file(model.join("model.safetensors")).unwrap();
    fs_err::create_dir(model.join("parts")).unwrap();
    for (path, bytes) in [
        ("model.safetensors.index.json", index),
        ("first", "1"),
        ("parts/second.safetensors", "2"),
        ("parts/other.safetensors", "3"),
    ] {
        fs_err::write(model.join(path), bytes).unwrap();
    }
    let place = Place { hub: TestHub::start(REPO, &model).unwrap(), folder };
    let commit = FetchOptions { revision: "0123456789abcdef0123456789abcdef01234567".to_owned(), ..place.options() };
    let fetched = || {
        let snapshot = run(&commit, Arc::new(NoProgress)).unwrap();
        let files = snapshot.files.iter().map(|file| file.path.clone());
        (snapshot.directory.clone(), files.filter(|path| !path.ends_with("config.json")).collect::<Vec<_>>())
    };
    let expected = ["first", "model.safetensors.index.json", "parts/second.safetensors", "tokenizer.json", "vocab.txt"];
    let (directory, files) = fetched();
    assert_eq!(files, expected);
    // A snapshot of another program that lacks a shard is completed.
    fs_err::remove_file(directory.join("parts/second.safetensors")).unwrap();
    assert_eq!(fetched().1, expected);
}
