//! The charts of the load test: latency and throughput over time.

use super::figure::{Chart, Panel};
use super::marks::{Mark, Point, Series};
use super::scale::Span;
use crate::units;
use planforge_core::{LatencySummary, LoadPoint, LoadResult};
use std::time::Duration;

const MAIN_HEIGHT: f64 = 220.0;
const SIDE_HEIGHT: f64 = 70.0;

/// Latency percentiles in each second, over the number of users.
pub(crate) fn latency_chart(load: &LoadResult) -> Chart {
    let slowest = load.seconds.iter().filter_map(|point| point.latency).map(|latency| latency.p99).max();
    let slowest = slowest.unwrap_or_default();
    let (unit, per_second) = if slowest < Duration::from_secs(2) { ("ms", 1e3) } else { ("s", 1.0) };
    let percentile = |name: &'static str, class, pick: fn(&LatencySummary) -> Duration| {
        seconds_series(load, name, class, Mark::Line, |point| {
            let latency = pick(point.latency.as_ref()?);
            Some((latency.as_secs_f64() * per_second, units::duration(latency)))
        })
    };
    let total = load.total.latency.as_ref().map_or(String::new(), |latency| {
        format!(
            " Over the whole test the median is {}, p95 {}.",
            units::duration(latency.p50),
            units::duration(latency.p95)
        )
    });
    time_chart(
        load,
        "latency",
        "Latency of successful responses",
        format!("Latency percentiles in each second; the highest p99 is {}.{total}", units::duration(slowest)),
        vec![
            Panel {
                y_label: format!("latency, {unit}"),
                height: MAIN_HEIGHT,
                is_whole: false,
                series: vec![
                    percentile("p50 (median)", "one", |latency| latency.p50),
                    percentile("p95", "two", |latency| latency.p95),
                    percentile("p99", "three", |latency| latency.p99),
                ],
                limits: Vec::new(),
            },
            users_panel(load),
        ],
    )
}

/// Successful and failed responses in each second, over the number of users.
#[expect(clippy::cast_precision_loss, reason = "places on a drawing")]
pub(crate) fn throughput_chart(load: &LoadResult) -> Chart {
    let successes = seconds_series(load, "successful responses", "one", Mark::Line, |point| {
        Some((point.throughput, format!("{} per second", units::three_digits(point.throughput))))
    });
    let failures = seconds_series(load, "failures", "bad", Mark::Bars, |point| {
        Some((point.failures as f64, units::count(point.failures)))
    });
    let panel = |y_label: &str, height, is_whole, series| Panel {
        y_label: y_label.to_owned(),
        height,
        is_whole,
        series: vec![series],
        limits: Vec::new(),
    };
    time_chart(
        load,
        "throughput",
        "Throughput and failures",
        format!(
            "Successful responses in each second, {} per second over the whole test, and {} in all.",
            units::three_digits(load.total.throughput),
            units::plural(load.total.failures, "failure", "failures")
        ),
        vec![
            panel("successful responses per second", MAIN_HEIGHT, false, successes),
            panel("failures per second", SIDE_HEIGHT, true, failures),
            users_panel(load),
        ],
    )
}

fn users_panel(load: &LoadResult) -> Panel {
    let users = seconds_series(load, "users", "muted", Mark::Stairs, |point| {
        Some((f64::from(point.users), point.users.to_string()))
    });
    Panel {
        y_label: "concurrent users".to_owned(),
        height: SIDE_HEIGHT,
        is_whole: true,
        series: vec![users],
        limits: Vec::new(),
    }
}

fn time_chart(load: &LoadResult, id: &'static str, title: &str, description: String, panels: Vec<Panel>) -> Chart {
    Chart {
        id,
        title: title.to_owned(),
        description,
        x_label: "seconds since the start of the load test (faint lines: stages)",
        x_span: Span { start: 0.0, end: (load.total.start + load.total.duration).as_secs_f64() },
        boundaries: load.stages.iter().skip(1).map(|stage| stage.start.as_secs_f64()).collect(),
        panels,
    }
}

/// One point in the middle of each second; `value` gives it and how it is written.
fn seconds_series(
    load: &LoadResult,
    name: &str,
    class: &'static str,
    mark: Mark,
    value: impl Fn(&LoadPoint) -> Option<(f64, String)>,
) -> Series {
    let point = |point: &LoadPoint| {
        let (y, written) = value(point).unzip();
        let second = units::three_digits(point.start.as_secs_f64());
        Point {
            x: point.start.as_secs_f64() + point.duration.as_secs_f64() / 2.0,
            y,
            hover: format!("from {second} s: {name} {}", written.unwrap_or_default()),
        }
    };
    Series { name: name.to_owned(), class, mark, points: load.seconds.iter().map(point).collect() }
}
