//! The memory probe: how many copies of a model fit into the endpoint's memory budget.
//!
//! It invokes one copy after another twice, cold and warm, and reads the endpoint's memory state after each. It stops
//! before the copy that would pass the threshold, judged by the largest growth that any copy has shown so far.

use crate::cancel::unless_cancelled;
use crate::{Endpoint, Error, Result};
use planforge_core::{
    Capacity, CapacityLimit, EndpointState, Outcome, ProbeStep, Progress, Published, RequestBody, Step,
};
use std::time::{Duration, Instant};

/// Longest wait for a copy that is still loading: what clients of the managed service allow.
const PATIENCE: Duration = Duration::from_secs(360);

/// First pause between two attempts on a copy that is still loading; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// Longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Counts the copies that fit into `threshold` (a share) of the endpoint's budget. `request_body` is
/// the invocation sent to each copy; it should carry the largest batch that the copies will serve.
///
/// A copy counts when the number of loaded models grew by it, nothing was unloaded, and the memory in
/// use stayed within the threshold. The status 507 (insufficient storage), of the endpoint or of the
/// model's container, ends the probe with [`CapacityLimit::Threshold`]. Without a counted copy
/// `byte_count_per_copy` is the growth caused by the one that was tried. Copies that were loaded
/// before the probe count with the memory the endpoint reports for them.
///
/// # Errors
/// [`Error::Copy`] names the copy that failed, [`Error::NotReady`] the one that was still loading after
/// 360 s; [`Error::Cancelled`]; errors of [`Endpoint::state`].
pub async fn probe<E: Endpoint>(
    endpoint: &E,
    published: &Published,
    request_body: &RequestBody,
    threshold: f64,
    progress: &dyn Progress,
) -> Result<Capacity> {
    let start = Instant::now();
    let subject = published.variant.id();
    progress.started(Step::Probe, &subject, Some(published.target_models.len() as u64), "copies");
    let request = endpoint.prepare(request_body.clone());
    let session = Session { endpoint, request, progress, subject: &subject, patience: PATIENCE };
    let capacity = session.run(&published.target_models, threshold).await?;
    progress.finished(Step::Probe, &subject, Outcome::Built, start.elapsed());
    Ok(capacity)
}

/// One run of the probe.
struct Session<'a, E: Endpoint> {
    endpoint: &'a E,
    request: E::Request,
    progress: &'a dyn Progress,
    subject: &'a str,
    patience: Duration,
}

/// Measurements so far.
struct ProbeState {
    before: EndpointState,
    counted_growth: Vec<u64>,
    last_growth: u64,
    largest_growth: u64,
    steps: Vec<ProbeStep>,
}

/// Latency of the first invocation of a copy, loading included, and of the second.
struct Latencies {
    cold: Duration,
    warm: Duration,
}

