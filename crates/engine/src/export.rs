//! Snapshot to ONNX.
//!
//! Where the checkpoint already stores its weights in the precision asked for, the graph points into
//! the checkpoint's own files and no weight is written; otherwise they are converted once.

use crate::arch::{Architecture, task_labels};
use crate::checkpoint::{Checkpoint, StoredType};
use crate::convert::{convert, require_finite};
use crate::onnx::{FORMAT, OnnxGraph, Opset, WeightPlan, WeightUse, covers};
use crate::pattern::matches;
use crate::reporter::Reporter;
use crate::self_contained::write_self_contained;
use crate::undescribed::with_onnx_route;
use crate::{Error, Result};
use planforge_core::{
    ArtifactFile, Cache, CacheKey, CacheKind, CachedArtifact, Digest, ImageSize, Model, ModelFormat, Precision,
    Progress, Snapshot, Task, TokenType, link_or_copy, write_atomically,
};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const GRAPH: &str = "model.onnx";

/// What to export.
#[derive(Debug, Clone)]
pub struct ExportOptions {
    /// Decides the outputs.
    pub task: Task,
    /// Type of weights and matrix products.
    pub precision: Precision,
    /// Size of images, where it is not to be the checkpoint's own.
    pub image_size: Option<ImageSize>,
    /// In fp16 and bf16, values that are kept in binary32: by name, or by the name of a scope around them.
    pub wide: BTreeSet<String>,
    /// Whether the weights are written into the graph's own file.
    pub self_contained: bool,
    /// Names of tensors that are left out, as the checkpoint has them; a `*` stands for anything.
    pub ignore_tensors: Vec<String>,
    /// Type of the inputs over tokens.
    pub token_type: TokenType,
}

/// What stands before the name of a value in the outputs of [`export_ranges`].
pub const RANGE_PREFIX: &str = "range/";

/// Outputs of a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
enum Purpose {
    /// The task's.
    Model,
    /// The largest magnitude of each value.
    Ranges,
}

impl ExportOptions {
    /// A model for `task` in `precision`, as the checkpoint has it.
    #[must_use]
    pub const fn new(task: Task, precision: Precision) -> Self {
        Self {
            task,
            precision,
            image_size: None,
            wide: BTreeSet::new(),
            self_contained: false,
            ignore_tensors: Vec::new(),
            token_type: TokenType::Int64,
        }
    }

    /// What is not as it always was, for cache keys; none where all is.
    pub(crate) fn additions(&self) -> Option<(&[String], TokenType)> {
        let is_default = self.ignore_tensors.is_empty() && self.token_type == TokenType::Int64;
        (!is_default).then_some((&self.ignore_tensors, self.token_type))
    }
}

/// Exports a snapshot, or finds an earlier export of the same files.
///
/// # Errors
/// Unsupported model types, missing, misshapen or unused tensors, damaged files, weights outside the
/// range of the precision, I/O errors, and cancellation. Each names the file or the tensor.
pub fn export(
    snapshot: &Snapshot,
    options: &ExportOptions,
    cache: &Cache,
    progress: &dyn Progress,
) -> Result<CachedArtifact<Model>> {
    let subject = format!("onnx-{}", options.precision);
    let reporter = Reporter { progress, subject: &subject };
    reporter.started();
    let stored = export_for(snapshot, options, Purpose::Model, cache, reporter)?;
    reporter.finished(&stored);
    Ok(stored)
}

/// As [`export`] in fp32, with other outputs: for each value that fp16 would round, its largest magnitude in a run, a
/// number without dimensions under the value's name after [`RANGE_PREFIX`].
///
/// # Errors
/// As [`export`].
pub fn export_ranges(
    snapshot: &Snapshot,
    options: &ExportOptions,
    cache: &Cache,
    progress: &dyn Progress,
) -> Result<CachedArtifact<Model>> {
    let (precision, wide) = (Precision::Fp32, BTreeSet::new());
    let options = ExportOptions { precision, wide, self_contained: false, ..options.clone() };
    export_for(snapshot, &options, Purpose::Ranges, cache, Reporter { progress, subject: "ranges" })
}

