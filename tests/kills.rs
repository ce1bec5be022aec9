//! Kill -9 at seeded moments from fetch to publish: every visible file is complete, and the next run gives the same result as one
//! that was not disturbed.

use crate::support::{Workspace, end, wait};
use planforge_core::{NoProgress, digest_file};
use planforge_testkit::{Fault, Rule, TestHub};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Kills before a run that completes.
const IN_A_ROW: usize = 5;

const STORE: &str = "planforge-out/tiny/store";

/// A pipeline whose model comes from a Hub that takes its time.
struct Job {
    workspace: Workspace,
    hub: TestHub,
}

/// What a run makes: digests by path in the store, and in the report.
#[derive(Debug, PartialEq)]
struct Results {
    store: BTreeMap<String, String>,
    report: Vec<Value>,
}

impl Job {
    fn new() -> Self {
        let workspace = Workspace::tiny();
        let hub = TestHub::start("someone/tiny", &workspace.path("model")).unwrap();
        hub.set_rules(vec![Rule { on: "GET ".to_owned(), fault: Fault::Slow, times: usize::MAX }]);
        workspace.edit("tiny.toml", "path = \"model\"", "repo = \"someone/tiny\"");
        workspace.edit("tiny.toml", "gpus = [\"t4\", \"l4\"]", "gpus = [\"t4\"]");
        workspace.edit("tiny.toml", "users = 2", "users = 1");
        Self { workspace, hub }
    }

    fn command(&self) -> Command {
        let mut command = self.workspace.command(&["run", "tiny.toml", "--json"]);
        command.env("HF_ENDPOINT", self.hub.url()).env("HF_HUB_OFFLINE", "0");
        command.env("HF_HUB_CACHE", self.workspace.path("hf"));
        command
    }

    /// How long a run takes until everything is published.
    fn until_published(&self) -> Duration {
        let start = Instant::now();
        let mut child = self.command().stdout(Stdio::null()).spawn().unwrap();
        let mut published = Duration::ZERO;
        for line in BufReader::new(child.stderr.take().unwrap()).lines() {
            if line.unwrap().starts_with("  publish ") {
                published = start.elapsed();
            }
        }
        assert!(wait(&mut child).success() && !published.is_zero());
        published
    }

    /// Starts a run and kills it after `moment`; whether it was still running.
    fn is_killed_after(&self, moment: Duration) -> bool {
        let mut child = self.command().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(moment);
        child.kill().unwrap();
        let status = wait(&mut child);
        assert!(status.code().is_none_or(|code| code == 0), "{status}");
        status.code().is_none()
    }

    fn complete(&self) -> Results {
        let ended = end(self.command());
        ended.succeeds();
        let report: Value = serde_json::from_str(&ended.stdout).unwrap();
        let rows = report["artifacts"].as_array().unwrap().iter();
        Results { store: self.store(), report: rows.map(|row| row["sha256"].clone()).collect() }
    }

    /// Everything in the store.
    fn store(&self) -> BTreeMap<String, String> {
        let store = self.workspace.path(STORE);
        let files = self.workspace.files(STORE).into_iter().filter(|file| store.join(file).is_file());
        files.map(|file| (file.clone(), digest(&store.join(file)))).collect()
    }

    /// Every file under its final name has its final content.
    fn is_whole(&self, expected: &Results) {
        for (file, digest) in self.store() {
            assert!(file.contains("/.planforge-") || expected.store.get(&file) == Some(&digest), "{file}");
        }
        let snapshot = format!("hf/models--someone--tiny/snapshots/{}", self.hub.commit());
        for file in self.workspace.files(&snapshot) {
            let path = self.workspace.path(&snapshot).join(&file);
            assert!(path.is_dir() || digest(&path) == digest(&self.workspace.path("model").join(&file)), "{file}");
        }
    }
}

fn digest(path: &Path) -> String {
    digest_file(path, &NoProgress).unwrap().to_string()
}

fn kills(points: usize) {
    let undisturbed = Job::new();
    let duration = undisturbed.until_published();
    let expected = undisturbed.complete();
    let mut random = StdRng::seed_from_u64(9);
    let (mut killed, mut runs) = (0, 0);
    while killed < points {
        let job = Job::new();
        for _ in 0..IN_A_ROW {
            killed += usize::from(job.is_killed_after(duration.mul_f64(random.random_range(0.0..1.0))));
            job.is_whole(&expected);
        }
        assert_eq!(job.complete(), expected, "after {killed} kills");
        runs += IN_A_ROW;
        assert!(runs < 4 * points, "{killed} of {runs} runs were still running when they were to be killed");
    }
}

#[test]
fn a_run_that_was_killed_at_ten_moments_ends_as_if_it_had_not_been() {
    kills(10);
}

#[test]
#[ignore = "takes minutes: scripts/test-sigkill"]
fn a_run_that_was_killed_at_fifty_moments_ends_as_if_it_had_not_been() {
    kills(50);
}
