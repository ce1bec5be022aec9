//! The cache is shared with Python's huggingface_hub: each reads what the other wrote.

#![expect(clippy::print_stderr, reason = "a skipped test prints why")]

use crate::support::{Ended, Workspace, end, end_quietly};
use planforge_core::digest_bytes;
use planforge_testkit::{TestHub, native, repository};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Names a Python that has what scripts/reference/hub-requirements.txt lists, which makes these tests compulsory; scripts/reference/hub-python prints one.
const PYTHON: &str = "PLANFORGE_HUB_PYTHON";

/// That Python, where there is one.
pub(crate) fn python() -> Option<PathBuf> {
    let named = std::env::var_os(PYTHON).filter(|path| !path.is_empty()).map(PathBuf::from);
    let python = named.clone().unwrap_or_else(|| native().join("huggingface-hub/bin/python"));
    if named.is_none() && !python.exists() {
        eprintln!("SKIPPED: no huggingface_hub in `{}`; scripts/hub-cache brings it", python.display());
        return None;
    }
    Some(python)
}

/// A repository that both fetch.
struct Shared {
    workspace: Workspace,
    hub: TestHub,
    python: PathBuf,
}

impl Shared {
    fn new() -> Option<Self> {
        let python = python()?;
        let workspace = Workspace::tiny();
        let hub = TestHub::start("someone/tiny", &workspace.path("model")).unwrap();
        workspace.edit("tiny.toml", "path = \"model\"", "repo = \"someone/tiny\"");
        Some(Self { workspace, hub, python })
    }

    /// What Python reports of the repository after fetching it, or of its cache alone.
    fn ask_python(&self, offline: bool) -> Value {
        let script = repository().join("scripts/reference/hub-cache.py");
        let mut command = Command::new(&self.python);
        command.arg(script).arg("someone/tiny").current_dir(self.workspace.folder.path()).env_clear();
        command.env("HF_HUB_DISABLE_TELEMETRY", "1").env("PYTHONDONTWRITEBYTECODE", "1");
        self.surround(&mut command, offline);
        let ended = end_quietly(command);
        ended.succeeds();
        serde_json::from_str(&ended.stdout).unwrap()
    }

    fn planforge(&self, offline: bool) -> Ended {
        let mut command = self.workspace.command(&["fetch", "tiny.toml", "--all-files", "--json"]);
        self.surround(&mut command, offline);
        end(command)
    }

    fn surround(&self, command: &mut Command, offline: bool) {
        command.env("HOME", self.workspace.folder.path()).env("HF_ENDPOINT", self.hub.url());
        command.env("HF_HUB_CACHE", self.cache()).env("HF_HUB_OFFLINE", if offline { "1" } else { "0" });
    }

    fn cache(&self) -> PathBuf {
        self.workspace.path("shared")
    }

    /// Files that were asked for, rather than asked about.
    fn file_requests(&self) -> usize {
        self.hub.requests().iter().filter(|line| line.contains("GET") && !line.contains("/api/")).count()
    }

    /// Python sees every file as it is, one revision, and nothing that it warns of.
    fn is_seen(&self, seen: &Value) {
        let model = self.workspace.path("model");
        let files = self.workspace.files("model").into_iter().filter(|file| model.join(file).is_file());
        let digest = |file: &str| digest_bytes(&fs_err::read(model.join(file)).unwrap()).to_string();
        let expected: serde_json::Map<_, _> = files.map(|file| (file.clone(), digest(&file).into())).collect();
        assert_eq!(seen["files"], Value::Object(expected));
        assert_eq!(seen["commit"], self.hub.commit());
        assert_eq!(seen["refs"], serde_json::json!(["main"]));
        assert_eq!(seen["warnings"], serde_json::json!([]));
    }
}

#[test]
fn what_planforge_fetched_python_reads() {
    let Some(shared) = Shared::new() else { return };
    shared.planforge(false).succeeds();
    let requests = shared.file_requests();
    shared.is_seen(&shared.ask_python(true));
    shared.is_seen(&shared.ask_python(false));
    assert_eq!(shared.file_requests(), requests, "Python has nothing to fetch");
}

#[test]
fn what_python_fetched_planforge_reads() {
    let Some(shared) = Shared::new() else { return };
    shared.is_seen(&shared.ask_python(false));
    let (requests, layout) = (shared.file_requests(), layout(&shared.cache()));
    for offline in [true, false] {
        let ended = shared.planforge(offline);
        ended.succeeds();
        let report: Value = serde_json::from_str(&ended.stdout).unwrap();
        assert_eq!(report["source"]["commit"], shared.hub.commit());
    }
    assert_eq!(shared.file_requests(), requests, "planforge has nothing to fetch");
    // Each would have made the same, but for the locks.
    fs_err::remove_dir_all(shared.cache()).unwrap();
    // It would ask for a commit, rather than for what `main` stands for.
    fs_err::remove_file(shared.workspace.path("tiny.lock")).unwrap();
    shared.planforge(false).succeeds();
    assert_eq!(self::layout(&shared.cache()), layout);
}

/// Every file of the repository in the cache, with what it holds or leads to.
fn layout(cache: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![cache.join("models--someone--tiny")];
    while let Some(folder) = folders.pop() {
        for entry in fs_err::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(cache).unwrap().to_str().unwrap().to_owned();
            match path.read_link() {
                Ok(target) => found.push((name, target.to_str().unwrap().to_owned())),
                Err(_) if path.is_dir() => folders.push(path),
                Err(_) => found.push((name, digest_bytes(&fs_err::read(&path).unwrap()).to_string())),
            }
        }
    }
    found.retain(|(name, _)| !name.contains("/trees/") && !name.contains("/.no_exist/"));
    found.sort();
    found
}
