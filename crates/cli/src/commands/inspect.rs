//! `inspect`: what a model is given, gives and costs, and its graph.

use crate::args::InspectArguments;
use crate::commands::dispatch::Surroundings;
use crate::pipeline::{Inspection, Overrides, Run};
use crate::printer::{self, format_bytes, table};
use anyhow::Result;
use planforge_bench::grouped;
use planforge_core::{Dim, TensorSpec};
use planforge_engine::graph_text;
use std::fmt::Write;

/// Prints the model of a pipeline, or the graph of an ONNX file.
pub(super) fn inspect(surroundings: &Surroundings, arguments: &InspectArguments) -> Result<()> {
    let (settings, terminal) = (&surroundings.settings, &surroundings.terminal);
    if arguments.file.extension().is_some_and(|extension| extension == "onnx") {
        printer::stdout(&graph_text(&arguments.file)?);
        return Ok(());
    }
    let mut run = Run::open(settings, terminal, &arguments.file, &Overrides::default())?;
    let inspection = run.inspect(&surroundings.runtime)?;
    terminal.clear();
    if settings.json {
        printer::stdout(&format!("{}\n", serde_json::to_string(&inspection)?));
        return Ok(());
    }
    printer::stdout(&text(&inspection));
    if arguments.graph {
        printer::stdout(&format!("\n{}", graph_text(&inspection.graph)?));
    }
    Ok(())
}

fn text(inspection: &Inspection) -> String {
    let mut text = format!("{} for {}, from {}\n", inspection.architecture, inspection.task, inspection.source);
    let _ = writeln!(text, "{} parameters", grouped(&inspection.parameter_count.to_string()));
    for (what, specs) in [("input", &inspection.inputs), ("output", &inspection.outputs)] {
        for spec in specs {
            let _ = writeln!(text, "{what} {}", tensor(spec));
        }
    }
    if let Some(longest) = inspection.max_sequence {
        let _ = writeln!(text, "at most {longest} tokens");
    }
    if !inspection.labels.is_empty() {
        let shown: Vec<_> = inspection.labels.iter().take(3).map(String::as_str).collect();
        let more = if inspection.labels.len() > 3 { ", …" } else { "" };
        let _ = writeln!(text, "{} labels: {}{more}", inspection.labels.len(), shown.join(", "));
    }
    let headings = ["precision", ">batch", ">tokens", ">GFLOP", ">weights", ">peak of values"];
    let rows: Vec<_> = inspection
        .costs
        .iter()
        .map(|row| {
            vec![
                row.precision.to_string(),
                row.batch.to_string(),
                row.sequence.map_or_else(String::new, |tokens| tokens.to_string()),
                format!("{:.2}", row.cost.operation_count as f64 / 1e9),
                format_bytes(row.cost.weight_byte_count),
                format_bytes(row.cost.peak_activation_byte_count),
            ]
        })
        .collect();
    text + &table(&headings, &rows)
}

fn tensor(spec: &TensorSpec) -> String {
    let dims = spec.dims.iter().map(|dim| match dim {
        Dim::Fixed(size) => size.to_string(),
        Dim::Dynamic(name) => name.clone(),
    });
    format!("{}: {} [{}]", spec.name, spec.data_type.kserve_name().to_lowercase(), dims.collect::<Vec<_>>().join(", "))
}
