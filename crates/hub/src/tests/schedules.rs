//! Many faults at once, by seeded schedules.

use super::{Place, is_complete, is_right, rule, run};
use crate::Error;
use planforge_core::{Event, NoProgress, Progress};
use planforge_testkit::{Fault, Rule};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::path::PathBuf;
use std::sync::Arc;

/// Schedules; half of them begin with what the one before left.
const SCHEDULES: u64 = 200;

/// What is visible in the snapshot is looked at whenever anything happens.
struct Watcher {
    snapshot: PathBuf,
    model: PathBuf,
}

impl Progress for Watcher {
    fn send(&self, _event: Event) {
        for path in crate::snapshot::list(&self.snapshot).unwrap_or_default() {
            let length = |folder: &PathBuf| fs_err::metadata(folder.join(&path)).unwrap().len();
            assert_eq!(length(&self.snapshot), length(&self.model), "{path}");
        }
    }

    fn is_cancelled(&self) -> bool {
        false
    }
}

fn schedule(random: &mut StdRng) -> Vec<Rule> {
    let routes = ["/revision/", "/tree/", "/config.json", "/model.safetensors", "/tokenizer.json", "CDN ", "GET "];
    let statuses = [
        "429 Too Many Requests",
        "503 Service Unavailable",
        "500 Internal Server Error",
        "404 Not Found",
        "403 Forbidden",
    ];
    (0..random.random_range(1..5))
        .map(|_| {
            let route = routes[random.random_range(0..routes.len())];
            let is_file = route.ends_with(".json") || route.ends_with(".safetensors") || route == "CDN ";
            let fault = match random.random_range(0..20) {
                0..6 => Fault::Cut(random.random_range(0..30_000)),
                6..10 => {
                    let pause = random.random_bool(0.3).then_some(0);
                    Fault::Status(statuses[random.random_range(0..statuses.len())], pause)
                }
                // The answers of the Hub's API have no digest.
                10..13 if is_file => Fault::WrongByte(random.random_range(0..30_000)),
                10..16 => Fault::Short(random.random_range(0..30_000)),
                16 => Fault::Silent,
                17 | 18 => Fault::Slow,
                _ => Fault::Whole,
            };
            let times = if random.random_bool(0.1) { usize::MAX } else { random.random_range(1..4) };
            // Each silent answer takes the whole time-out.
            let times = if matches!(fault, Fault::Silent) { 1 } else { times };
            rule(route, fault, times)
        })
        .collect()
}

/// Runs the schedules whose numbers leave `rest`, and counts those that succeeded.
fn run_some(rest: u64, shares: u64) -> u64 {
    let mut place = Place::new();
    let mut succeeded = 0;
    for number in (0..SCHEDULES).filter(|number| number % shares == rest) {
        let mut random = StdRng::seed_from_u64(number);
        let rules = schedule(&mut random);
        let model = place.folder.path().join("model");
        let snapshot = place.cache().join("models--someone--model/snapshots").join(place.hub.commit());
        place.hub.set_rules(rules.clone());
        let watcher = Arc::new(Watcher { snapshot, model: model.clone() });
        match run(&place.options(), watcher) {
            Ok(snapshot) => {
                is_complete(&snapshot, &model);
                succeeded += 1;
            }
            Err(Error::GaveUp { .. } | Error::Corrupt { .. } | Error::Answer { .. } | Error::Denied { .. }) => {}
            Err(error) => panic!("schedule {number}, {rules:?}: {error}"),
        }
        is_right(&place.cache(), &model);
        if random.random_bool(0.5) {
            place.hub.set_rules(Vec::new());
            is_complete(&run(&place.options(), Arc::new(NoProgress)).unwrap(), &model);
            place = Place::new();
        }
    }
    succeeded
}

#[test]
fn two_hundred_schedules_end_with_the_right_files_or_an_error() {
    let shares = 4;
    let succeeded: u64 = std::thread::scope(|scope| {
        let shares: Vec<_> = (0..shares).map(|rest| scope.spawn(move || run_some(rest, shares))).collect();
        shares.into_iter().map(|share| share.join().unwrap()).sum()
    });
    assert!((SCHEDULES / 2..SCHEDULES * 95 / 100).contains(&succeeded), "{succeeded} of {SCHEDULES} succeeded");
}
