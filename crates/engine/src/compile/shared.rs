//! What an engine is built from: a model with its weights, or a graph that checkpoints share.

use super::builder::engine_builder;
use super::job::CompileOptions;
use crate::onnx::{SharedGraph, graph_error, weight_places};
use crate::{Error, Result};
use planforge_core::{
    CachedArtifact, Digest, Engine, EngineWeight, EngineWeights, Model, PlacedWeights, TensorSpec, WeightTransform,
};
use planforge_onnx::{Transposed, keep_outputs};
use std::borrow::Cow;
use std::path::Path;

/// List of the weights that an engine lacks.
pub(super) const WEIGHTS: &str = "left-out.json";

/// What an engine is built from.
pub(super) enum Source<'a> {
    /// All files of the model, and the outputs that its graph is cut down to.
    Model(&'a CachedArtifact<Model>, Vec<String>),
    /// The graph without the values of its weights; those of `model` are read, and leave no trace.
    Shared(&'a CachedArtifact<Model>, SharedGraph),
}

impl<'a> Source<'a> {
    /// What an engine of `model` with these outputs is built from.
    ///
    /// # Errors
    /// [`Error::Graph`], and [`Error::StripWeights`] for a graph that cannot be built without its weights.
    pub(super) fn of(
        model: &'a CachedArtifact<Model>,
        options: &CompileOptions,
        outputs: &[TensorSpec],
    ) -> Result<Self> {
        let outputs: Vec<String> = outputs.iter().map(|spec| spec.name.clone()).collect();
        if !engine_builder(options.builder).shares_engines(options.builder_options) {
            return Ok(Self::Model(model, outputs));
        }
        let path = model.path(&model.record.graph);
        let bytes = cut(model, &outputs)?.map_or_else(|| fs_err::read(&path), Ok)?;
        let graph =
            SharedGraph::new(&bytes).map_err(|error| Error::StripWeights { path, message: error.to_string() })?;
        Ok(Self::Shared(model, graph))
    }

    /// Digests of all that decides bytes of the engine, by name.
    pub(super) fn digests(&self) -> Vec<(&str, &Digest)> {
        match self {
            Self::Model(model, _) => model.files.iter().map(|file| (file.path.as_str(), &file.sha256)).collect(),
            Self::Shared(_, graph) => vec![("shared graph", &graph.digest)],
        }
    }

    /// Digest of the graph that engines of this source are made from.
    pub(super) fn graph_digest(&self) -> Option<Digest> {
        match self {
            Self::Model(model, _) => model.file(&model.record.graph).map(|graph| graph.sha256.clone()),
            Self::Shared(_, graph) => Some(graph.digest.clone()),
        }
    }

    /// Weights that are left out of the engine.
    pub(super) fn left_out(&self) -> Vec<String> {
        match self {
            Self::Model(..) => Vec::new(),
            Self::Shared(_, graph) => graph.weights.clone(),
        }
    }

    /// A folder in `folder` with the graph and links to its weights, for as long as it is kept.
    pub(super) fn write(&self, folder: &Path) -> Result<tempfile::TempDir> {
        let (Self::Model(model, _) | Self::Shared(model, _)) = self;
        let temporary = tempfile::Builder::new().prefix(".graph-").tempdir_in(folder)?;
        let place = temporary.path().join(&model.record.graph);
        let bytes = match self {
            Self::Model(_, outputs) => cut(model, outputs)?.map(Cow::Owned),
            Self::Shared(_, graph) => Some(Cow::Borrowed(&graph.bytes)),
        };
        match bytes {
            Some(bytes) => fs_err::write(place, &*bytes)?,
            None => fs_err::os::unix::fs::symlink(model.path(&model.record.graph), place)?,
        }
        for weights in &model.record.weights {
            let link = temporary.path().join(weights);
            fs_err::create_dir_all(link.parent().unwrap_or(temporary.path()))?;
            fs_err::os::unix::fs::symlink(model.path(weights), link)?;
        }
        Ok(temporary)
    }

    /// Writes the list of the weights that the engine lacks to `folder`; whether there is one.
    pub(super) fn write_weights(&self, mut weights: Vec<EngineWeight<String>>, folder: &Path) -> Result<bool> {
        let Self::Shared(_, graph) = self else { return Ok(false) };
        if let Some(Transposed { name, rows }) = &graph.transposed {
            let turned = weights.iter_mut().filter(|weight| weight.sources.contains(name));
            turned.for_each(|weight| weight.transform = WeightTransform::Transposed { rows: *rows });
        }
        let text = serde_json::to_vec(&EngineWeights { weights }).expect("names and numbers are plain data");
        fs_err::write(folder.join(WEIGHTS), text)?;
        Ok(true)
    }
}

/// The graph of `model` cut down to `outputs`; none where it has no others.
fn cut(model: &CachedArtifact<Model>, outputs: &[String]) -> Result<Option<Vec<u8>>> {
    if outputs.len() == model.record.outputs.len() {
        return Ok(None);
    }
    let path = model.path(&model.record.graph);
    let bytes = keep_outputs(&fs_err::read(&path)?, outputs);
    Ok(Some(bytes.map_err(|error| graph_error(&path, &error))?))
}

/// The places of the weights of `model` that `engine` lacks; none for an engine that has its own.
///
/// # Errors
/// [`Error::Graph`] for a graph without a weight that the engine asks for, a damaged list, I/O errors.
pub fn place_weights(model: &CachedArtifact<Model>, engine: &CachedArtifact<Engine>) -> Result<Option<PlacedWeights>> {
    let Some(list) = &engine.record.weights else { return Ok(None) };
    let (list, graph) = (engine.path(list), model.path(&model.record.graph));
    let fail = |message: String| Error::Graph { path: graph.clone(), message };
    let weights: EngineWeights = serde_json::from_slice(&fs_err::read(&list)?)
        .map_err(|source| planforge_core::Error::CacheRecord { path: list, source })?;
    let places = weight_places(&fs_err::read(&graph)?).map_err(|error| graph_error(&graph, &error))?;
    let placed = weights.placed(|name| places.get(name).cloned());
    let lacks = |name| fail(format!("missing external weight `{name}`, which its engine needs"));
    Ok(Some(placed.map_err(lacks)?))
}