fn export_for(
    snapshot: &Snapshot,
    options: &ExportOptions,
    purpose: Purpose,
    cache: &Cache,
    reporter: Reporter<'_>,
) -> Result<CachedArtifact<Model>> {
    let key = export_key(snapshot, options, purpose);
    // The weights are links to files whose digests are known.
    let known = |file: &ArtifactFile| Some((real_path(snapshot, file)?, file.sha256.clone()));
    cache.get_or_build_known(CacheKind::Model, &key, reporter.progress, |folder| {
        let model = with_onnx_route(snapshot, write_model(snapshot, options, purpose, folder, reporter))?;
        Ok((model, snapshot.files.iter().filter_map(known).collect()))
    })
}

/// The path of a file of the snapshot without symbolic links, which the Hub's cache has.
fn real_path(snapshot: &Snapshot, file: &ArtifactFile) -> Option<PathBuf> {
    fs_err::canonicalize(snapshot.directory.join(&file.path)).ok()
}

fn export_key(snapshot: &Snapshot, options: &ExportOptions, purpose: Purpose) -> CacheKey {
    let ExportOptions { task, precision, image_size, wide, self_contained, .. } = options;
    let tools = (FORMAT, env!("CARGO_PKG_VERSION"));
    let parts = (tools, task, precision, image_size, wide, self_contained, purpose, export_inputs(snapshot));
    match options.additions() {
        None => CacheKey::of(&parts),
        Some(additions) => CacheKey::of(&(parts, additions)),
    }
}

/// Names and digests of the files of a snapshot that an export reads.
pub(crate) fn export_inputs(snapshot: &Snapshot) -> Vec<(&str, &Digest)> {
    let is_read = |path: &str| [".safetensors", ".bin", ".json"].iter().any(|ending| path.ends_with(ending));
    let read = snapshot.files.iter().filter(|file| is_read(&file.path));
    read.map(|file| (file.path.as_str(), &file.sha256)).collect()
}

fn write_model(
    snapshot: &Snapshot,
    options: &ExportOptions,
    purpose: Purpose,
    folder: &Path,
    reporter: Reporter<'_>,
) -> Result<Model> {
    let checkpoint = Checkpoint::read(snapshot, options.task)?;
    let architecture = Architecture::read(&checkpoint, options.task, options.image_size)?;
    let mut parameters = architecture.parameters(&checkpoint, &options.ignore_tensors)?;
    let mut graph = OnnxGraph::new(options.precision, options.token_type, &options.wide, &mut parameters);
    architecture.forward(&mut graph)?;
    let unused_tensors = graph.unused_tensors();
    refuse_unexplained(&checkpoint, &architecture, &unused_tensors, &options.ignore_tensors)?;
    let keep_fp32 = keep_fp32(&graph, options)?;
    if purpose == Purpose::Ranges {
        graph.measure_ranges(RANGE_PREFIX);
    }
    let used: Vec<WeightUse> = graph.weights().cloned().collect();
    let used: Vec<&WeightUse> = used.iter().collect();
    let (inputs, outputs) = graph.interface();
    let files = if options.self_contained {
        let model = graph.encode_without_weights(&checkpoint.model_type);
        write_self_contained(&checkpoint, &used, &model, &folder.join(GRAPH), reporter)?;
        BTreeSet::new()
    } else {
        let plan = place_weights(&checkpoint, &used, options.precision, folder, reporter)?;
        write_atomically(&folder.join(GRAPH), &graph.encode(&checkpoint.model_type, &plan))?;
        plan.into_values().map(|(file, ..)| file).collect()
    };

    Ok(Model {
        architecture: checkpoint.model_type.clone(),
        task: options.task,
        precision: options.precision,
        format: ModelFormat::Onnx,
        graph: GRAPH.to_owned(),
        weights: files.into_iter().collect(),
        opset: Some(Opset::of(options.precision).version),
        inputs,
        outputs,
        parameter_count: parameter_count(&used),
        weight_byte_count: used.iter().map(|weight| weight.byte_count()).sum(),
        max_sequence: architecture.max_sequence(),
        unused_tensors,
        keep_fp32,
        prebuilt: false,
        labels: task_labels(&checkpoint, options.task)?,
    })
}

