//! Snapshot to TorchScript.

use super::archive::finish;
use super::interpreter::Torch;
use super::trace::trace;
use super::weights::Weights;
use crate::arch::{Architecture, task_labels};
use crate::checkpoint::Checkpoint;
use crate::export::{export_inputs, parameter_count, refuse_unexplained};
use crate::onnx::WeightUse;
use crate::reporter::Reporter;
use crate::undescribed::with_onnx_route;
use crate::{Error, ExportOptions, Result};
use planforge_core::{Cache, CacheKey, CacheKind, CachedArtifact, Model, ModelFormat, Progress, Snapshot};
use std::path::Path;

/// The libtorch that planforge is built with: tch's build refuses others.
pub const LIBTORCH_VERSION: &str = "2.13.0";
/// Bumped whenever the same checkpoint gives other bytes.
const FORMAT: u32 = 1;
const MODULE: &str = "model.pt";

/// Exports a snapshot to TorchScript, or finds an earlier export of the same files.
///
/// The module is traced in evaluation mode with its weights as constants, takes its inputs by position, and returns
/// its output, or a tuple of its outputs.
///
/// # Errors
/// As [`crate::export`], libtorch's, and [`Error::ModuleRange`] where values are to be kept in binary32.
pub fn export_torchscript(
    snapshot: &Snapshot,
    options: &ExportOptions,
    cache: &Cache,
    progress: &dyn Progress,
) -> Result<CachedArtifact<Model>> {
    // The module contains its weights regardless of `self_contained`.
    let ExportOptions { task, precision, image_size, wide, .. } = options;
    if let Some(first) = wide.first() {
        return Err(Error::ModuleRange { precision: *precision, name: first.clone(), count: wide.len() });
    }
    let subject = format!("torchscript-{precision}");
    let reporter = Reporter { progress, subject: &subject };
    reporter.started();
    let tools = ("torchscript", FORMAT, env!("CARGO_PKG_VERSION"), LIBTORCH_VERSION);
    let parts = (tools, task, precision, image_size, export_inputs(snapshot));
    let key = match options.additions() {
        None => CacheKey::of(&parts),
        Some(additions) => CacheKey::of(&(parts, additions)),
    };
    let stored = cache.get_or_build(CacheKind::Model, &key, progress, |folder| {
        with_onnx_route(snapshot, write_module(snapshot, options, folder, reporter))
    })?;
    reporter.finished(&stored);
    Ok(stored)
}

fn write_module(snapshot: &Snapshot, options: &ExportOptions, folder: &Path, reporter: Reporter<'_>) -> Result<Model> {
    let checkpoint = Checkpoint::read(snapshot, options.task)?;
    let architecture = Architecture::read(&checkpoint, options.task, options.image_size)?;
    let mut parameters = architecture.parameters(&checkpoint, &options.ignore_tensors)?;
    let weights = Weights::new(&checkpoint, &mut parameters, reporter);
    let mut torch = Torch::new(options, architecture.max_sequence(), weights);
    let traced = folder.join("traced.pt");
    trace(&architecture, &mut torch, &traced)?;
    let (inputs, outputs) = torch.interface();
    let used: Vec<WeightUse> = torch.weights.used().cloned().collect();
    drop(torch);
    finish(&traced, &folder.join(MODULE), &inputs, &outputs)?;
    fs_err::remove_file(&traced)?;

    let unused_tensors = parameters.unused();
    refuse_unexplained(&checkpoint, &architecture, &unused_tensors, &options.ignore_tensors)?;
    let used: Vec<&WeightUse> = used.iter().collect();
    Ok(Model {
        architecture: checkpoint.model_type.clone(),
        task: options.task,
        precision: options.precision,
        format: ModelFormat::TorchScript,
        graph: MODULE.to_owned(),
        weights: Vec::new(),
        prebuilt: false,
        opset: None,
        inputs,
        outputs,
        parameter_count: parameter_count(&used),
        keep_fp32: Vec::new(),
        weight_byte_count: used.iter().map(|weight| weight.byte_count()).sum(),
        max_sequence: architecture.max_sequence(),
        unused_tensors,
        labels: task_labels(&checkpoint, options.task)?,
    })
}
