//! Snapshot → the ONNX model of one precision.

use super::onnx_runtime::load_onnx_runtime;
use crate::context::PipelineContext;
use crate::{Error, Result};
use planforge_core::{CachedArtifact, Model, Precision, Snapshot, Step};
use planforge_engine::{ExportOptions, GraphRequest, export_ranges, pass_through};
use planforge_validate::{RangeCheck, Samples, values_beyond_fp16};
use std::collections::BTreeSet;

/// Values that a note names; more are counted.
const NAMED_VALUES: usize = 3;

/// One ONNX export.
#[derive(Debug)]
pub struct Export {
    /// The model.
    pub model: CachedArtifact<Model>,
    /// Version of ONNX Runtime, where it measured ranges.
    pub onnx_runtime: Option<String>,
    /// Sentences for the report.
    pub notes: Vec<String>,
}

/// Exports one precision, or takes the repository's own graph.
///
/// # Errors
/// A checkpoint that cannot be exported, and errors of ONNX Runtime.
pub fn export_precision(context: &PipelineContext, snapshot: &Snapshot, precision: Precision) -> Result<Export> {
    let PipelineContext { spec, cache, .. } = context;
    if let Some(graph) = &spec.source.graph {
        let request = GraphRequest { graph, task: spec.task, precision, image_size: spec.export.image_size };
        let model = pass_through(snapshot, request, cache, context.progress())?;
        return Ok(Export { model, onnx_runtime: None, notes: Vec::new() });
    }
    let mut options = export_options(context, precision);
    let (mut onnx_runtime, mut notes) = (None, Vec::new());
    if precision != Precision::Fp32 {
        options.wide = spec.export.keep_fp32.iter().cloned().collect();
    }
    // The range of bf16 is that of fp32.
    if precision == Precision::Fp16 && spec.export.measure_ranges {
        let measured = measure_ranges(context, snapshot, &options)?;
        options.wide.extend(measured.values);
        (onnx_runtime, notes) = (measured.onnx_runtime, measured.notes);
    }
    let model = planforge_engine::export(snapshot, &options, cache, context.progress())?;
    Ok(Export { model, onnx_runtime, notes })
}

/// How a precision is exported; no values are kept in fp32 yet.
pub(super) fn export_options(context: &PipelineContext, precision: Precision) -> ExportOptions {
    let export = &context.spec.export;
    ExportOptions {
        image_size: export.image_size,
        self_contained: export.self_contained,
        ignore_tensors: export.ignore_tensors.clone(),
        token_type: export.token_type,
        ..ExportOptions::new(context.spec.task, precision)
    }
}

/// The exported model of a precision.
pub(crate) fn model_of(models: &[CachedArtifact<Model>], precision: Precision) -> Result<&CachedArtifact<Model>> {
    models.iter().find(|model| model.record.precision == precision).ok_or(Error::NotExported { precision })
}

/// Values that an fp16 export keeps in fp32, as the samples show them.
#[derive(Default)]
struct MeasuredRanges {
    values: BTreeSet<String>,
    onnx_runtime: Option<String>,
    notes: Vec<String>,
}

fn measure_ranges(context: &PipelineContext, snapshot: &Snapshot, options: &ExportOptions) -> Result<MeasuredRanges> {
    let PipelineContext { spec, cache, .. } = context;
    let progress = context.progress();
    let library_version = load_onnx_runtime(context)?;
    let model = export_ranges(snapshot, options, cache, progress)?;
    let samples = Samples::of_pipeline(spec, snapshot, &model.record);
    let check = RangeCheck { snapshot, model: &model, samples: &samples, library_version: &library_version };
    let values = values_beyond_fp16(&check, cache, progress)?;
    let mut notes: Vec<String> = samples.note().into_iter().collect();
    if !values.is_empty() {
        let note = format!("fp16 would not hold {}; kept in fp32.", first_names(&values));
        progress.note(Step::Export, "onnx-fp16", note.clone());
        notes.push(note);
    }
    Ok(MeasuredRanges { values: values.into_iter().collect(), onnx_runtime: Some(library_version), notes })
}

fn first_names(names: &[String]) -> String {
    let first = names.iter().take(NAMED_VALUES).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED_VALUES) {
        0 => first,
        more => format!("{first} and {more} more values"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_names_three_values_and_counts_the_others() {
        let names = ["a", "b", "c", "d", "e"].map(str::to_owned);
        assert_eq!(first_names(&names[..3]), "`a`, `b`, `c`");
        assert_eq!(first_names(&names), "`a`, `b`, `c` and 2 more values");
    }
}
