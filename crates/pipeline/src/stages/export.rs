//! Snapshot → ONNX models and TorchScript modules of the plan.

use super::modules::export_modules;
use super::outputs::{copy_outputs, link_outputs};
use super::precision::{Export, export_precision};
use crate::context::PipelineContext;
use crate::plan::BuildPlan;
use crate::{Error, Result};
use planforge_core::{CachedArtifact, Model, Snapshot, Variant};
use planforge_engine::check_profiles;

/// Exported models.
#[derive(Debug, Default)]
pub struct Exports {
    /// ONNX models, one for each precision of the plan.
    pub models: Vec<CachedArtifact<Model>>,
    /// TorchScript modules.
    pub modules: Vec<CachedArtifact<Model>>,
    /// Packages of the plan that cannot be made of these exports.
    pub skipped: Vec<Variant>,
    /// Version of ONNX Runtime, where it measured ranges.
    pub onnx_runtime: Option<String>,
    /// Sentences for the report.
    pub notes: Vec<String>,
}

/// Exports the precisions of the plan, and the TorchScript modules that the pipeline asks for.
///
/// # Errors
/// A checkpoint that cannot be exported, profiles that the model does not take, and errors of ONNX Runtime.
pub fn export(context: &PipelineContext, plan: &BuildPlan, snapshot: &Snapshot) -> Result<Exports> {
    let mut exports = Exports::default();
    for &precision in &plan.selection.precisions {
        let Export { model, onnx_runtime, notes } = export_precision(context, snapshot, precision)?;
        check_profiles(&model.record, &plan.profiles)
            .map_err(|source| Error::Profiles { file: context.file.clone(), source })?;
        link_export(context, &model)?;
        exports.models.push(model);
        exports.notes.extend(notes);
        exports.onnx_runtime = exports.onnx_runtime.or(onnx_runtime);
    }
    let modules = export_modules(context, plan, snapshot, &exports.models)?;
    for module in &modules.modules {
        link_export(context, module)?;
    }
    exports.modules = modules.modules;
    exports.skipped = modules.skipped;
    exports.notes.extend(modules.notes);
    Ok(exports)
}

/// Links an export into the output folder, or copies it where the pipeline wants no links.
fn link_export(context: &PipelineContext, model: &CachedArtifact<Model>) -> Result<()> {
    let folder = context.layout.export(model.record.format, model.record.precision);
    if context.spec.export.link { link_outputs(model, &folder) } else { copy_outputs(model, &folder) }
}
