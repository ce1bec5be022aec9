//! Tables of the probe and the load test as CSV (RFC 4180), with plain units: seconds and bytes.

use planforge_core::{Capacity, LatencySummary, LoadPoint, LoadResult};
use std::time::Duration;

const PROBE_HEAD: [&str; 8] = [
    "copy",
    "target_model",
    "cold_seconds",
    "warm_seconds",
    "used_bytes",
    "growth_bytes",
    "growth_after_smallest_bytes",
    "loaded",
];

const LOAD_HEAD: [&str; 15] = [
    "span",
    "index",
    "start_seconds",
    "duration_seconds",
    "users",
    "requests",
    "failures",
    "throughput_per_second",
    "min_seconds",
    "mean_seconds",
    "p50_seconds",
    "p90_seconds",
    "p95_seconds",
    "p99_seconds",
    "max_seconds",
];

/// One line for each copy that the probe invoked; only the head without a probe.
pub(crate) fn probe_csv(capacity: Option<&Capacity>) -> String {
    let number = |count: Option<u64>| count.map(|count| count.to_string()).unwrap_or_default();
    let mut text = record(&PROBE_HEAD.map(str::to_owned));
    for (index, step) in capacity.iter().flat_map(|capacity| &capacity.steps).enumerate() {
        text += &record(&[
            (index + 1).to_string(),
            step.target_model.clone(),
            step.cold.map(seconds).unwrap_or_default(),
            seconds(step.warm),
            step.used_byte_count.to_string(),
            number(step.growth_byte_count),
            number(step.growth_after_smallest_byte_count),
            step.loaded.to_string(),
        ]);
    }
    text
}

/// One line for each stage, each second, and the whole test; only the head without a load test.
pub(crate) fn load_csv(load: Option<&LoadResult>) -> String {
    let mut text = record(&LOAD_HEAD.map(str::to_owned));
    let Some(load) = load else { return text };
    for (span, points) in
        [("stage", load.stages.as_slice()), ("second", &load.seconds), ("total", std::slice::from_ref(&load.total))]
    {
        for (index, point) in points.iter().enumerate() {
            text += &record(&load_record(span, index + 1, point));
        }
    }
    text
}

fn load_record(span: &str, index: usize, point: &LoadPoint) -> Vec<String> {
    let mut fields = vec![
        span.to_owned(),
        index.to_string(),
        seconds(point.start),
        seconds(point.duration),
        point.users.to_string(),
        point.requests.to_string(),
        point.failures.to_string(),
        format!("{:.3}", point.throughput),
    ];
    fields.extend(latency_fields(point.latency.as_ref()));
    fields
}

/// Seven fields, empty when there was no successful answer.
fn latency_fields(latency: Option<&LatencySummary>) -> [String; 7] {
    let Some(latency) = latency else { return Default::default() };
    [latency.min, latency.mean, latency.p50, latency.p90, latency.p95, latency.p99, latency.max].map(seconds)
}

fn seconds(duration: Duration) -> String {
    format!("{:.6}", duration.as_secs_f64())
}

/// One line, ended by CR LF.
fn record(fields: &[String]) -> String {
    let fields: Vec<_> = fields.iter().map(|field| quoted(field)).collect();
    fields.join(",") + "\r\n"
}

/// A field with quotation marks around it where it needs them.
fn quoted(field: &str) -> String {
    if field.contains(['"', ',', '\r', '\n']) || field.starts_with(' ') || field.ends_with(' ') {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn fields_are_quoted_where_needed() {
        assert_eq!(quoted("m-v0.tar.gz"), "m-v0.tar.gz");
        assert_eq!(quoted("a,b"), "\"a,b\"");
        assert_eq!(quoted("say \"x\"\n"), "\"say \"\"x\"\"\n\"");
    }

    #[test]
    fn lines_have_as_many_fields_as_their_head() {
        let report = sample::full();
        for text in [probe_csv(report.capacity.as_ref()), load_csv(report.load.as_ref())] {
            assert!(text.ends_with("\r\n"));
            let commas: Vec<_> = text.lines().map(|line| line.matches(',').count()).collect();
            assert!(commas.len() > 2 && commas.iter().all(|count| *count == commas[0]), "{text}");
        }
        assert_eq!(load_csv(report.load.as_ref()).lines().nth(1).unwrap().split(',').nth(10), Some("0.009000"));
    }

    #[test]
    fn without_results_there_is_a_head() {
        assert_eq!(probe_csv(None).lines().count(), 1);
        assert_eq!(load_csv(None).lines().count(), 1);
    }
}
