//! The summary at the top: how many copies fit, how much traffic they take, and what was measured.

use crate::record::{EngineRunFacts, Report, Served};
use crate::units;
use maud::{Markup, html};
use planforge_core::{Capacity, CapacityLimit, LoadPoint, LoadResult};

/// The paragraphs, the most important first.
pub(super) fn summary(report: &Report) -> Markup {
    html! {
        p.lead {
            @if let Some(capacity) = &report.capacity {
                (capacity_sentences(capacity, &report.pipeline))
            } @else {
                "How many copies fit was not measured: no memory probe ran."
            }
        }
        p.lead {
            @if let Some(load) = &report.load {
                (load_sentences(load))
            } @else {
                "How much traffic they take was not measured: no load test ran."
            }
        }
        @if let Some(served) = report.served.as_ref().filter(|_| report.capacity.is_some() || report.load.is_some()) {
            p.basis {
                "Measured with " code { (served.variant) } " served by " (served.by) "."
                (unserved_engines(report, served))
            }
        }
    }
}

fn capacity_sentences(capacity: &Capacity, pipeline: &str) -> Markup {
    let budget = units::bytes(capacity.budget_byte_count);
    let share = units::percent(capacity.threshold);
    let each = units::bytes(capacity.byte_count_per_copy);
    let copies = units::plural(capacity.copies.into(), "copy", "copies");
    let (verb, takes) = if capacity.copies == 1 { ("fits", "it takes") } else { ("fit", "each takes") };
    html! {
        @if capacity.copies == 0 {
            strong { "No copy" } " of " (pipeline) " fits in " strong { (budget) }
            " when at most " (share) " of it may be filled"
            @if capacity.byte_count_per_copy > 0 { ": one takes " (each) }
            "."
        } @else {
            strong { (copies) } " of " (pipeline) " " (verb) " in " strong { (budget) }
            " when at most " (share) " of it may be filled; " (takes) " " (each)
            @if let Some(base) = capacity.base_byte_count.filter(|&base| base > 0) {
                ", and all together " (units::bytes(base)) " once"
            }
            ". "
            (limit_sentence(capacity))
            @if let Some(growth) = capacity.concurrent_growth {
                " " (growth.requests) " of the largest requests at once add " (units::bytes(growth.byte_count)) " to a copy."
            }
            @if let Some(predicted) = capacity.predicted {
                " Predicted from its weights and activations: " (units::plural(predicted.copies, "copy", "copies"))
                " of " (units::bytes(predicted.byte_count_per_copy)) "."
            }
        }
    }
}

/// Why the probe ended.
fn limit_sentence(capacity: &Capacity) -> String {
    match capacity.limit {
        CapacityLimit::Threshold => "One more would pass that limit.".to_owned(),
        CapacityLimit::Eviction => "To load one more, the endpoint unloaded another.".to_owned(),
        CapacityLimit::PublishedCopies => match estimated_copies(capacity) {
            Some(estimate) if estimate > u64::from(capacity.copies) => format!(
                "No more copies were published; at this size about {} would fit, which is an estimate.",
                units::count(estimate)
            ),
            _ => "No more copies were published.".to_owned(),
        },
    }
}

/// How many copies of the measured size the budget would hold; unknown without a size.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an estimate of a whole number of copies"
)]
fn estimated_copies(capacity: &Capacity) -> Option<u64> {
    let allowed = (capacity.budget_byte_count as f64 * capacity.threshold) as u64;
    allowed.saturating_sub(capacity.base_byte_count.unwrap_or(0)).checked_div(capacity.byte_count_per_copy)
}

fn load_sentences(load: &LoadResult) -> Markup {
    if load.total.requests == 0 {
        return html! { "The load test received no response to any request." };
    }
    let Some((stage, latency)) = best_stage(load).and_then(|stage| Some((stage, stage.latency?))) else {
        let requests = units::plural(load.total.requests, "request", "requests");
        return html! {
            strong { "All " (requests) " of the load test failed" } ". "
            (most_frequent_failure(load))
        };
    };
    html! {
        "With " strong { (units::plural(stage.users.into(), "user", "users")) }
        " on " (units::plural(load.copies.into(), "copy", "copies"))
        " the endpoint answered " strong { (units::three_digits(stage.throughput)) " requests per second" }
        ", 95 % of them within " strong { (units::duration(latency.p95)) } ". "
        (failure_sentences(load))
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

#[expect(clippy::cast_precision_loss, reason = "a share is shown")]
fn failure_sentences(load: &LoadResult) -> Markup {
    let requests = units::plural(load.total.requests, "request", "requests");
    let share = units::percent(load.total.failures as f64 / load.total.requests as f64);
    html! {
        @if load.total.failures == 0 {
            "None of the " (requests) " of the whole test failed."
        } @else {
            strong { (units::count(load.total.failures)) " of the " (requests) " failed" }
            " (" (share) ") over the whole test. "
            (most_frequent_failure(load))
        }
    }
}

fn most_frequent_failure(load: &LoadResult) -> Markup {
    html! { @if let Some((text, _)) = load.failures.first() { "Most frequent failure: " q { (text) } "." } }
}

/// That the figures do not hold for engines that did not serve; nothing when one did, or there are none.
fn unserved_engines(report: &Report, served: &Served) -> Markup {
    let engines = report.engines.len() as u64;
    let (verb, gpus) = if engines == 1 { ("was", "its GPU") } else { ("were", "their GPUs") };
    let all_ran = report.engines.iter().all(|engine| matches!(engine.run, Some(EngineRunFacts::On(_))));
    let state = if all_ran { "compared but not served" } else { "built but not run" };
    html! {
        @if engines > 0 && !served.variant.starts_with("tensorrt") {
            " The " (units::plural(engines, "TensorRT engine", "TensorRT engines")) " of this report " (verb) " "
            (state) ", so these figures do not hold for " (gpus) "."
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    fn words(report: &Report) -> String {
        summary(report).into_string().replace("<strong>", "").replace("</strong>", "").replace('\u{a0}', " ")
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
