//! Records a load test: each user collects the responses of the current second and sends them on when the second is
//! over, so that users share nothing while requests run.

use super::plan::{Plan, Span};
use crate::{Error, Invocation, Result};
use hdrhistogram::Histogram;
use planforge_core::{LatencySummary, LoadPoint, LoadResult};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;

/// Distinct failures reported.
const MAX_FAILURES: usize = 10;

/// Distinct failures distinguished during the test.
const MAX_FAILURES_KEPT: usize = 100;

/// Name of the failures beyond those.
const OTHER_FAILURES: &str = "other failures";

/// Characters of a failure's text.
const MAX_FAILURE_CHARS: usize = 160;

/// Significant digits of the percentiles of stages and of the whole test; of single seconds, of which
/// there are many.
const STAGE_DIGITS: u8 = 3;
const SECOND_DIGITS: u8 = 2;

/// The responses that one user received in one second.
#[derive(Debug, Default)]
pub(super) struct Batch {
    second: u64,
    /// Latencies of successful responses in microseconds.
    latencies: Vec<u32>,
    failures: BTreeMap<String, u64>,
}

/// The responses of one user in the current second.
pub(super) struct UserRecorder {
    sender: UnboundedSender<Batch>,
    batch: Batch,
}

impl UserRecorder {
    pub(super) fn new(sender: UnboundedSender<Batch>) -> Self {
        Self { sender, batch: Batch::default() }
    }

    /// Adds a response that ended `ended` after the start of the test.
    pub(super) fn record(&mut self, ended: Duration, outcome: &Result<Invocation>) {
        if ended.as_secs() != self.batch.second {
            self.flush();
            self.batch.second = ended.as_secs();
        }
        match outcome {
            Ok(invocation) => {
                self.batch.latencies.push(u32::try_from(invocation.latency.as_micros()).unwrap_or(u32::MAX));
            }
            Err(error) => *self.batch.failures.entry(failure_text(error)).or_default() += 1,
        }
    }

    /// Sends on the responses collected so far.
    pub(super) fn flush(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        if !batch.latencies.is_empty() || !batch.failures.is_empty() {
            // The receiver is gone only when the test was cancelled.
            drop(self.sender.send(batch));
        }
    }
}

/// Short text of a failure, equal for equal causes.
fn failure_text(error: &Error) -> String {
    let text = match error {
        Error::Status { status, kind, message, .. } if kind.is_empty() => format!("{status}: {message}"),
        Error::Status { status, kind, message, .. } => format!("{status} {kind}: {message}"),
        Error::Timeout { timeout, .. } => format!("no response within {} s", timeout.as_secs_f64()),
        Error::Unreachable { .. } => "no connection to the endpoint".to_owned(),
        Error::ConnectionLost { .. } => "connection closed before the response was complete".to_owned(),
        other => other.to_string(),
    };
    if text.chars().count() <= MAX_FAILURE_CHARS {
        return text;
    }
    text.chars().take(MAX_FAILURE_CHARS - 1).chain(['…']).collect()
}

/// Sums of all responses by second, by stage and over the whole test.
pub(super) struct Recorder {
    plan: Plan,
    seconds: Vec<SpanStats>,
    stages: Vec<SpanStats>,
    total: SpanStats,
    failures: BTreeMap<String, u64>,
}

impl Recorder {
    pub(super) fn new(plan: Plan) -> Self {
        let seconds = usize::try_from(plan.end().as_secs()).unwrap_or(usize::MAX);
        Self {
            seconds: vec![SpanStats::new(SECOND_DIGITS); seconds],
            stages: vec![SpanStats::new(STAGE_DIGITS); plan.stages().len()],
            total: SpanStats::new(STAGE_DIGITS),
            failures: BTreeMap::new(),
            plan,
        }
    }

    pub(super) fn add(&mut self, batch: Batch) {
        let time = Duration::from_secs(batch.second);
        let is_late = time >= self.plan.end();
        let second = usize::try_from(batch.second).unwrap_or(usize::MAX).min(self.seconds.len() - 1);
        let stage = self.plan.stage_at(time);
        for stats in [&mut self.seconds[second], &mut self.stages[stage], &mut self.total] {
            stats.add(&batch, is_late);
        }
        for (text, count) in batch.failures {
            let is_known = self.failures.contains_key(&text) || self.failures.len() < MAX_FAILURES_KEPT;
            let text = if is_known { text } else { OTHER_FAILURES.to_owned() };
            *self.failures.entry(text).or_default() += count;
        }
    }

    pub(super) fn finish(self, copies: u32) -> LoadResult {
        let second = |index: usize| {
            let start = Duration::from_secs(index as u64);
            Span { start, end: start + Duration::from_secs(1) }
        };
        let point = |stats: &SpanStats, span: Span| stats.point(span, self.plan.users_before(span.end));
        let max_users = self.plan.max_users();
        LoadResult {
            stages: self.stages.iter().zip(self.plan.stages()).map(|(stats, span)| point(stats, *span)).collect(),
            seconds: self.seconds.iter().enumerate().map(|(index, stats)| point(stats, second(index))).collect(),
            total: self.total.point(Span { start: Duration::ZERO, end: self.plan.end() }, max_users),
            failures: most_frequent(self.failures),
            copies,
            max_users,
        }
    }
}

/// The most frequent failures first, the rest in one last line.
fn most_frequent(failures: BTreeMap<String, u64>) -> Vec<(String, u64)> {
    let mut failures: Vec<_> = failures.into_iter().collect();
    failures.sort_by_key(|(text, count)| (text == OTHER_FAILURES, std::cmp::Reverse(*count)));
    let rest: u64 = failures.iter().skip(MAX_FAILURES).map(|(_, count)| count).sum();
    failures.truncate(MAX_FAILURES);
    if rest > 0 {
        failures.push((OTHER_FAILURES.to_owned(), rest));
    }
    failures
}

