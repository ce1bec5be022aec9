//! What is known without running anything: of a pipeline's model, of an engine, and of an archive.

use crate::context::PipelineContext;
use crate::stages::{export_precision, fetch};
use crate::{Error, Result};
use planforge_core::{
    BuilderFigures, Digest, MAX_DOCUMENT_BYTE_COUNT, ModelCard, NoProgress, PlacedWeights, Precision, ProfileRange,
    Snapshot, Task, TensorSpec, digest_file, open_file, read_text,
};
use planforge_engine::{Checkpoint, Cost, ExportOptions, builder_figures, estimate};
use planforge_package::Provenance;
use serde::Serialize;
use std::io::Read;
use std::path::{Path, PathBuf};

/// What is known of a model without running it.
#[derive(Debug, Serialize)]
pub struct Inspection {
    /// `model_type`, or timm's name.
    pub architecture: String,
    /// What it is used for.
    pub task: Task,
    /// Repository and commit, or folder.
    pub source: String,
    /// What its authors state about it.
    pub card: Option<ModelCard>,
    /// Number of parameters.
    pub parameter_count: u64,
    /// Inputs, in order.
    pub inputs: Vec<TensorSpec>,
    /// Outputs, in order.
    pub outputs: Vec<TensorSpec>,
    /// Longest sequence, for models over text.
    pub max_sequence: Option<u64>,
    /// Names of the scores, for classification.
    pub labels: Vec<String>,
    /// For each precision and profile, the most frequent and the largest shape; empty for a prebuilt graph.
    pub costs: Vec<CostRow>,
    /// The exported graph.
    pub graph: PathBuf,
}

/// Cost of one shape.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct CostRow {
    /// Arithmetic.
    pub precision: Precision,
    /// Texts or images.
    pub batch: u64,
    /// Tokens of each text.
    pub sequence: Option<u64>,
    /// What it costs.
    pub cost: Cost,
}

/// Fetches the pipeline's checkpoint and exports its first precision, which writes nothing but the graph where the weights
/// can stay where they are.
///
/// # Errors
/// Those of fetching and exporting.
pub fn inspect(context: &PipelineContext) -> Result<Inspection> {
    let source = fetch(context)?;
    let snapshot = &source.snapshot;
    let costs = costs(context, snapshot)?;
    let model = export_precision(context, snapshot, context.spec.export.precisions[0])?.model;
    Ok(Inspection {
        source: format!("{} at {}", snapshot.repo, snapshot.commit),
        card: source.card,
        graph: model.path(&model.record.graph),
        architecture: model.record.architecture,
        task: model.record.task,
        parameter_count: model.record.parameter_count,
        inputs: model.record.inputs,
        outputs: model.record.outputs,
        max_sequence: model.record.max_sequence,
        labels: model.record.labels,
        costs,
    })
}

/// Costs of the most frequent and the largest shape of each profile, in each precision.
fn costs(context: &PipelineContext, snapshot: &Snapshot) -> Result<Vec<CostRow>> {
    let spec = &context.spec;
    if spec.source.graph.is_some() {
        return Ok(Vec::new());
    }
    let checkpoint = Checkpoint::read(snapshot, spec.task)?;
    let mut costs = Vec::new();
    for &precision in &spec.export.precisions {
        let (image_size, ignore_tensors) = (spec.export.image_size, spec.export.ignore_tensors.clone());
        let options = ExportOptions { image_size, ignore_tensors, ..ExportOptions::new(spec.task, precision) };
        for profile in &spec.profiles {
            let pick = |largest: bool| {
                let of = |range: ProfileRange| if largest { range.max } else { range.opt };
                (of(profile.batch), profile.sequence.map(of))
            };
            for (batch, sequence) in [pick(false), pick(true)] {
                let cost = estimate(&checkpoint, &options, batch, sequence.unwrap_or(1))?;
                costs.push(CostRow { precision, batch, sequence, cost });
            }
        }
    }
    costs.dedup();
    Ok(costs)
}

/// What is known of an engine by its header and its builder's log.
#[derive(Debug, Serialize)]
pub struct EngineInspection {
    /// Size of the file.
    pub byte_count: u64,
    /// Version of the library that built it.
    pub version: String,
    /// Compute capabilities it runs on.
    pub compute_capabilities: Vec<String>,
    /// From the log; none without it.
    pub figures: Option<BuilderFigures>,
    /// Files next to it with the weights that it lacks; none for an engine that has its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_files: Option<Vec<String>>,
}

impl EngineInspection {
    /// Reads the engine's header, and `build.log` next to it.
    ///
    /// # Errors
    /// [`Error::InvalidEngine`], and I/O errors.
    pub fn read(path: &Path) -> Result<Self> {
        let mut engine = Vec::new();
        open_file(path)?.read_to_end(&mut engine)?;
        let header = planforge_tensorrt::read_header(&engine)
            .map_err(|source| Error::InvalidEngine { path: path.to_owned(), source: Box::new(source) })?;
        let log = read_text(&path.with_file_name("build.log"), MAX_DOCUMENT_BYTE_COUNT).ok();
        Ok(Self {
            byte_count: engine.len() as u64,
            version: header.version.map(|number| number.to_string()).join("."),
            compute_capabilities: header.compute_capabilities.iter().map(ToString::to_string).collect(),
            figures: log.map(|log| builder_figures(&log)),
            weight_files: PlacedWeights::beside(path)?
                .map(|weights| weights.files().into_iter().map(str::to_owned).collect()),
        })
    }
}

/// An archive and the statement next to it.
#[derive(Debug, Serialize)]
pub struct ArchiveInspection {
    /// Size of the file.
    pub byte_count: u64,
    /// Its digest.
    pub sha256: Digest,
    /// Where it came from; none without a statement.
    pub provenance: Option<Provenance>,
}

impl ArchiveInspection {
    /// Digests the archive and reads the statement next to it.
    ///
    /// # Errors
    /// [`Error::WrongProvenance`] where the statement is about another file.
    pub fn read(path: &Path) -> Result<Self> {
        let byte_count = fs_err::metadata(path)?.len();
        let sha256 = digest_file(path, &NoProgress)?;
        let provenance = Provenance::read(path)?;
        if provenance.as_ref().is_some_and(|provenance| !provenance.is_about(&sha256)) {
            return Err(Error::WrongProvenance { statement: Provenance::path(path), archive: path.to_owned(), sha256 });
        }
        Ok(Self { byte_count, sha256, provenance })
    }
}
