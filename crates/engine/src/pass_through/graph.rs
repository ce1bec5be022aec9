//! The graph and the files of its weights, linked and described.

use super::images::with_image_size;
use super::labels::graph_labels;
use crate::onnx::graph_error;
use crate::reporter::Reporter;
use crate::sample::fixed_length;
use crate::{Error, Result};
use planforge_core::{
    ArtifactFile, Cache, CacheKey, CacheKind, CachedArtifact, Digest, ImageSize, MAX_GRAPH_BYTE_COUNT, Model,
    ModelFormat, Precision, Progress, Snapshot, Task, link_or_copy, read_file,
};
use planforge_onnx::ModelFacts;
use std::collections::BTreeMap;
use std::path::Path;

/// Bumped whenever the same file gives another record.
const FORMAT: u32 = 2;
const GRAPH: &str = "model.onnx";

/// Which ONNX file to take, and for what.
#[derive(Debug, Clone, Copy)]
pub struct GraphRequest<'a> {
    /// Its path in the snapshot.
    pub graph: &'a str,
    /// What it is used for.
    pub task: Task,
    /// Its own precision.
    pub precision: Precision,
    /// Size of the images, where the graph leaves it open and it is not to be the repository's.
    pub image_size: Option<ImageSize>,
}

/// Takes an ONNX file of the snapshot, with the files of its weights, without changing a byte. The first dimension of an
/// input or output that is not fixed is its batch.
///
/// # Errors
/// [`Error::Graph`] for a file that is not an ONNX graph, inputs and outputs of types that are not served, weights that
/// are missing or outside the repository, a precision other than the graph's, and sizes of images that neither the graph nor the
/// repository gives; [`Error::MissingFile`]; [`Error::Task`] for a graph without the output of the task.
pub fn pass_through(
    snapshot: &Snapshot,
    request: GraphRequest<'_>,
    cache: &Cache,
    progress: &dyn Progress,
) -> Result<CachedArtifact<Model>> {
    let GraphRequest { graph, task, precision, image_size } = request;
    let subject = format!("onnx-{precision}");
    let reporter = Reporter { progress, subject: &subject };
    reporter.started();
    let digests: Vec<(&str, &Digest)> = snapshot.files.iter().map(|file| (file.path.as_str(), &file.sha256)).collect();
    let key = CacheKey::of(&("pass-through", FORMAT, graph, task, precision, image_size, digests));
    let known =
        |file: &ArtifactFile| Some((fs_err::canonicalize(snapshot.path(&file.path)?).ok()?, file.sha256.clone()));
    let stored = cache.get_or_build_known(CacheKind::Model, &key, progress, |folder| {
        let model = take(snapshot, request, folder)?;
        Ok::<_, Error>((model, snapshot.files.iter().filter_map(known).collect()))
    })?;
    reporter.finished(&stored);
    Ok(stored)
}

fn take(snapshot: &Snapshot, request: GraphRequest<'_>, folder: &Path) -> Result<Model> {
    let GraphRequest { graph, task, precision, image_size } = request;
    let path = snapshot.path(graph).ok_or_else(|| missing(snapshot, graph))?;
    let fail = |message: String| Error::Graph { path: path.clone(), message };
    let mut facts =
        ModelFacts::read(&read_file(&path, MAX_GRAPH_BYTE_COUNT)?).map_err(|error| graph_error(&path, &error))?;
    if facts.precision != precision {
        let found = facts.precision;
        return Err(fail(format!(
            "its weights are {found} and it is taken as it is, so `export.precisions` must be [\"{found}\"]"
        )));
    }
    if task.is_over_images() {
        with_image_size(&mut facts.inputs, snapshot, image_size).map_err(fail)?;
    }
    link_or_copy(&path, &folder.join(GRAPH))?;
    link_data(snapshot, graph, &facts.data_files, folder)?;
    let mut model = Model {
        architecture: "onnx".to_owned(),
        task,
        precision,
        format: ModelFormat::Onnx,
        graph: GRAPH.to_owned(),
        weights: facts.data_files.into_keys().collect(),
        opset: Some(facts.opset),
        max_sequence: fixed_length(&facts.inputs),
        inputs: facts.inputs,
        outputs: facts.outputs,
        parameter_count: facts.parameter_count,
        weight_byte_count: facts.weight_byte_count,
        unused_tensors: Vec::new(),
        keep_fp32: Vec::new(),
        labels: Vec::new(),
        prebuilt: true,
    };
    require_pooled(&model, snapshot)?;
    model.labels = graph_labels(snapshot, graph, &model)?;
    Ok(model)
}

/// Links the files of the weights to `folder`, under the names that the graph gives.
fn link_data(snapshot: &Snapshot, graph: &str, files: &BTreeMap<String, u64>, folder: &Path) -> Result<()> {
    let fail = |message: String| {
        let path = snapshot.directory.join(graph);
        Err(Error::Graph { path, message })
    };
    let parent = graph.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
    for (file, &needed) in files {
        if file == GRAPH {
            return fail(format!("invalid name `{file}` of a file of weights; expected another name than the graph's"));
        }
        let name = format!("{parent}{file}");
        let source = snapshot.path(&name).ok_or_else(|| missing(snapshot, &name))?;
        let length = fs_err::metadata(&source)?.len();
        if length < needed {
            return fail(format!("truncated weights `{file}`: {length} bytes; expected at least {needed}"));
        }
        link_or_copy(&source, &folder.join(file))?;
    }
    Ok(())
}

fn missing(snapshot: &Snapshot, file: &str) -> Error {
    Error::MissingFile { repo: snapshot.repo.clone(), file: file.to_owned() }
}

/// Fails for an embedding of sentences by a graph that gives vectors of tokens only: how they are pooled is in other files.
fn require_pooled(model: &Model, snapshot: &Snapshot) -> Result<()> {
    let is_pooled = |name: &String| {
        let output = model.outputs.iter().find(|output| output.name == *name);
        output.is_some_and(|output| output.dims.len() == 2)
    };
    let outputs = model.main_outputs();
    if model.task != Task::SentenceEmbedding || outputs.first().is_some_and(is_pooled) {
        return Ok(());
    }
    let message = format!(
        "its graph gives {} and no output `sentence_embedding`; use `feature-extraction` and pool where the model is \
         used, or export a graph that pools",
        outputs.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
    );
    Err(Error::Task { task: model.task.to_string(), repo: snapshot.repo.clone(), message })
}
