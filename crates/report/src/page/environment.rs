//! The section on machine, libraries and endpoint.

use super::table::{Cell, table};
use super::text::section;
use crate::record::{Environment, Report};
use crate::units;
use maud::{Markup, html};

/// The section; nothing when nothing is known.
pub(super) fn environment(report: &Report) -> Markup {
    let Environment { planforge_version, libraries, cpu_model, cpu_count, memory_byte_count } = &report.environment;
    let mut rows = Vec::new();
    let mut add = |name: &str, value: String| rows.push(vec![Cell::Text(name.to_owned()), Cell::Text(value)]);
    if !planforge_version.is_empty() {
        add("planforge", planforge_version.clone());
    }
    for library in libraries {
        add(&library.name, library.version.clone());
    }
    if let Some(model) = cpu_model {
        add("Processor", model.clone());
    }
    if let Some(count) = cpu_count {
        add("Logical processors", count.to_string());
    }
    if let Some(byte_count) = memory_byte_count {
        add("Memory", units::bytes(*byte_count));
    }
    if let Some(served) = &report.served {
        add("Endpoint", format!("{}, served by {}", served.variant, served.by));
    }
    html! { @if !rows.is_empty() { (section("Measured on", &table(&["Component", "Value"], &rows))) } }
}
