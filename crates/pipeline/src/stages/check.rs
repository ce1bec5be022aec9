//! Exports run on the samples and compared.

use super::export::Exports;
use super::onnx_runtime::load_onnx_runtime;
use super::precision::export_precision;
use crate::Result;
use crate::context::PipelineContext;
use planforge_core::{CachedArtifact, CheckFacts, Model, Precision, Snapshot, Variant};
use planforge_validate::{ModelCheck, ModuleCheck, Samples, check_model, check_module, require_passed, skip_reason};

/// How a bf16 export is run.
const BF16_NOTE: &str = "onnx-bf16 was run as a graph that computes each of its operators in fp32 and rounds the result to \
                         bf16: ONNX Runtime has no bf16 arithmetic on the CPU.";

/// Comparisons of exports, all of which hold.
#[derive(Debug, Default)]
pub struct Checks {
    /// The comparisons.
    pub facts: Vec<CheckFacts>,
    /// Version of ONNX Runtime.
    pub onnx_runtime: Option<String>,
    /// Sentences for the report.
    pub notes: Vec<String>,
}

/// Runs every model and module on the samples and compares it with a reference.
///
/// # Errors
/// A comparison that does not hold, and errors of ONNX Runtime and libtorch.
pub fn check(context: &PipelineContext, snapshot: &Snapshot, exports: &Exports) -> Result<Checks> {
    let library_version = load_onnx_runtime(context)?;
    let reference = fp32_reference(context, snapshot, &exports.models)?;
    let (spec, cache, progress) = (&context.spec, &context.cache, context.progress());
    let (mut facts, mut notes) = (Vec::new(), Vec::new());
    for model in &exports.models {
        if let Some(reason) = skip_reason(&model.record) {
            notes.push(format!("{} was not run: {reason}.", Variant::onnx(model.record.precision).id()));
            continue;
        }
        let samples = &Samples::of_pipeline(spec, snapshot, &model.record);
        notes.extend(samples.note().filter(|note| !notes.contains(note)));
        let (reference, library_version) = (reference.as_ref(), library_version.as_str());
        let check = ModelCheck { snapshot, model, reference, samples, library_version };
        facts.extend(check_model(&check, cache, progress)?);
    }
    let is_run_in_bf16 = |model: &Model| model.precision == Precision::Bf16 && skip_reason(model).is_none();
    if exports.models.iter().any(|model| is_run_in_bf16(&model.record)) {
        notes.push(BF16_NOTE.to_owned());
    }
    // A checkpoint that gives a module gives the reference too.
    for (module, reference) in exports.modules.iter().zip(reference.iter().cycle()) {
        let samples = &Samples::of_pipeline(spec, snapshot, &module.record);
        let check = ModuleCheck { snapshot, module, reference, samples, library_version: &library_version };
        facts.extend(check_module(&check, cache, progress)?);
    }
    require_passed(&facts, None)?;
    Ok(Checks { facts, onnx_runtime: Some(library_version), notes })
}

/// The fp32 export, which points into the checkpoint and costs nothing. None for a prebuilt graph, where it is not
/// among the models.
pub(super) fn fp32_reference(
    context: &PipelineContext,
    snapshot: &Snapshot,
    models: &[CachedArtifact<Model>],
) -> Result<Option<CachedArtifact<Model>>> {
    match models.iter().find(|model| model.record.precision == Precision::Fp32) {
        Some(model) => Ok(Some(model.clone())),
        None if context.spec.source.graph.is_some() => Ok(None),
        None => Ok(Some(export_precision(context, snapshot, Precision::Fp32)?.model)),
    }
}
