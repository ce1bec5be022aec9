//! A repository's own ONNX file, taken as it is: for architectures that are not described here, and for graphs that
//! other tools have quantized.

use crate::onnx::graph_error;
use crate::reporter::Reporter;
use crate::{Error, Result};
use planforge_core::{
    ArtifactFile, Cache, CacheKey, CacheKind, CachedArtifact, Digest, Model, ModelFormat, Precision, Progress,
    Snapshot, Task, link_or_copy,
};
use planforge_onnx::ModelFacts;
use std::path::Path;

/// Bumped whenever the same file gives another record.
const FORMAT: u32 = 1;
const GRAPH: &str = "model.onnx";

/// Takes the ONNX file `graph` of the snapshot, with the files of its weights, without changing a byte. The
/// first dimension of an input or output that is not fixed is its batch.
///
/// # Errors
/// [`Error::Graph`] for a file that is not an ONNX graph, inputs and outputs of types that are not served, weights that
/// are missing or outside the repository, and a precision other than the graph's; [`Error::MissingFile`].
pub fn pass_through(
    snapshot: &Snapshot,
    graph: &str,
    task: Task,
    precision: Precision,
    cache: &Cache,
    progress: &dyn Progress,
) -> Result<CachedArtifact<Model>> {
    let subject = format!("onnx-{precision}");
    let reporter = Reporter { progress, subject: &subject };
    reporter.started();
    let digests: Vec<(&str, &Digest)> = snapshot.files.iter().map(|file| (file.path.as_str(), &file.sha256)).collect();
    let key = CacheKey::of(&("pass-through", FORMAT, graph, task, precision, digests));
    let known =
        |file: &ArtifactFile| Some((fs_err::canonicalize(snapshot.path(&file.path)?).ok()?, file.sha256.clone()));
    let stored = cache.get_or_build_known(CacheKind::Model, &key, progress, |folder| {
        let model = take(snapshot, graph, task, precision, folder)?;
        Ok::<_, Error>((model, snapshot.files.iter().filter_map(known).collect()))
    })?;
    reporter.finished(&stored);
    Ok(stored)
}

fn take(snapshot: &Snapshot, graph: &str, task: Task, precision: Precision, folder: &Path) -> Result<Model> {
    let missing = |file: &str| Error::MissingFile { repo: snapshot.repo.clone(), file: file.to_owned() };
    let path = snapshot.path(graph).ok_or_else(|| missing(graph))?;
    let fail = |message: String| Error::Graph { path: path.clone(), message };
    let facts = ModelFacts::read(&fs_err::read(&path)?).map_err(|error| graph_error(&path, &error))?;
    if facts.precision != precision {
        let found = facts.precision;
        return Err(fail(format!(
            "its weights are {found} and it is taken as it is, so `export.precisions` must be [\"{found}\"]"
        )));
    }
    link_or_copy(&path, &folder.join(GRAPH))?;
    let folder_prefix = graph.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
    for (file, &needed) in &facts.data_files {
        let source = snapshot
            .path(&format!("{folder_prefix}{file}"))
            .ok_or_else(|| missing(&format!("{folder_prefix}{file}")))?;
        let length = fs_err::metadata(&source)?.len();
        if length < needed {
            return Err(fail(format!("truncated weights `{file}`: {length} bytes; expected at least {needed}")));
        }
        link_or_copy(&source, &folder.join(file))?;
    }
    Ok(Model {
        architecture: "onnx".to_owned(),
        task,
        precision,
        format: ModelFormat::Onnx,
        graph: GRAPH.to_owned(),
        weights: facts.data_files.into_keys().collect(),
        opset: Some(facts.opset),
        inputs: facts.inputs,
        outputs: facts.outputs,
        parameter_count: facts.parameter_count,
        weight_byte_count: facts.weight_byte_count,
        max_sequence: None,
        unused_tensors: Vec::new(),
        keep_fp32: Vec::new(),
        labels: Vec::new(),
        prebuilt: true,
    })
}
