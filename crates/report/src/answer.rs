//! The answer in words: how many copies fit, how much traffic they take, and what was measured.

use super::html::escape;
use super::model::{EngineRunFacts, Report};
use super::units;
use planforge_core::{Capacity, CapacityLimit, LoadPoint, LoadResult};

/// Paragraphs of HTML, the most important first.
pub(super) fn answer(report: &Report) -> String {
    let capacity = report.capacity.as_ref().map_or_else(
        || "How many copies fit was not measured: no memory probe ran.".to_owned(),
        |capacity| capacity_words(capacity, &report.pipeline),
    );
    let load = report
        .load
        .as_ref()
        .map_or_else(|| "How much traffic they take was not measured: no load test ran.".to_owned(), load_words);
    format!("<p class=\"lead\">{capacity}</p>\n<p class=\"lead\">{load}</p>\n{}", served_words(report))
}

fn capacity_words(capacity: &Capacity, pipeline: &str) -> String {
    let budget = strong(&units::bytes(capacity.budget_byte_count));
    let share = units::percent(capacity.threshold);
    let each = units::bytes(capacity.byte_count_per_copy);
    let name = escape(pipeline);
    if capacity.copies == 0 {
        let size = if capacity.byte_count_per_copy > 0 { format!(": one takes {each}") } else { String::new() };
        return format!(
            "{} of {name} fits in {budget} when at most {share} of it may be filled{size}.",
            strong("No copy")
        );
    }
    let copies = strong(&units::plural(capacity.copies.into(), "copy", "copies"));
    let verb = if capacity.copies == 1 { "fits" } else { "fit" };
    let takes = if capacity.copies == 1 { "it takes" } else { "each takes" };
    let end = match capacity.limit {
        CapacityLimit::Threshold => "One more would pass that limit.".to_owned(),
        CapacityLimit::Eviction => "To load one more, the endpoint unloaded another.".to_owned(),
        CapacityLimit::PublishedCopies => more_words(capacity),
    };
    format!("{copies} of {name} {verb} in {budget} when at most {share} of it may be filled; {takes} {each}. {end}")
}

/// All published copies fit; how many more might.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an estimate of a whole number of copies"
)]
fn more_words(capacity: &Capacity) -> String {
    let allowed = (capacity.budget_byte_count as f64 * capacity.threshold) as u64;
    match allowed.checked_div(capacity.byte_count_per_copy) {
        Some(estimate) if estimate > u64::from(capacity.copies) => format!(
            "No more copies were published; at this size about {} would fit, which is an estimate.",
            units::count(estimate)
        ),
        _ => "No more copies were published.".to_owned(),
    }
}

/// The stage to quote: the highest throughput among those without failures, or else among all.
fn best_stage(load: &LoadResult) -> Option<&LoadPoint> {
    let highest = |without_failures: bool| {
        load.stages
            .iter()
            .filter(|stage| stage.latency.is_some() && (stage.failures == 0 || !without_failures))
            .max_by(|left, right| left.throughput.total_cmp(&right.throughput))
    };
    highest(true).or_else(|| highest(false))
}

fn load_words(load: &LoadResult) -> String {
    if load.total.requests == 0 {
        return "The load test got no answer to any request.".to_owned();
    }
    let Some((stage, latency)) = best_stage(load).and_then(|stage| Some((stage, stage.latency?))) else {
        return format!(
            "{}. {}",
            strong(&format!(
                "All {} of the load test failed",
                units::plural(load.total.requests, "request", "requests")
            )),
            frequent_words(load)
        );
    };
    format!(
        "With {} on {} the endpoint answered {}, 95 % of them within {}. {}",
        strong(&units::plural(stage.users.into(), "user", "users")),
        units::plural(load.copies.into(), "copy", "copies"),
        strong(&format!("{} requests per second", units::three_digits(stage.throughput))),
        strong(&units::duration(latency.p95)),
        failure_words(load)
    )
}

