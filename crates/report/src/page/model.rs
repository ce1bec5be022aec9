//! The section on the model: source, exports and their comparisons.

use super::table::{Cell, table};
use super::text::section;
use crate::record::{ModelFacts, Report, SourceFacts};
use crate::units;
use maud::{Markup, html};
use planforge_core::{CheckFacts, ModelFormat};

/// The section; nothing when a report knows neither source nor exports nor comparisons.
pub(super) fn model(report: &Report) -> Markup {
    let is_known = report.source.is_some() || !report.models.is_empty() || !report.checks.is_empty();
    let body = html! {
        @if let Some(known) = &report.source { (source(known)) }
        @if !report.models.is_empty() { (exports(&report.models)) }
        @if !report.checks.is_empty() {
            h3 { "Comparison with the reference" }
            (checks(&report.checks))
        }
    };
    html! { @if is_known { (section("Model", &body)) } }
}

fn source(source: &SourceFacts) -> Markup {
    html! {
        p {
            "From " (source.repo) " at " (source.revision) " (commit " (source.commit) "), "
            (units::bytes(source.byte_count)) " of files."
        }
        @if let Some(card) = &source.card { p { "Model card: " (card) "." } }
    }
}

fn exports(models: &[ModelFacts]) -> Markup {
    let titles = ["Architecture", "Format", "Precision", "Parameters", "Weights", "Values kept in fp32"];
    let row = |model: &ModelFacts| {
        vec![
            Cell::Text(model.architecture.clone()),
            Cell::Text(format_text(model)),
            Cell::Text(model.precision.to_string()),
            Cell::Number(units::short_count(model.parameter_count)),
            Cell::Number(units::bytes(model.weight_byte_count)),
            Cell::Number(model.keep_fp32.len().to_string()),
        ]
    };
    table(&titles, &models.iter().map(row).collect::<Vec<_>>())
}

/// `ONNX, opset 20`.
fn format_text(model: &ModelFacts) -> String {
    match (model.format, model.opset) {
        (ModelFormat::Onnx, Some(opset)) => format!("ONNX, opset {opset}"),
        (ModelFormat::Onnx, None) => "ONNX".to_owned(),
        (ModelFormat::TorchScript, _) => "TorchScript".to_owned(),
    }
}

fn checks(checks: &[CheckFacts]) -> Markup {
    let titles = ["Model", "Compared with", "Output", "Samples", "Lowest cosine", "Largest difference", "Verdict"];
    let row = |check: &CheckFacts| {
        vec![
            Cell::Code(check.subject.clone()),
            Cell::Code(check.reference.clone()),
            Cell::Code(check.output.clone()),
            Cell::Number(units::count(check.samples.into())),
            Cell::Number(format!("{:.7}", check.min_cosine)),
            Cell::Number(format!("{:.2e}", check.max_absolute_error)),
            Cell::Verdict {
                text: if check.passed { "✓ agrees" } else { "✗ differs" }.to_owned(),
                is_good: check.passed,
            },
        ]
    };
    table(&titles, &checks.iter().map(row).collect::<Vec<_>>())
}
