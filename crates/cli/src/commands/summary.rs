//! The summary of a run.

use crate::printer::{duration, format_bytes};
use crate::table::table;
use planforge_core::{
    Capacity, CapacityLimit, CheckFacts, ConcurrentGrowth, Growths, LoadPoint, LoadResult, Outcome, PredictedCapacity,
    ProbeStep, Step,
};
use planforge_report::{ArtifactRow, Report};
use std::fmt::Write;
use std::path::Path;

/// Results and measurements of a run, for people.
pub(crate) fn summary(report: &Report, folder: &Path) -> String {
    let mut text = artifacts(&report.artifacts);
    if !report.checks.is_empty() {
        let _ = write!(text, "\n{}", checks_table(&report.checks));
    }
    for skipped in &report.skipped {
        let _ = writeln!(text, "\nskipped: {skipped}");
    }
    if let Some(capacity) = &report.capacity {
        let variant = report.served.as_ref().map_or("", |served| served.variant.as_str());
        let _ = write!(text, "\n{}", capacity_line(capacity, variant));
    }
    if let Some(load) = &report.load {
        let _ = write!(text, "\n{}", load_table(load));
    }
    if report.served.is_some() {
        let _ = write!(text, "\nreport: {}", folder.join("report.html").display());
    }
    let _ = writeln!(text, "\nall files are in {}", folder.display());
    text
}

fn artifacts(rows: &[ArtifactRow]) -> String {
    let row = |row: &ArtifactRow| {
        let outcome = match row.outcome {
            Outcome::Built => "built",
            Outcome::Cached => "cached",
        };
        vec![
            row.step.name().to_owned(),
            row.subject.clone(),
            format_bytes(row.byte_count),
            duration(row.elapsed),
            outcome.to_owned(),
        ]
    };
    let published = rows.iter().filter(|row| row.step == Step::Publish);
    let places: String = published.map(|row| format!("published: {}\n", row.path)).collect();
    let rows: Vec<_> = rows.iter().map(row).collect();
    let text = table(&["step", "what", ">size", ">time", "result"], &rows);
    if places.is_empty() { text } else { format!("{text}\n{places}") }
}

/// One row for each comparison, of which the report names the reference. All hold: a run ends at the first that does not.
pub(crate) fn checks_table(checks: &[CheckFacts]) -> String {
    let row = |check: &CheckFacts| {
        let CheckFacts { subject, output, min_cosine, max_absolute_error, .. } = check;
        vec![subject.clone(), output.clone(), format!("{min_cosine:.6}"), format!("{max_absolute_error:.1e}")]
    };
    let rows: Vec<_> = checks.iter().map(row).collect();
    table(&["checked", "output", ">cosine", ">difference"], &rows)
}

/// `probe: 6 copies of onnx-fp32 fit …`.
pub(crate) fn capacity_line(capacity: &Capacity, variant: &str) -> String {
    let limit = match capacity.limit {
        CapacityLimit::Threshold => "one more would pass it",
        CapacityLimit::PublishedCopies => "all copies that were tried; more may fit",
        CapacityLimit::Eviction => "one more made the endpoint unload another",
    };
    // A copy that was refused before it was loaded has no size.
    let each = match capacity.byte_count_per_copy {
        0 => String::new(),
        byte_count => format!(", {} each", format_bytes(byte_count)),
    };
    let base = capacity.base_byte_count.filter(|&base| base > 0);
    let base = base.map(|base| format!(" and {} once", format_bytes(base))).unwrap_or_default();
    let copies =
        if capacity.copies == 1 { format!("copy of {variant} fits") } else { format!("copies of {variant} fit") };
    let mut text = format!(
        "probe: {} {copies} in {:.0} % of {} ({limit}){each}{base}\n",
        capacity.copies,
        capacity.threshold * 100.0,
        format_bytes(capacity.budget_byte_count),
    );
    text += &growth_lines(capacity);
    if let Some(PredictedCapacity { copies, byte_count_per_copy }) = capacity.predicted {
        let each = format_bytes(byte_count_per_copy);
        let _ = writeln!(text, "  predicted from weights and activations: {copies} copies, {each} each");
    }
    text
}

/// What copies added: first, median and last, and by request.
fn growth_lines(capacity: &Capacity) -> String {
    let Some(Growths { first, median, last }) = capacity.growths(|step| step.growth_byte_count) else {
        return String::new();
    };
    let [first, median, last] = [first, median, last].map(format_bytes);
    let mut text = format!("  copies added: first {first}, median of the others {median}, last {last}\n");
    let median = |growth: fn(&ProbeStep) -> Option<u64>| Some(format_bytes(capacity.growths(growth)?.median));
    let smallest = median(|step| step.growth_after_smallest_byte_count);
    if let (Some(smallest), Some(largest)) = (smallest, median(|step| step.growth_byte_count)) {
        let _ = writeln!(text, "  by requests: {smallest} after the smallest, {largest} after the largest");
    }
    if let Some(ConcurrentGrowth { requests, byte_count }) = capacity.concurrent_growth {
        let _ = writeln!(text, "  {requests} of the largest at once add {} to a copy", format_bytes(byte_count));
    }
    text
}

/// One row for each stage.
pub(crate) fn load_table(load: &LoadResult) -> String {
    let row = |name: String, point: &LoadPoint| {
        let latency = |pick: fn(&planforge_core::LatencySummary) -> std::time::Duration| {
            point
                .latency
                .as_ref()
                .map_or_else(|| "-".to_owned(), |latency| format!("{:.1}", pick(latency).as_secs_f64() * 1000.0))
        };
        vec![
            name,
            format!("{:.0}", point.duration.as_secs_f64()),
            point.requests.to_string(),
            point.failures.to_string(),
            format!("{:.1}", point.throughput),
            latency(|latency| latency.p50),
            latency(|latency| latency.p95),
            latency(|latency| latency.p99),
        ]
    };
    let mut rows: Vec<_> = load.stages.iter().map(|point| row(point.users.to_string(), point)).collect();
    rows.push(row("all".to_owned(), &load.total));
    let headings = [">users", ">s", ">requests", ">failed", ">responses/s", ">p50 ms", ">p95 ms", ">p99 ms"];
    let mut text = format!("load: requests to {} copies at random\n{}", load.copies, table(&headings, &rows));
    for (failure, count) in &load.failures {
        let _ = writeln!(text, "failed {count} times: {failure}");
    }
    text
}
