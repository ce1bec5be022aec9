//! Snapshot → TorchScript modules.

use super::precision::export_options;
use crate::Result;
use crate::context::PipelineContext;
use crate::plan::BuildPlan;
use crate::torchscript::export_torchscript;
use planforge_core::{CachedArtifact, Model, ModelFormat, Snapshot, Step, Variant};
use planforge_engine::ExportOptions;

/// Exported modules.
#[derive(Debug, Default)]
pub(super) struct Modules {
    /// The modules.
    pub(super) modules: Vec<CachedArtifact<Model>>,
    /// Variants that were asked for and cannot be made.
    pub(super) skipped: Vec<Variant>,
    /// Sentences for the report.
    pub(super) notes: Vec<String>,
}

/// Exports the modules that the pipeline asks for: one for each ONNX model, or those that are packaged.
pub(super) fn export_modules(
    context: &PipelineContext,
    plan: &BuildPlan,
    snapshot: &Snapshot,
    models: &[CachedArtifact<Model>],
) -> Result<Modules> {
    let mut exported = Modules::default();
    let all = context.spec.export.formats.contains(&ModelFormat::TorchScript);
    for Model { precision, keep_fp32, .. } in models.iter().map(|model| &model.record) {
        let variant = Variant::pytorch(*precision);
        if !all && !plan.selection.variants.contains(&variant) {
            continue;
        }
        if !keep_fp32.is_empty() && models.len() > 1 {
            let note = format!("TorchScript is not made in {precision}: it cannot keep single values in fp32.");
            context.progress().note(Step::Export, "skipped", note.clone());
            exported.notes.push(note);
            exported.skipped.push(variant);
            continue;
        }
        let wide = keep_fp32.iter().cloned().collect();
        let options = ExportOptions { wide, ..export_options(context, *precision) };
        exported.modules.push(export_torchscript(snapshot, &options, &context.cache, context.progress())?);
    }
    Ok(exported)
}
