//! The chart of the memory probe: memory in use over copies.

use super::figure::{Chart, Panel};
use super::marks::{Limit, Mark, Point, Series};
use super::scale::Span;
use crate::units;
use planforge_core::Capacity;

const HEIGHT: f64 = 220.0;

/// Memory in use after each copy, with budget and threshold.
#[expect(clippy::cast_precision_loss, reason = "places on a drawing")]
pub(crate) fn memory_chart(capacity: &Capacity) -> Chart {
    let (unit_size, unit) = units::byte_unit(capacity.budget_byte_count);
    let scaled = |byte_count: u64| byte_count as f64 / unit_size as f64;
    let series = |name: &str, class, wanted: bool| Series {
        name: name.to_owned(),
        class,
        mark: Mark::Bars,
        points: (1_u32..)
            .zip(&capacity.steps)
            .filter(|(copy, _)| (*copy <= capacity.copies) == wanted)
            .map(|(copy, step)| Point {
                x: f64::from(copy),
                y: Some(scaled(step.used_byte_count)),
                hover: format!("copy {copy}: {} in use", units::bytes(step.used_byte_count)),
            })
            .collect(),
    };
    let all = [series("in use", "one", true), series("in use with a copy that does not count", "muted", false)];
    let threshold = format!("threshold, {} of the budget", units::percent(capacity.threshold));
    let budget = format!("budget, {}", units::bytes(capacity.budget_byte_count));
    Chart {
        id: "memory",
        title: "Memory in use as copies are loaded".to_owned(),
        description: format!(
            "Memory in use after each of {}, up to {}. The budget is {}, the threshold {} of it.",
            units::plural(capacity.steps.len() as u64, "copy", "copies"),
            units::bytes(capacity.steps.iter().map(|step| step.used_byte_count).max().unwrap_or(0)),
            units::bytes(capacity.budget_byte_count),
            units::percent(capacity.threshold)
        ),
        x_label: "copies loaded one after another",
        x_span: Span { start: 0.4, end: capacity.steps.len() as f64 + 0.6 },
        boundaries: Vec::new(),
        panels: vec![Panel {
            y_label: format!("memory in use, {unit}"),
            height: HEIGHT,
            is_whole: false,
            series: all.into_iter().filter(|series| !series.points.is_empty()).collect(),
            limits: vec![
                Limit { name: budget, class: "bad", value: scaled(capacity.budget_byte_count), is_label_below: false },
                Limit {
                    name: threshold,
                    class: "three dashed",
                    value: scaled(capacity.budget_byte_count) * capacity.threshold,
                    is_label_below: true,
                },
            ],
        }],
    }
}
