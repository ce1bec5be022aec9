//! `plan`: memory of a copy and copies that fit.

use crate::args::PlanArguments;
use crate::commands::context::CommandContext;
use crate::commands::run::open;
use crate::printer::format_bytes;
use crate::settings::build_limits;
use crate::table::table;
use anyhow::Result;
use planforge_pipeline::{MemoryPlan, plan_memory};
use planforge_report::{PlanRow, PlanSource};
use std::collections::BTreeSet;
use std::fmt::Write;

/// Prints the plan of each pipeline.
pub(super) fn plan(context: &CommandContext, arguments: &PlanArguments) -> Result<()> {
    let pipelines = &arguments.pipelines;
    let limits = arguments.build.then(|| build_limits(pipelines.memory, pipelines.jobs));
    for pipeline in open(context, pipelines)? {
        context.terminal.say(pipeline.spec.name.as_str());
        let plan = plan_memory(&pipeline, limits)?;
        context.show(&plan, &text(&plan))?;
    }
    Ok(())
}

fn text(plan: &MemoryPlan) -> String {
    let rows: Vec<_> = plan.rows.iter().map(|row| cells(plan, row)).collect();
    let head = ["package", ">batch", ">weights", ">activations", ">one copy", ">copies", "from"];
    let mut text = table(&head, &rows);
    let threshold = plan.rows.first().map_or(0.0, |row| row.threshold * 100.0);
    let _ = writeln!(
        text,
        "\ncopies: in {threshold:.0} % of the GPU's memory, next to {} for the CUDA context (an allowance)",
        format_bytes(plan.context_byte_count)
    );
    if plan.rows.iter().any(|row| row.shares_activations) {
        text += "pytorch: copies share the memory of activations, which counts once\n";
    }
    text += &gpu_memory(&plan.rows);
    let _ = writeln!(
        text,
        "from: the builder's log; the model's count, with activations scaled by that log;\n\
         or the count alone, without operator fusion"
    );
    let _ = writeln!(text, "*: the pipeline's own largest batch, {}, also of its packages", plan.max_batch);
    if let Some(batch) = plan.recommended_max_batch {
        let _ = writeln!(
            text,
            "`max_batch = \"auto\"` in [compile] takes {batch}: the largest that costs at most a fifth of the copies"
        );
    }
    for skipped in &plan.skipped {
        let _ = writeln!(text, "skipped: {skipped}");
    }
    text
}

/// Where the memory of each GPU type is known from.
fn gpu_memory(rows: &[PlanRow]) -> String {
    let names = |of_board: bool| {
        let found: BTreeSet<&str> =
            rows.iter().filter(|row| row.is_board_memory == of_board).map(|row| row.gpu.as_str()).collect();
        found.into_iter().collect::<Vec<_>>().join(", ")
    };
    let (reported, sold) = (names(false), names(true));
    let mut text = String::new();
    if !reported.is_empty() {
        let _ = writeln!(text, "memory of {reported}: as the driver reports it");
    }
    if !sold.is_empty() {
        let _ = writeln!(text, "memory of {sold}: as the board is sold; the driver reports less");
    }
    text
}

/// `fp16 l4`, `pytorch fp32 l4`: the precision in the variant's name, and the GPU type.
fn package(row: &PlanRow) -> String {
    let precision = row.variant.split('-').nth(1).unwrap_or_default();
    let platform = if row.shares_activations { "pytorch " } else { "" };
    format!("{platform}{precision} {}", row.gpu)
}

fn cells(plan: &MemoryPlan, row: &PlanRow) -> Vec<String> {
    let mark = if row.max_batch == plan.max_batch { "*" } else { "" };
    vec![
        package(row),
        format!("{mark}{}", row.max_batch),
        format_bytes(row.memory.weight_byte_count),
        format_bytes(row.memory.activation_byte_count),
        format_bytes(if row.shares_activations { row.memory.weight_byte_count } else { row.memory.byte_count() }),
        row.copies.to_string(),
        match row.source {
            PlanSource::Builder => "builder",
            PlanSource::Scaled => "scaled",
            PlanSource::Count => "count",
        }
        .to_owned(),
    ]
}