/// The values that stay in binary32.
///
/// # Errors
/// [`Error::UnknownValue`] for a name that stands for none.
fn keep_fp32(graph: &OnnxGraph<'_>, options: &ExportOptions) -> Result<Vec<String>> {
    let computed = graph.computed();
    if let Some(name) = options.wide.iter().find(|name| !computed.iter().any(|value| covers(name, value))) {
        return Err(Error::UnknownValue { name: name.clone() });
    }
    let is_wide = |value: &&String| options.wide.iter().any(|name| covers(name, value));
    Ok(computed.iter().filter(is_wide).cloned().collect())
}

/// Parameters without statistics, those under two names once.
pub(crate) fn parameter_count(used: &[&WeightUse]) -> u64 {
    let mut seen = BTreeSet::new();
    let is_new =
        |weight: &&&WeightUse| weight.trained && seen.insert((weight.source.file, weight.source.tensor.identity()));
    used.iter().filter(is_new).map(|weight| weight.source.tensor.shape.iter().product::<usize>() as u64).sum()
}

/// Points into the checkpoint's files when all weights are stored as the graph has them, each on a multiple of its
/// element's size, else converts.
fn place_weights(
    checkpoint: &Checkpoint,
    used: &[&WeightUse],
    precision: Precision,
    folder: &Path,
    reporter: Reporter<'_>,
) -> Result<WeightPlan> {
    let is_stored_so = |weight: &&WeightUse| {
        weight.source.tensor.data_type == StoredType::of_weights(weight.data_type)
            && weight.source.tensor.can_be_mapped()
    };
    if !used.iter().all(is_stored_so) {
        return convert(checkpoint, used, folder, &format!("model.{precision}.safetensors"), reporter);
    }
    require_finite(checkpoint, used, reporter.progress)?;
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
/// architecture knows them or they match a pattern of `ignored`.
pub(crate) fn refuse_unexplained(
    checkpoint: &Checkpoint,
    architecture: &Architecture,
    unused: &[String],
    ignored: &[String],
) -> Result<()> {
    let is_explained =
        |name: &&str| architecture.may_ignore(name) || ignored.iter().any(|pattern| matches(pattern, name));
    let unexplained: Vec<&str> = unused.iter().map(String::as_str).filter(|name| !is_explained(name)).collect();
    if unexplained.is_empty() {
        return Ok(());
    }
    let mut names = unexplained.iter().take(5).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if unexplained.len() > 5 {
        names = format!("{names} and {} more", unexplained.len() - 5);
    }
    let example = pattern_of(checkpoint, &unexplained);
    Err(Error::UnusedTensors { model_type: checkpoint.model_type.clone(), names, example })
}

/// A pattern for the first of `unexplained`: the widest scope around it without other tensors, else its name.
fn pattern_of(checkpoint: &Checkpoint, unexplained: &[&str]) -> String {
    let name = unexplained.first().copied().unwrap_or_default();
    let all = || checkpoint.files.iter().flat_map(|file| &file.tensors);
    let is_free = |scope: &&str| {
        all().all(|tensor| !tensor.name.starts_with(*scope) || unexplained.contains(&tensor.name.as_str()))
    };
    let scopes = name.match_indices('.').map(|(dot, _)| &name[..=dot]);
    scopes.into_iter().find(is_free).map_or_else(|| name.to_owned(), |scope| format!("{scope}*"))
}
