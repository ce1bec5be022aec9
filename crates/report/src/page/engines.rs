//! The sections on TensorRT engines and on the copies predicted to fit.

use super::table::{Cell, table};
use super::text::section;
use crate::record::{EngineFacts, EngineRunFacts, PlanRow};
use crate::units;
use maud::{Markup, html};
use planforge_core::{CONTEXT_BYTE_COUNT, ComputeCapability};

/// Section of the engines; nothing without any.
pub(super) fn engines(engines: &[EngineFacts]) -> Markup {
    let titles = [
        "GPU",
        "Built for",
        "Precision",
        "Size",
        "Layers",
        "Weights on the GPU",
        "Activations on the GPU",
        "Build time",
        "Peak memory of the build",
        "TensorRT",
        "Header lists",
        "SHA-256",
        "Origin",
        "Run",
    ];
    let rows: Vec<_> = engines.iter().map(engine_row).collect();
    html! { @if !rows.is_empty() { (section("TensorRT engines", &table(&titles, &rows))) } }
}

fn engine_row(engine: &EngineFacts) -> Vec<Cell> {
    vec![
        Cell::Text(engine.gpus.join(", ")),
        Cell::Text(joined(&engine.compute_capabilities)),
        Cell::Text(engine.precision.to_string()),
        Cell::Number(units::bytes(engine.byte_count)),
        Cell::Number(units::count(engine.layer_count.into())),
        Cell::optional_number(engine.figures.weight_byte_count.map(units::bytes)),
        Cell::optional_number(engine.figures.activation_byte_count.map(units::bytes)),
        Cell::Number(units::duration(engine.build_duration)),
        Cell::Number(units::bytes(engine.build_peak_byte_count)),
        Cell::Text(engine.header_version.clone()),
        Cell::Text(joined(&engine.header_compute_capabilities)),
        Cell::Code(engine.sha256.short().to_owned()),
        Cell::Text(units::origin(engine.outcome).to_owned()),
        Cell::Text(run_text(engine.run.as_ref())),
    ]
}

fn run_text(run: Option<&EngineRunFacts>) -> String {
    match run {
        Some(EngineRunFacts::On(gpu)) => format!("on {gpu}"),
        Some(EngineRunFacts::NotRun(reason)) => format!("not run: {reason}"),
        None => "not run".to_owned(),
    }
}

fn joined(capabilities: &[ComputeCapability]) -> String {
    capabilities.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Section of the predicted copies; nothing without a prediction.
pub(super) fn plan(plan: &[PlanRow]) -> Markup {
    let titles = ["Engine", "GPU", "Memory", "Max batch", "Weights", "Activations", "One copy", "Copies predicted"];
    let rows: Vec<_> = plan.iter().map(plan_row).collect();
    let body = html! {
        @if let Some(first) = plan.first() {
            p {
                "Estimated from the builder's figures; nothing was loaded on a GPU. Copies share "
                (units::bytes(CONTEXT_BYTE_COUNT)) " for the CUDA context, an allowance, and fill at most "
                (units::percent(first.threshold)) " of the memory together with it."
            }
        }
        (table(&titles, &rows))
    };
    html! { @if !rows.is_empty() { (section("Copies predicted to fit", &body)) } }
}

fn plan_row(row: &PlanRow) -> Vec<Cell> {
    vec![
        Cell::Code(row.variant.clone()),
        Cell::Text(row.gpu.clone()),
        Cell::Number(units::bytes(row.gpu_byte_count)),
        Cell::Number(units::count(row.max_batch)),
        Cell::Number(units::bytes(row.memory.weight_byte_count)),
        Cell::Number(units::bytes(row.memory.activation_byte_count)),
        Cell::Number(units::bytes(row.memory.byte_count())),
        Cell::Number(units::count(row.copies)),
    ]
}