#[expect(clippy::cast_precision_loss, reason = "a share is shown")]
fn failure_words(load: &LoadResult) -> String {
    let requests = units::plural(load.total.requests, "request", "requests");
    if load.total.failures == 0 {
        return format!("None of the {requests} of the whole test failed.");
    }
    let share = units::percent(load.total.failures as f64 / load.total.requests as f64);
    let failed = strong(&format!("{} of the {requests} failed", units::count(load.total.failures)));
    format!("{failed} ({share}) over the whole test. {}", frequent_words(load))
}

fn frequent_words(load: &LoadResult) -> String {
    let text = load.failures.first().map(|(text, _)| format!("Most frequent failure: <q>{}</q>.", escape(text)));
    text.unwrap_or_default()
}

/// What stood behind the figures, and what did not.
fn served_words(report: &Report) -> String {
    let Some(served) = report.served.as_ref().filter(|_| report.capacity.is_some() || report.load.is_some()) else {
        return String::new();
    };
    let engines = report.engines.len() as u64;
    let not_run = if engines > 0 && !served.variant.starts_with("tensorrt") {
        let verb = if engines == 1 { "was" } else { "were" };
        let ran = report.engines.iter().all(|engine| matches!(engine.run, Some(EngineRunFacts::On(_))));
        let fate = if ran { "compared but not served" } else { "built but not run" };
        format!(
            " The {} of this report {verb} {fate}, so these figures say nothing about {}.",
            units::plural(engines, "TensorRT engine", "TensorRT engines"),
            if engines == 1 { "its GPU" } else { "their GPUs" }
        )
    } else {
        String::new()
    };
    format!(
        "<p class=\"honest\">Measured with <code>{}</code> served by {}.{not_run}</p>\n",
        escape(&served.variant),
        escape(&served.by)
    )
}

fn strong(text: &str) -> String {
    format!("<strong>{}</strong>", escape(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    fn words(report: &Report) -> String {
        answer(report).replace("<strong>", "").replace("</strong>", "").replace('\u{a0}', " ")
    }

    #[test]
    fn says_how_many_fit_and_how_fast_they_are() {
        let text = words(&sample::full());
        assert!(
            text.contains("3 copies of all-minilm fit in 1.00 GiB when at most 90 % of it may be filled"),
            "{text}"
        );
        assert!(text.contains("With 4 users on 3 copies the endpoint answered 110 requests per second"), "{text}");
        assert!(text.contains("12 of the 1,332 requests failed (0.9 %)"), "{text}");
        assert!(text.contains("served by ONNX Runtime on the CPU.") && text.contains("built but not run"), "{text}");
        let mut ran = sample::full();
        ran.engines[0].run = Some(EngineRunFacts::On("NVIDIA T4".to_owned()));
        assert!(words(&ran).contains("was compared but not served"), "{}", words(&ran));
    }

    #[test]
    fn says_what_was_not_measured() {
        let mut report = sample::full();
        (report.capacity, report.load) = (None, None);
        let text = words(&report);
        assert!(text.contains("no memory probe ran") && text.contains("no load test ran"), "{text}");
        assert!(!text.contains("Measured with"), "{text}");
    }

    #[test]
    fn says_when_nothing_fits_or_more_might() {
        let mut report = sample::full();
        report.capacity.as_mut().unwrap().limit = CapacityLimit::PublishedCopies;
        assert!(words(&report).contains("No more copies were published."));
        report.capacity.as_mut().unwrap().byte_count_per_copy = 100_000_000;
        assert!(words(&report).contains("at this size about 9 would fit, which is an estimate"));
        report.capacity.as_mut().unwrap().copies = 0;
        assert!(words(&report).contains("No copy of all-minilm fits in 1.00 GiB"));
    }

    #[test]
    fn says_when_every_request_failed() {
        let mut report = sample::full();
        let load = report.load.as_mut().unwrap();
        for point in load.stages.iter_mut().chain([&mut load.total]) {
            (point.latency, point.throughput, point.failures) = (None, 0.0, point.requests);
        }
        assert!(words(&report).contains("All 1,332 requests of the load test failed"));
    }
}