impl<E: Endpoint> Session<'_, E> {
    async fn run(&self, target_models: &[String], threshold: f64) -> Result<Capacity> {
        let before = unless_cancelled(self.progress, self.endpoint.state()).await?;
        let budget_byte_count = before.budget_byte_count;
        let allowed = share(budget_byte_count, threshold);
        let mut state =
            ProbeState { before, counted_growth: Vec::new(), last_growth: 0, largest_growth: 0, steps: Vec::new() };
        let mut limit = CapacityLimit::PublishedCopies;
        for target_model in target_models {
            if let Some(reached) = self.copy(target_model, allowed, &mut state).await? {
                limit = reached;
                break;
            }
            self.progress.advanced(Step::Probe, self.subject, state.counted_growth.len() as u64);
        }
        Ok(Capacity {
            budget_byte_count,
            threshold,
            copies: u32::try_from(state.counted_growth.len()).unwrap_or(u32::MAX),
            limit,
            byte_count_per_copy: mean(&state.counted_growth).unwrap_or(state.last_growth),
            steps: state.steps,
        })
    }

    /// Tries one more copy and returns the limit that it met, if any.
    async fn copy(&self, target_model: &str, allowed: u64, state: &mut ProbeState) -> Result<Option<CapacityLimit>> {
        let was_loaded = is_loaded(&state.before, target_model);
        let predicted = if was_loaded { 0 } else { state.largest_growth };
        if state.before.used_byte_count.saturating_add(predicted) > allowed {
            return Ok(Some(CapacityLimit::Threshold));
        }
        let Latencies { cold, warm } = match self.invoke_twice(target_model).await {
            Err(error) if error.is_out_of_memory() => {
                self.progress.note(Step::Probe, self.subject, format!("`{target_model}` does not fit: {error}"));
                return Ok(Some(CapacityLimit::Threshold));
            }
            outcome => outcome.map_err(|error| of_copy(target_model, error))?,
        };
        let after = unless_cancelled(self.progress, self.endpoint.state()).await?;
        state.steps.push(ProbeStep {
            target_model: target_model.to_owned(),
            cold,
            warm,
            used_byte_count: after.used_byte_count,
            loaded: u32::try_from(after.models.len()).unwrap_or(u32::MAX),
        });
        let growth = growth(&state.before, &after, target_model);
        state.last_growth = growth;
        let limit = if has_unloaded(&state.before, &after, was_loaded) {
            Some(CapacityLimit::Eviction)
        } else if after.used_byte_count > allowed {
            Some(CapacityLimit::Threshold)
        } else {
            state.counted_growth.push(growth);
            state.largest_growth = state.largest_growth.max(growth);
            None
        };
        state.before = after;
        Ok(limit)
    }

    /// Time of the first invocation, loading and waiting included, and of the second.
    async fn invoke_twice(&self, target_model: &str) -> Result<Latencies> {
        let start = Instant::now();
        self.invoke_when_ready(target_model, start).await?;
        let cold = start.elapsed();
        let warm = self.invoke_when_ready(target_model, Instant::now()).await?;
        Ok(Latencies { cold, warm })
    }

    /// Latency of the first attempt whose response is not "still loading".
    async fn invoke_when_ready(&self, target_model: &str, start: Instant) -> Result<Duration> {
        let mut pause = FIRST_PAUSE;
        loop {
            match unless_cancelled(self.progress, self.endpoint.send(&self.request, target_model)).await {
                Ok(invocation) => return Ok(invocation.latency),
                Err(error) if !error.is_not_ready() => return Err(error),
                Err(_) if start.elapsed() >= self.patience => {
                    return Err(Error::NotReady { target_model: target_model.to_owned(), waited: self.patience });
                }
                Err(_) => {}
            }
            let rest = async {
                tokio::time::sleep(pause).await;
                Ok(())
            };
            unless_cancelled(self.progress, rest).await?;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

/// The error with the name of the copy.
fn of_copy(target_model: &str, error: Error) -> Error {
    match error {
        Error::Cancelled | Error::NotReady { .. } => error,
        error => Error::Copy { target_model: target_model.to_owned(), source: Box::new(error) },
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of a budget to the byte is more than the kernel's pages allow"
)]
fn share(budget_byte_count: u64, threshold: f64) -> u64 {
    (budget_byte_count as f64 * threshold) as u64
}

fn is_loaded(state: &EndpointState, target_model: &str) -> bool {
    state.models.iter().any(|model| model.target_model == target_model)
}

/// Memory of the copy: the growth of the memory in use, or the reported size of a copy that was loaded before.
fn growth(before: &EndpointState, after: &EndpointState, target_model: &str) -> u64 {
    match before.models.iter().find(|model| model.target_model == target_model) {
        Some(model) => model.byte_count,
        None => after.used_byte_count.saturating_sub(before.used_byte_count),
    }
}

fn has_unloaded(before: &EndpointState, after: &EndpointState, was_loaded: bool) -> bool {
    let expected = before.models.len() + usize::from(!was_loaded);
    after.evictions > before.evictions || after.models.len() != expected
}

fn mean(values: &[u64]) -> Option<u64> {
    let sum: u64 = values.iter().sum();
    sum.checked_div(values.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scripted::{FakeEndpoint, Script, ScriptedResponse};
    use planforge_core::{Event, EventKind, NoProgress, Precision, Variant, digest_bytes};
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

    async fn probe_script(script: Script, copies: u32) -> Result<Capacity> {
        let server = FakeEndpoint::new(script);
        probe(&server, &published(copies), &"{}".into(), 0.9, &NoProgress).await
    }

    #[tokio::test]
    async fn stops_before_the_copy_that_would_pass_the_threshold() {
        let server = FakeEndpoint::new(Script { growth: vec![200, 100], ..Script::default() });
        let capacity = probe(&server, &published(20), &"{}".into(), 0.9, &NoProgress).await.unwrap();
        // 200 + 6 x 100 = 800; the next may take 200 again, and 1000 > 900.
        assert_eq!((capacity.copies, capacity.limit), (7, CapacityLimit::Threshold), "{capacity:?}");
        assert_eq!(capacity.byte_count_per_copy, 800 / 7);
        assert_eq!(capacity.steps.len(), 7);
        assert_eq!(capacity.steps[6].used_byte_count, 800);
        assert_eq!(server.targets().len(), 14, "each copy is invoked cold and warm, the eighth not at all");
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
    }

    #[tokio::test]
    async fn a_first_copy_too_large_leaves_none() {
        let capacity = probe_script(Script { growth: vec![950], ..Script::default() }, 5).await.unwrap();
        assert_eq!((capacity.copies, capacity.limit), (0, CapacityLimit::Threshold));
        assert_eq!((capacity.byte_count_per_copy, capacity.steps.len()), (950, 1));
        let refused = Script { responses: vec![ScriptedResponse::ModelOutOfMemory], ..Script::default() };
        let capacity = probe_script(refused, 5).await.unwrap();
        assert_eq!((capacity.copies, capacity.limit), (0, CapacityLimit::Threshold));
    }

    #[tokio::test]
    async fn copies_loaded_before_count_with_what_the_endpoint_reports() {
        let script = Script { loaded_before: vec!["m-v0.tar.gz"], growth: vec![300, 100], ..Script::default() };
        let capacity = probe_script(script, 2).await.unwrap();
        assert_eq!((capacity.copies, capacity.byte_count_per_copy), (2, 200));
    }

    #[tokio::test]
    async fn loading_is_waited_for_but_not_forever() {
        let script =
            Script { responses: vec![ScriptedResponse::NotReady, ScriptedResponse::NotReady], ..Script::default() };
        assert_eq!(probe_script(script.clone(), 1).await.unwrap().copies, 1);
        let server = FakeEndpoint::new(script);
        let request = server.prepare("{}".into());
        let session =
            Session { endpoint: &server, request, progress: &NoProgress, subject: "m", patience: Duration::ZERO };
        let error = session.run(&published(1).target_models, 0.9).await.unwrap_err();
        assert!(matches!(&error, Error::NotReady { target_model, .. } if target_model == "m-v0.tar.gz"), "{error}");
    }

    #[tokio::test]
    async fn other_failures_name_the_copy() {
        let script = Script {
            responses: vec![
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
        let error = probe(&server, &published(2), &"{}".into(), 0.9, &progress).await.unwrap_err();
        assert!(matches!(error, Error::Cancelled));
    }

    #[tokio::test]
    async fn progress_counts_copies() {
        let server = FakeEndpoint::new(Script::default());
        let progress = CancelsAt { looks: AtomicUsize::new(0), limit: usize::MAX, events: Mutex::default() };
        probe(&server, &published(2), &"{}".into(), 0.9, &progress).await.unwrap();
        let events = progress.events.into_inner().unwrap();
        assert!(matches!(events[0], EventKind::Started { total: Some(2), unit: "copies" }), "{events:?}");
        assert!(matches!(events[2], EventKind::Advanced { done: 2 }), "{events:?}");
        assert!(matches!(events[3], EventKind::Finished { outcome: Outcome::Built, .. }), "{events:?}");
    }
}
