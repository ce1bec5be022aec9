//! The users of a load test and the clock that ends it.

use super::plan::{Plan, Span};
use super::recorder::{Batch, Recorder, UserRecorder};
use crate::cancel::POLL;
use crate::{Endpoint, Error, Result};
use planforge_core::{
    LoadResult, LoadSpec, OWN_DESCRIPTORS, Outcome, Progress, RequestBody, Step, allowed_descriptors,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Pause of a user whose request found no connection, so that a dead endpoint does not get millions of requests.
const RECONNECT_PAUSE: Duration = Duration::from_millis(100);

/// Runs the stages of `spec` against the copies `targets`. Each user sends its next request when it has the response to
/// its last, to a copy drawn by its own generator, seeded with the test's seed plus the user's index: a user requests the
/// same sequence of copies in every run.
///
/// A request belongs to the second and the stage in which its response ended. Requests in flight at the end of the test may
/// still take the endpoint's request timeout; they count in the last second and stage, but not in the throughput, which is
/// successful responses within a span over its length. `users` of a span is their number at its end. Percentiles of stages
/// are exact to 0.1 %, of seconds to 1 %.
///
/// # Errors
/// [`Error::NoTargets`], [`Error::LoadSize`], [`Error::Descriptors`], [`Error::Cancelled`]. Failed requests are not errors but part of the result.
pub async fn load<E: Endpoint>(
    endpoint: &E,
    targets: &[String],
    request_body: &RequestBody,
    spec: &LoadSpec,
    progress: &dyn Progress,
) -> Result<LoadResult> {
    if targets.is_empty() {
        return Err(Error::NoTargets);
    }
    let plan = Plan::new(&spec.stages)?;
    require_descriptors(plan.max_users(), allowed_descriptors())?;
    let test = Arc::new(LoadTest {
        endpoint: endpoint.clone(),
        request: endpoint.prepare(request_body.clone()),
        targets: targets.to_vec(),
        seed: spec.seed,
        start: Instant::now(),
    });
    progress.started(Step::Load, endpoint.name(), Some(plan.end().as_secs()), "seconds");
    let (sender, receiver) = mpsc::unbounded_channel();
    let users = start_users(&test, &plan, &sender);
    drop(sender);
    let end = plan.end();
    let mut recorder = Recorder::new(plan);
    collect(&test, receiver, &mut recorder, end, progress).await?;
    users.join_all().await;
    progress.finished(Step::Load, endpoint.name(), Outcome::Built, test.start.elapsed());
    Ok(recorder.finish(u32::try_from(targets.len()).unwrap_or(u32::MAX)))
}

/// Each user has a connection.
fn require_descriptors(users: u32, allowed: u64) -> Result<()> {
    let needed = u64::from(users) + OWN_DESCRIPTORS;
    if needed > allowed { Err(Error::Descriptors { users, needed, allowed }) } else { Ok(()) }
}

/// What all users share.
struct LoadTest<E: Endpoint> {
    endpoint: E,
    request: E::Request,
    targets: Vec<String>,
    seed: u64,
    start: Instant,
}

fn start_users<E: Endpoint>(test: &Arc<LoadTest<E>>, plan: &Plan, sender: &UnboundedSender<Batch>) -> JoinSet<()> {
    let mut users = JoinSet::new();
    for (index, activity) in (0..).zip(plan.activity()) {
        users.spawn(user(Arc::clone(test), index, activity, UserRecorder::new(sender.clone())));
    }
    users
}

async fn user<E: Endpoint>(test: Arc<LoadTest<E>>, index: u64, activity: Vec<Span>, mut recorder: UserRecorder) {
    let mut random = StdRng::seed_from_u64(test.seed.wrapping_add(index));
    for span in activity {
        tokio::time::sleep_until(test.start + span.start).await;
        while test.start.elapsed() < span.end {
            let target_model = &test.targets[random.random_range(..test.targets.len())];
            let outcome = test.endpoint.send(&test.request, target_model).await;
            recorder.record(test.start.elapsed(), &outcome);
            if outcome.is_err_and(|error| error.is_disconnected()) {
                tokio::time::sleep(RECONNECT_PAUSE).await;
            }
        }
        recorder.flush();
    }
}

/// Adds the users' batches to the recorder until the last user has left.
async fn collect<E: Endpoint>(
    test: &LoadTest<E>,
    mut receiver: UnboundedReceiver<Batch>,
    recorder: &mut Recorder,
    end: Duration,
    progress: &dyn Progress,
) -> Result<()> {
    let mut clock = tokio::time::interval(POLL);
    let mut done = 0;
    loop {
        tokio::select! {
            biased;
            _ = clock.tick() => {
                if progress.is_cancelled() {
                    return Err(Error::Cancelled);
                }
                let now = test.start.elapsed().min(end).as_secs();
                if now > done {
                    done = now;
                    progress.advanced(Step::Load, test.endpoint.name(), done);
                }
            }
            batch = receiver.recv() => match batch {
                Some(batch) => recorder.add(batch),
                None => return Ok(()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EndpointClient;
    use crate::scripted::{Script, ScriptedEndpoint, ScriptedResponse};
    use planforge_core::{Event, LoadStage, NoProgress};
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn spec(stages: &[(u32, u32)]) -> LoadSpec {
        let stages = stages.iter().map(|&(users, seconds)| LoadStage { users, seconds, spawn_rate: None }).collect();
        LoadSpec { stages, seed: 7, ..LoadSpec::default() }
    }

    fn copies(count: u32) -> Vec<String> {
        (0..count).map(|index| format!("m-v{index}.tar.gz")).collect()
    }

    #[tokio::test]
    async fn counts_equal_what_the_server_saw() {
        let responses = vec![
            ScriptedResponse::Success,
            ScriptedResponse::ModelError("bad shape"),
            ScriptedResponse::Success,
            ScriptedResponse::NotReady,
        ];
        let server = ScriptedEndpoint::start(Script { responses, ..Script::default() }).await;
        let result =
            load(&server.client(), &copies(3), &"{}".into(), &spec(&[(1, 1), (3, 1)]), &NoProgress).await.unwrap();
        let seen = server.targets().len() as u64;
        assert_eq!((result.total.requests, result.total.failures, server.failures()), (seen, 2, 2));
        for points in [&result.stages, &result.seconds] {
            assert_eq!(points.iter().map(|point| point.requests).sum::<u64>(), seen);
            assert_eq!(points.iter().map(|point| point.users).collect::<Vec<_>>(), [1, 3]);
        }
        assert_eq!(result.failures.len(), 2);
        assert!(result.failures[0].0.starts_with("424 ModelError: the model answered 400"), "{:?}", result.failures);
        let latency = result.total.latency.unwrap();
        assert!(latency.min <= latency.p50 && latency.p50 <= latency.p99 && latency.p99 <= latency.max);
        assert_eq!((result.copies, result.max_users), (3, 3));
    }

    #[tokio::test]
    async fn one_user_requests_the_same_copies_in_every_run() {
        let mut runs = Vec::new();
        for seed in [7, 7, 8] {
            let server = ScriptedEndpoint::start(Script::default()).await;
            let spec = LoadSpec { seed, ..spec(&[(1, 1)]) };
            load(&server.client(), &copies(50), &"{}".into(), &spec, &NoProgress).await.unwrap();
            runs.push(server.targets());
        }
        let common = runs.iter().map(Vec::len).min().unwrap();
        assert!(common > 1);
        assert_eq!(runs[0][..common], runs[1][..common]);
        assert_ne!(runs[0][..common], runs[2][..common]);
    }

    #[tokio::test]
    async fn cut_connections_are_failures() {
        let server = ScriptedEndpoint::start(Script {
            responses: vec![ScriptedResponse::Cut],
            repeat: true,
            ..Script::default()
        })
        .await;
        let result = load(&server.client(), &copies(1), &"{}".into(), &spec(&[(2, 1)]), &NoProgress).await.unwrap();
        assert_eq!(result.total.requests, result.total.failures);
        assert!(result.total.latency.is_none());
        assert_eq!(result.failures[0].0, "connection closed before the response was complete");
    }

    #[tokio::test]
    async fn requests_in_flight_at_the_end_are_recorded() {
        let script = Script { responses: vec![ScriptedResponse::Never], repeat: true, ..Script::default() };
        let server = ScriptedEndpoint::start(script).await;
        let client = EndpointClient::new(&server.base_url(), "e", Duration::from_secs(2), None).unwrap();
        let result = load(&client, &copies(1), &"{}".into(), &spec(&[(2, 1)]), &NoProgress).await.unwrap();
        assert_eq!((result.total.requests, result.seconds.len()), (2, 1));
        assert_eq!(result.failures, [("no response within 2 s".to_owned(), 2)]);
    }

    #[tokio::test]
    async fn a_test_without_copies_is_an_error() {
        let server = ScriptedEndpoint::start(Script::default()).await;
        let error = load(&server.client(), &[], &"{}".into(), &spec(&[(1, 1)]), &NoProgress).await.unwrap_err();
        assert!(matches!(error, Error::NoTargets));
    }

    /// Cancels at the third check.
    #[derive(Default)]
    struct StopsAtThird(AtomicUsize, Mutex<Vec<Event>>);

    impl Progress for StopsAtThird {
        fn send(&self, event: Event) {
            self.1.lock().unwrap().push(event);
        }

        fn is_cancelled(&self) -> bool {
            self.0.fetch_add(1, Ordering::Relaxed) >= 2
        }
    }

    #[tokio::test]
    async fn cancellation_does_not_wait_for_responses() {
        let script = Script { responses: vec![ScriptedResponse::Never], repeat: true, ..Script::default() };
        let server = ScriptedEndpoint::start(script).await;
        let progress = StopsAtThird::default();
        let outcome = load(&server.client(), &copies(1), &"{}".into(), &spec(&[(2, 3600)]), &progress).await;
        assert!(matches!(outcome, Err(Error::Cancelled)));
        assert_eq!(progress.1.lock().unwrap().len(), 1, "only the start was reported");
    }
}
