//! Snapshot to ONNX.
//!
//! Where the checkpoint already stores its weights in the precision asked for, the graph points into
//! the checkpoint's own files and no weight is written; otherwise they are converted once.

use crate::arch::{Architecture, labels};
use crate::checkpoint::{Checkpoint, StoredTensor, StoredType};
use crate::convert::convert;
use crate::onnx::{OPSET, OnnxGraph, WeightPlan, WeightUse};
use crate::{Error, Result};
use planforge_core::{
    ArtifactFile, Cache, CacheKey, CacheKind, Digest, Model, ModelFormat, Outcome, Precision, Progress, Snapshot, Step,
    Stored, Task, link_or_copy, write_atomically,
};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Bumped whenever the same checkpoint gives other bytes.
const FORMAT: u32 = 2;
const GRAPH: &str = "model.onnx";

/// What to export.
#[derive(Debug, Clone, Copy)]
pub struct ExportOptions {
    /// Decides the outputs.
    pub task: Task,
    /// Type of weights and matrix products.
    pub precision: Precision,
}

/// Exports a snapshot, or finds an earlier export of the same files.
///
/// # Errors
/// Unsupported model types, missing, misshapen or unused tensors, damaged files, weights outside the
/// range of binary16, I/O errors, and the wish to stop. Each names the file or the tensor.
pub fn export(
    snapshot: &Snapshot,
    options: ExportOptions,
    cache: &Cache,
    progress: &dyn Progress,
) -> Result<Stored<Model>> {
    let subject = format!("onnx-{}", options.precision);
    progress.started(Step::Export, &subject, None, "bytes");
    let key = export_key(snapshot, options);
    // The weights are links to files whose digests are known.
    let sources: Vec<_> =
        snapshot.files.iter().filter_map(|file| Some((real_path(snapshot, file)?, file.sha256.clone()))).collect();
    let stored = cache.get_or_build_from(CacheKind::Model, &key, &sources, progress, |folder| {
        write_model(snapshot, options, folder, (progress, &subject))
    })?;
    let outcome = if stored.reused { Outcome::Cached } else { Outcome::Built };
    progress.finished(Step::Export, &subject, outcome, stored.elapsed);
    Ok(stored)
}

/// Where a file of the snapshot really lies: the Hub's cache has symbolic links.
fn real_path(snapshot: &Snapshot, file: &ArtifactFile) -> Option<PathBuf> {
    fs_err::canonicalize(snapshot.directory.join(&file.path)).ok()
}

fn export_key(snapshot: &Snapshot, options: ExportOptions) -> CacheKey {
    let read_by_export = |path: &str| [".safetensors", ".bin", ".json"].iter().any(|ending| path.ends_with(ending));
    let inputs: Vec<(&str, &Digest)> = snapshot
        .files
        .iter()
        .filter(|file| read_by_export(&file.path))
        .map(|file| (file.path.as_str(), &file.sha256))
        .collect();
    CacheKey::of(&(FORMAT, env!("CARGO_PKG_VERSION"), options.task, options.precision, inputs))
}

fn write_model(
    snapshot: &Snapshot,
    options: ExportOptions,
    folder: &Path,
    report: (&dyn Progress, &str),
) -> Result<Model> {
    let checkpoint = Checkpoint::read(snapshot)?;
    let architecture = Architecture::read(&checkpoint, options.task)?;
    let mut parameters = architecture.parameters(&checkpoint);
    let mut graph = OnnxGraph::new(options.precision, &mut parameters);
    architecture.forward(&mut graph)?;
    let used: Vec<WeightUse> = graph.weights().cloned().collect();
    let used: Vec<&WeightUse> = used.iter().collect();
    let plan = place_weights(&checkpoint, &used, options.precision, folder, report)?;
    let (inputs, outputs) = graph.interface();
    let bytes = graph.encode(&checkpoint.model_type, &plan);
    write_atomically(&folder.join(GRAPH), &bytes)?;

    let unused_tensors = parameters.unused();
    refuse_unexplained(&checkpoint, &architecture, &unused_tensors)?;
    let files: BTreeSet<String> = plan.values().map(|(file, ..)| file.clone()).collect();
    Ok(Model {
        architecture: checkpoint.model_type.clone(),
        task: options.task,
        precision: options.precision,
        format: ModelFormat::Onnx,
        graph: GRAPH.to_owned(),
        weights: files.into_iter().collect(),
        opset: OPSET,
        inputs,
        outputs,
        parameter_count: used.iter().map(|weight| weight.source.tensor.shape.iter().product::<usize>() as u64).sum(),
        weight_byte_count: plan.values().map(|(_, _, length)| length).sum(),
        max_sequence: architecture.max_sequence(),
        unused_tensors,
        labels: match options.task {
            Task::TextClassification | Task::TokenClassification => labels(&checkpoint.config),
            Task::FeatureExtraction | Task::SentenceEmbedding => Vec::new(),
        },
    })
}

/// Points into the checkpoint's files when all weights are stored in this precision, each on a multiple
/// of its element's size, else converts.
fn place_weights(
    checkpoint: &Checkpoint,
    used: &[&WeightUse],
    precision: Precision,
    folder: &Path,
    report: (&dyn Progress, &str),
) -> Result<WeightPlan> {
    let wanted = match precision {
        Precision::Fp32 => StoredType::F32,
        Precision::Fp16 => StoredType::F16,
    };
    let is_usable = |tensor: &StoredTensor| tensor.data_type == wanted && tensor.is_aligned();
    if !used.iter().all(|weight| is_usable(&weight.source.tensor)) {
        return convert(checkpoint, used, precision, (folder, &format!("model.{precision}.safetensors")), report);
    }
    let mut plan = WeightPlan::new();
    for weight in used {
        let file = &checkpoint.files[weight.source.file];
        let flat_name = file.name.replace('/', "-");
        link_or_copy(&file.path, &folder.join(&flat_name))?;
        let tensor = &weight.source.tensor;
        plan.insert(weight.name.clone(), (flat_name, tensor.offset, tensor.byte_count));
    }
    Ok(plan)
}

/// Tensors that nothing uses mean that the description and the checkpoint disagree, unless the
/// architecture knows them.
fn refuse_unexplained(checkpoint: &Checkpoint, architecture: &Architecture, unused: &[String]) -> Result<()> {
    let unexplained: Vec<&str> =
        unused.iter().map(String::as_str).filter(|name| !architecture.may_ignore(name)).collect();
    if unexplained.is_empty() {
        return Ok(());
    }
    let mut names = unexplained.iter().take(5).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if unexplained.len() > 5 {
        names = format!("{names} and {} more", unexplained.len() - 5);
    }
    Err(Error::UnusedTensors { model_type: checkpoint.model_type.clone(), names })
}
