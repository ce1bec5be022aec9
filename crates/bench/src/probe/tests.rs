//! The probe against scripted endpoints.

use super::*;
use crate::scripted::{FakeEndpoint, Script, ScriptedResponse};
use planforge_core::{Event, EventKind, Growths, NoProgress, Precision, Variant, digest_bytes};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

fn published(copies: u32) -> Published {
    Published {
        variant: Variant::onnx(Precision::Fp32),
        url: "file:///store/".to_owned(),
        target_models: (0..copies).map(|index| format!("m-v{index}.tar.gz")).collect(),
        sha256: digest_bytes(b"m"),
        written_byte_count: 0,
        kept: 0,
    }
}

fn requests(concurrency: u32) -> ProbeRequests {
    let concurrency = NonZeroU32::new(concurrency).unwrap();
    ProbeRequests { smallest: "{}".into(), largest: "{\"large\": 1}".into(), concurrency }
}

async fn probe_script(script: Script, copies: u32) -> Result<Capacity> {
    let server = FakeEndpoint::new(script);
    probe(&server, &published(copies), &requests(1), 0.9, &NoProgress).await
}

#[tokio::test]
async fn growth_is_told_apart_by_request() {
    let script = Script { growth: vec![100, 40], growth_at_invocation: vec![5, 3, 2, 7, 1], ..Script::default() };
    let server = FakeEndpoint::new(script);
    let capacity = probe(&server, &published(4), &requests(2), 0.9, &NoProgress).await.unwrap();
    // The smallest and twice the largest to each, two at once to the last.
    assert_eq!(server.targets().len(), 14);
    let step = &capacity.steps[1];
    assert_eq!((step.growth_after_smallest_byte_count, step.growth_byte_count), (Some(45), Some(50)));
    assert_eq!(capacity.growths(|step| step.growth_byte_count), Some(Growths { first: 110, median: 50, last: 50 }));
    assert_eq!(capacity.concurrent_growth, Some(ConcurrentGrowth { requests: 2, byte_count: 8 }));
    assert_eq!(capacity.base_byte_count, Some(60));
}

#[tokio::test]
async fn what_is_taken_once_is_not_a_copys() {
    let server = FakeEndpoint::new(Script { growth: vec![220, 10], budget_byte_count: 500, ..Script::default() });
    let capacity = probe(&server, &published(40), &requests(1), 0.9, &NoProgress).await.unwrap();
    // 220 + 23 * 10 = 450 of 450.
    assert_eq!((capacity.copies, capacity.limit), (24, CapacityLimit::Threshold), "{capacity:?}");
    assert_eq!((capacity.base_byte_count, capacity.byte_count_per_copy), (Some(210), 10));
    assert_eq!((capacity.steps.len(), capacity.steps[24].used_byte_count), (25, 460));
    assert_eq!(
        server.targets().len(),
        75,
        "each copy is invoked cold and warm, also the one that passes the threshold"
    );
}

#[tokio::test]
async fn ends_with_the_published_copies() {
    let capacity = probe_script(Script::default(), 3).await.unwrap();
    assert_eq!((capacity.copies, capacity.limit), (3, CapacityLimit::PublishedCopies));
    assert_eq!(capacity.byte_count_per_copy, 100);
    assert_eq!(capacity.steps.iter().map(|step| step.loaded).collect::<Vec<_>>(), [1, 2, 3]);
}

#[tokio::test]
async fn a_copy_that_unloads_another_does_not_count() {
    let capacity = probe_script(Script { room: 2, ..Script::default() }, 5).await.unwrap();
    assert_eq!((capacity.copies, capacity.limit), (2, CapacityLimit::Eviction));
    assert_eq!((capacity.byte_count_per_copy, capacity.steps.len()), (100, 3));
    assert_eq!(capacity.steps[2].growth_byte_count, None);
}