/// Sums of one span.
#[derive(Clone)]
struct SpanStats {
    digits: u8,
    successes: u64,
    failures: u64,
    /// Successes that ended after the end of the test.
    late_successes: u64,
    /// Sum, smallest and largest latency in microseconds.
    sum: u64,
    min: u32,
    max: u32,
    latencies: Option<Histogram<u32>>,
}

impl SpanStats {
    fn new(digits: u8) -> Self {
        Self { digits, successes: 0, failures: 0, late_successes: 0, sum: 0, min: u32::MAX, max: 0, latencies: None }
    }

    fn add(&mut self, batch: &Batch, is_late: bool) {
        self.failures += batch.failures.values().sum::<u64>();
        self.successes += batch.latencies.len() as u64;
        if is_late {
            self.late_successes += batch.latencies.len() as u64;
        }
        for &latency in &batch.latencies {
            self.sum += u64::from(latency);
            self.min = self.min.min(latency);
            self.max = self.max.max(latency);
            self.latencies
                .get_or_insert_with(|| Histogram::new(self.digits).expect("the number of digits is from 0 to 5"))
                .record(latency.into())
                .expect("a histogram that grows takes every latency");
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of requests stay far below 2^52")]
    fn point(&self, span: Span, users: u32) -> LoadPoint {
        let duration = span.end - span.start;
        let timely = (self.successes - self.late_successes) as f64;
        LoadPoint {
            start: span.start,
            duration,
            users,
            requests: self.successes + self.failures,
            failures: self.failures,
            throughput: if duration.is_zero() { 0.0 } else { timely / duration.as_secs_f64() },
            latency: self.latencies.as_ref().map(|latencies| self.summary(latencies)),
        }
    }

    fn summary(&self, latencies: &Histogram<u32>) -> LatencySummary {
        let duration = |microseconds: u64| Duration::from_micros(microseconds);
        let (min, max) = (u64::from(self.min), u64::from(self.max));
        let quantile = |quantile| duration(latencies.value_at_quantile(quantile).clamp(min, max));
        LatencySummary {
            min: duration(min),
            mean: duration(self.sum / self.successes.max(1)),
            p50: quantile(0.5),
            p90: quantile(0.9),
            p95: quantile(0.95),
            p99: quantile(0.99),
            max: duration(max),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use planforge_core::LoadStage;

    fn recorder() -> Recorder {
        let stages = [1, 2].map(|users| LoadStage { users, seconds: 2, spawn_rate: None });
        Recorder::new(Plan::new(&stages).unwrap())
    }

    fn batch(second: u64, latencies: &[u32]) -> Batch {
        Batch { second, latencies: latencies.to_vec(), failures: BTreeMap::new() }
    }

    #[test]
    fn percentiles_of_known_latencies() {
        let mut recorder = recorder();
        recorder.add(batch(0, &(1..=1000).map(|index| index * 10).collect::<Vec<_>>()));
        let latency = recorder.finish(1).total.latency.unwrap();
        let expected = [(latency.p50, 5000), (latency.p90, 9000), (latency.p95, 9500), (latency.p99, 9900)];
        for (found, expected) in expected {
            let error = found.as_micros().abs_diff(expected);
            assert!(error * 1000 <= expected, "{found:?} is not within 0.1 % of {expected} µs");
        }
        assert_eq!((latency.min.as_micros(), latency.max.as_micros(), latency.mean.as_micros()), (10, 10_000, 5005));
    }

    #[test]
    fn responses_belong_to_the_second_and_stage_they_end_in() {
        let mut recorder = recorder();
        for second in [0, 1, 1, 2, 7] {
            recorder.add(batch(second, &[100, 200]));
        }
        let result = recorder.finish(3);
        assert_eq!(result.seconds.iter().map(|point| point.requests).collect::<Vec<_>>(), [2, 4, 2, 2]);
        assert_eq!(result.stages.iter().map(|point| point.requests).collect::<Vec<_>>(), [6, 4]);
        assert_eq!((result.total.requests, result.total.users, result.max_users, result.copies), (10, 2, 2, 3));
        let throughput: Vec<_> = result.stages.iter().map(|point| point.throughput).collect();
        assert_eq!(throughput, [3.0, 1.0], "responses after the end are not part of the throughput");
    }

    #[test]
    fn failures_are_counted_and_the_frequent_ones_named() {
        let mut recorder = recorder();
        for kind in 0..200_u64 {
            let failures = BTreeMap::from([(format!("kind {kind}"), kind % 20 + 1)]);
            recorder.add(Batch { second: 0, latencies: Vec::new(), failures });
        }
        let result = recorder.finish(1);
        assert_eq!(result.failures.len(), MAX_FAILURES + 1);
        assert_eq!(result.failures[0], ("kind 19".to_owned(), 20));
        assert_eq!(result.failures[MAX_FAILURES].0, OTHER_FAILURES);
        let sum: u64 = result.failures.iter().map(|(_, count)| count).sum();
        assert_eq!((sum, result.total.failures), (2100, 2100));
        assert!(result.total.latency.is_none());
    }

    #[test]
    fn failure_texts_are_short() {
        let error = Error::Status {
            url: String::new(),
            status: 424,
            kind: "ModelError".to_owned(),
            message: "ü".repeat(500),
            original_status: None,
        };
        let text = failure_text(&error);
        assert!(text.starts_with("424 ModelError: ü") && text.ends_with('…'), "{text}");
        assert_eq!(text.chars().count(), MAX_FAILURE_CHARS);
    }
}
