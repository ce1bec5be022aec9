//! `plan`: memory of a copy and copies that fit.

use crate::args::PlanArguments;
use crate::commands::dispatch::Surroundings;
use crate::commands::run::open;
use crate::pipeline::Plan;
use crate::printer::{format_bytes, table};
use crate::settings::build_limits;
use anyhow::Result;
use planforge_report::{PlanRow, PlanSource};
use std::fmt::Write;

/// Prints the plan of each pipeline.
pub(super) fn plan(surroundings: &Surroundings, arguments: &PlanArguments) -> Result<()> {
    let pipelines = &arguments.pipelines;
    let limits = arguments.build.then(|| build_limits(pipelines.memory, pipelines.jobs));
    for mut run in open(surroundings, pipelines)? {
        surroundings.terminal.say(run.pipeline.name.as_str());
        let plan = run.plan(&surroundings.runtime, limits)?;
        surroundings.show(&plan, &text(&plan))?;
    }
    Ok(())
}

fn text(plan: &Plan) -> String {
    let rows: Vec<_> = plan.rows.iter().map(|row| cells(plan, row)).collect();
    let head = ["engine", "gpu", ">memory", ">max batch", ">weights", ">activations", ">one copy", ">copies", "from"];
    let mut text = table(&head, &rows);
    let threshold = plan.rows.first().map_or(0.0, |row| row.threshold * 100.0);
    let _ = writeln!(
        text,
        "\ncopies: in {threshold:.0} % of the GPU's memory, beside {} for the CUDA context (an allowance)",
        format_bytes(plan.context_byte_count)
    );
    let _ = writeln!(text, "*: the pipeline's own largest batch, {}, also of its packages", plan.max_batch);
    if let Some(batch) = plan.dense_batch {
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

fn cells(plan: &Plan, row: &PlanRow) -> Vec<String> {
    let mark = if row.max_batch == plan.max_batch { "*" } else { "" };
    vec![
        row.variant.clone(),
        row.gpu.clone(),
        format_bytes(row.gpu_byte_count),
        format!("{mark}{}", row.max_batch),
        format_bytes(row.memory.weight_byte_count),
        format_bytes(row.memory.activation_byte_count),
        format_bytes(row.memory.byte_count()),
        row.copies.to_string(),
        match row.source {
            PlanSource::Builder => "the builder",
            PlanSource::Scaled => "a count, scaled by the builder's figure",
            PlanSource::Count => "a count without fusion",
        }
        .to_owned(),
    ]
}