#[tokio::test]
async fn a_first_copy_too_large_leaves_none() {
    let capacity = probe_script(Script { growth: vec![950], ..Script::default() }, 5).await.unwrap();
    assert_eq!((capacity.copies, capacity.limit), (0, CapacityLimit::Threshold));
    assert_eq!((capacity.byte_count_per_copy, capacity.base_byte_count, capacity.steps.len()), (950, None, 1));
    let refused = Script { responses: vec![ScriptedResponse::ModelOutOfMemory], ..Script::default() };
    let capacity = probe_script(refused, 5).await.unwrap();
    assert_eq!((capacity.copies, capacity.limit), (0, CapacityLimit::Threshold));
}

#[tokio::test]
async fn copies_loaded_before_count_with_what_the_endpoint_reports() {
    let script = Script { loaded_before: vec!["m-v0.tar.gz"], growth: vec![300, 100], ..Script::default() };
    let capacity = probe_script(script, 2).await.unwrap();
    assert_eq!((capacity.copies, capacity.byte_count_per_copy, capacity.base_byte_count), (2, 100, None));
    let is_cold: Vec<bool> = capacity.steps.iter().map(|step| step.cold.is_some()).collect();
    assert_eq!(is_cold, [false, true]);
}

#[tokio::test]
async fn copies_loaded_before_count_with_what_larger_requests_add() {
    let script = Script {
        loaded_before: vec!["m-v0.tar.gz", "m-v1.tar.gz"],
        growth_at_invocation: vec![5, 20],
        ..Script::default()
    };
    let capacity = probe_script(script, 2).await.unwrap();
    assert_eq!((capacity.copies, capacity.byte_count_per_copy), (2, 125));
}

#[tokio::test]
async fn loading_is_waited_for_but_not_forever() {
    let script =
        Script { responses: vec![ScriptedResponse::NotReady, ScriptedResponse::NotReady], ..Script::default() };
    assert_eq!(probe_script(script.clone(), 1).await.unwrap().copies, 1);
    let server = FakeEndpoint::new(script);
    let session = Session { patience: Duration::ZERO, ..Session::new(&server, &requests(1), &NoProgress) };
    let error = session.run(&published(1).target_models, 0.9).await.unwrap_err();
    assert!(matches!(&error, Error::NotReady { target_model, .. } if target_model == "m-v0.tar.gz"), "{error}");
}

#[tokio::test]
async fn other_failures_name_the_copy() {
    let script = Script {
        responses: vec![
            ScriptedResponse::Success,
            ScriptedResponse::Success,
            ScriptedResponse::Success,
            ScriptedResponse::ModelError("bad shape"),
        ],
        ..Script::default()
    };
    let error = probe_script(script, 3).await.unwrap_err();
    assert_eq!(error.to_string(), "copy `m-v1.tar.gz` failed");
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("bad shape"));
}

/// Cancels at the n-th check.
struct CancelsAt {
    looks: AtomicUsize,
    limit: usize,
    events: Mutex<Vec<EventKind>>,
}

impl Progress for CancelsAt {
    fn send(&self, event: Event) {
        assert_eq!(event.step, Step::Probe);
        self.events.lock().unwrap().push(event.kind);
    }

    fn is_cancelled(&self) -> bool {
        self.looks.fetch_add(1, Ordering::Relaxed) >= self.limit
    }
}

#[tokio::test]
async fn cancellation_ends_a_request_without_a_response() {
    let server = FakeEndpoint::new(Script { responses: vec![ScriptedResponse::Never], ..Script::default() });
    let progress = CancelsAt { looks: AtomicUsize::new(0), limit: 3, events: Mutex::default() };
    let error = probe(&server, &published(2), &requests(1), 0.9, &progress).await.unwrap_err();
    assert!(matches!(error, Error::Cancelled));
}

#[tokio::test]
async fn progress_counts_copies() {
    let server = FakeEndpoint::new(Script::default());
    let progress = CancelsAt { looks: AtomicUsize::new(0), limit: usize::MAX, events: Mutex::default() };
    probe(&server, &published(2), &requests(1), 0.9, &progress).await.unwrap();
    let events = progress.events.into_inner().unwrap();
    assert!(matches!(events[0], EventKind::Started { total: Some(2), unit: "copies" }), "{events:?}");
    assert!(matches!(events[2], EventKind::Advanced { done: 2 }), "{events:?}");
    assert!(matches!(events[3], EventKind::Finished { outcome: Outcome::Built, .. }), "{events:?}");
}
