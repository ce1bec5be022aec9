//! The two measurements, memory probe and load test: charts and tables, or why there are none.

use super::table::{Cell, table};
use super::text::section;
use crate::chart::{latency_chart, memory_chart, throughput_chart};
use crate::units;
use maud::{Markup, html};
use planforge_core::{Capacity, LoadPoint, LoadResult};

/// Section of the memory probe.
pub(super) fn capacity(capacity: Option<&Capacity>) -> Markup {
    let body = match capacity {
        None => missing("No chart of memory: no memory probe ran."),
        Some(capacity) if capacity.steps.is_empty() => {
            missing("No chart of memory: the probe ended before a copy was loaded.")
        }
        Some(capacity) => html! {
            (memory_chart(capacity))
            details {
                summary { "Every copy in figures" }
                (probe_table(capacity))
            }
        },
    };
    section("How many copies fit", &body)
}

/// Section of the load test.
pub(super) fn load(load: Option<&LoadResult>) -> Markup {
    let body = match load {
        None => missing("No charts of latency and throughput: no load test ran."),
        Some(load) => html! {
            (stage_table(load))
            @if load.seconds.iter().any(|point| point.latency.is_some()) {
                (latency_chart(load))
            } @else {
                (missing("No chart of latency: no request succeeded."))
            }
            @if load.total.requests > 0 {
                (throughput_chart(load))
            } @else {
                (missing("No chart of throughput: no request got a response."))
            }
            (failure_table(load))
        },
    };
    section("How much traffic they take", &body)
}

fn missing(reason: &str) -> Markup {
    html! { p.missing { (reason) } }
}

fn probe_table(capacity: &Capacity) -> Markup {
    let titles = [
        "Copy",
        "Target model",
        "First response",
        "Second response",
        "Memory in use",
        "Added",
        "By the smallest request",
        "Models loaded",
        "Verdict",
    ];
    let rows: Vec<_> = (1_u32..)
        .zip(&capacity.steps)
        .map(|(copy, step)| {
            vec![
                Cell::Number(units::count(copy.into())),
                Cell::Code(step.target_model.clone()),
                Cell::optional_number(step.cold.map(units::duration)),
                Cell::Number(units::duration(step.warm)),
                Cell::Number(units::bytes(step.used_byte_count)),
                Cell::optional_number(step.growth_byte_count.map(units::bytes)),
                Cell::optional_number(step.growth_after_smallest_byte_count.map(units::bytes)),
                Cell::Number(units::count(step.loaded.into())),
                Cell::Text(if copy <= capacity.copies { "counts" } else { "does not count" }.to_owned()),
            ]
        })
        .collect();
    table(&titles, &rows)
}

fn stage_table(load: &LoadResult) -> Markup {
    let titles =
        ["Stage", "Users", "Length", "Requests", "Failures", "Per second", "p50", "p90", "p95", "p99", "Slowest"];
    let stages = (1_u32..).zip(&load.stages).map(|(index, stage)| stage_row(&index.to_string(), stage));
    let rows: Vec<_> = stages.chain([stage_row("all", &load.total)]).collect();
    table(&titles, &rows)
}

fn stage_row(name: &str, point: &LoadPoint) -> Vec<Cell> {
    let mut row = vec![
        Cell::Number(name.to_owned()),
        Cell::Number(units::count(point.users.into())),
        Cell::Number(units::duration(point.duration)),
        Cell::Number(units::count(point.requests)),
        Cell::Number(units::count(point.failures)),
        Cell::Number(units::three_digits(point.throughput)),
    ];
    let latencies = match &point.latency {
        Some(latency) => [latency.p50, latency.p90, latency.p95, latency.p99, latency.max].map(Some),
        None => [None; 5],
    };
    row.extend(latencies.map(|latency| Cell::optional_number(latency.map(units::duration))));
    row
}

fn failure_table(load: &LoadResult) -> Markup {
    let rows: Vec<_> = load
        .failures
        .iter()
        .map(|(text, count)| vec![Cell::Number(units::count(*count)), Cell::Text(text.clone())])
        .collect();
    html! {
        @if !rows.is_empty() {
            h3 { "Failures" }
            (table(&["Count", "Response"], &rows))
        }
    }
}
