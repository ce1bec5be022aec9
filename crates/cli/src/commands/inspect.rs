//! `inspect`: what a model is given, gives and costs, and its graph; what is known of engines and archives.

use crate::args::InspectArguments;
use crate::commands::context::CommandContext;
use crate::printer::{self, format_bytes};
use crate::table::table;
use anyhow::Result;
use planforge_core::{Dim, TensorSpec};
use planforge_engine::graph_text;
use planforge_pipeline::{ArchiveInspection, EngineInspection, Inspection, Overrides};
use planforge_report::grouped;
use std::fmt::Write;

/// Prints the model of a pipeline, the graph of an ONNX file, what is known of an engine, or where an archive came from.
pub(super) fn inspect(context: &CommandContext, arguments: &InspectArguments) -> Result<()> {
    if arguments.file.extension().is_some_and(|extension| extension == "onnx") {
        return printer::stdout(&graph_text(&arguments.file)?);
    }
    if arguments.file.extension().is_some_and(|extension| extension == "plan") {
        let engine = EngineInspection::read(&arguments.file)?;
        return context.show(&engine, &engine_text(&engine));
    }
    if arguments.file.extension().is_some_and(|extension| extension == "gz") {
        let archive = ArchiveInspection::read(&arguments.file)?;
        return context.show(&archive, &archive_text(&archive));
    }
    let pipeline = context.open(&arguments.file, &Overrides::default())?;
    let inspection = planforge_pipeline::inspect(&pipeline)?;
    let mut text = text(&inspection);
    if arguments.graph && !context.settings.json {
        text = format!("{text}\n{}", graph_text(&inspection.graph)?);
    }
    context.show(&inspection, &text)
}

fn text(inspection: &Inspection) -> String {
    let mut text = format!("{} for {}, from {}\n", inspection.architecture, inspection.task, inspection.source);
    if let Some(card) = &inspection.card {
        let _ = writeln!(text, "its authors say: {card}");
    }
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
    if inspection.costs.is_empty() {
        return text;
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

fn engine_text(engine: &EngineInspection) -> String {
    let mut text = format!("TensorRT-RTX {} engine, {}\n", engine.version, format_bytes(engine.byte_count));
    let _ = writeln!(text, "runs on compute capabilities {}", engine.compute_capabilities.join(", "));
    if let Some(files) = &engine.weight_files {
        let _ = writeln!(text, "has no weights; they are read from {} in the same folder", files.join(", "));
    }
    let Some(figures) = &engine.figures else {
        return text + "no build log in its folder\n";
    };
    for (what, byte_count) in [
        ("weights on the GPU", figures.weight_byte_count),
        ("activations on the GPU", figures.activation_byte_count),
        ("  of these, scratch memory", figures.scratch_byte_count),
        ("kept between executions", figures.persistent_byte_count),
    ] {
        if let Some(byte_count) = byte_count {
            let _ = writeln!(text, "{what}: {}", format_bytes(byte_count));
        }
    }
    if let Some(duration) = figures.generation_duration {
        let _ = writeln!(text, "built in {}", printer::duration(duration));
    }
    text
}

fn archive_text(archive: &ArchiveInspection) -> String {
    let mut text = format!("{}, SHA-256 {}\n", format_bytes(archive.byte_count), archive.sha256);
    let Some(provenance) = &archive.provenance else {
        return text + "no record of its origin in its folder\n";
    };
    let definition = &provenance.predicate.build_definition;
    let parameters = &definition.external_parameters;
    let _ = writeln!(text, "{} of pipeline {}", parameters.variant, parameters.pipeline);
    let versions = &provenance.predicate.run_details.builder.version;
    let versions: Vec<_> = versions.iter().map(|(tool, version)| format!("{tool} {version}")).collect();
    let _ = writeln!(text, "built by {}", versions.join(", "));
    let _ = writeln!(text, "options {}", parameters.options);
    text.push_str("built from\n");
    for source in &definition.resolved_dependencies {
        let _ = writeln!(text, "  {}", source.name.as_deref().unwrap_or_default());
        for (kind, digest) in &source.digest {
            let _ = writeln!(text, "    {kind} {digest}");
        }
    }
    text
}

fn tensor(spec: &TensorSpec) -> String {
    let dims = spec.dims.iter().map(|dim| match dim {
        Dim::Fixed(size) => size.to_string(),
        Dim::Dynamic(name) => name.clone(),
    });
    format!("{}: {} [{}]", spec.name, spec.data_type.kserve_name().to_lowercase(), dims.collect::<Vec<_>>().join(", "))
}
