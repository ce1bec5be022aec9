//! A pipeline's model with what runs of its profiles cost, and an engine with what its header and log say.

use crate::failure::{BadUsage, CheckFailed};
use crate::pipeline::steps::Run;
use anyhow::Result;
use planforge_core::{
    BuilderFigures, Digest, ModelCard, NoProgress, PlacedWeights, Precision, Task, TensorSpec, digest_file,
};
use planforge_engine::{Checkpoint, Cost, ExportOptions, builder_figures, estimate};
use planforge_hub::model_card;
use planforge_package::Provenance;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// What is known of a model without running it.
#[derive(Debug, Serialize)]
pub(crate) struct Inspection {
    /// `model_type`, or timm's name.
    pub(crate) architecture: String,
    /// What it is used for.
    pub(crate) task: Task,
    /// Repository and commit, or folder.
    pub(crate) source: String,
    /// What its authors say of it.
    pub(crate) card: Option<ModelCard>,
    /// Number of parameters.
    pub(crate) parameter_count: u64,
    /// Inputs, in order.
    pub(crate) inputs: Vec<TensorSpec>,
    /// Outputs, in order.
    pub(crate) outputs: Vec<TensorSpec>,
    /// Longest sequence, for models over text.
    pub(crate) max_sequence: Option<u64>,
    /// Names of the scores, for classification.
    pub(crate) labels: Vec<String>,
    /// For each precision and profile, the most frequent and the largest shape.
    pub(crate) costs: Vec<CostRow>,
    /// The exported graph.
    pub(crate) graph: PathBuf,
}

/// Cost of one shape.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct CostRow {
    /// Arithmetic.
    pub(crate) precision: Precision,
    /// Texts or pictures.
    pub(crate) batch: u64,
    /// Tokens of each text.
    pub(crate) sequence: Option<u64>,
    /// What it costs.
    pub(crate) cost: Cost,
}

impl Run {
    /// Reads the checkpoint and exports its first precision, which writes nothing but the graph where the weights
    /// can stay where they are.
    pub(crate) fn inspect(&mut self, runtime: &tokio::runtime::Runtime) -> Result<Inspection> {
        let snapshot = self.fetch(runtime)?;
        let checkpoint = Checkpoint::read(&snapshot)?;
        let precisions = self.pipeline.export.precisions.clone();
        let mut costs = Vec::new();
        for &precision in &precisions {
            let image_size = self.pipeline.export.image_size;
            let options = ExportOptions { image_size, ..ExportOptions::new(self.pipeline.task, precision) };
            for profile in &self.pipeline.profiles {
                let pick = |largest: bool| {
                    let of = |range: planforge_core::ProfileRange| if largest { range.max } else { range.opt };
                    (of(profile.batch), profile.sequence.map(of))
                };
                for (batch, sequence) in [pick(false), pick(true)] {
                    let cost = estimate(&checkpoint, &options, batch, sequence.unwrap_or(1))?;
                    costs.push(CostRow { precision, batch, sequence, cost });
                }
            }
        }
        costs.dedup();
        let model = self.export_precision(&snapshot, precisions[0])?;
        Ok(Inspection {
            source: format!("{} at {}", snapshot.repo, snapshot.commit),
            card: model_card(&snapshot),
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
}

/// What an engine says of itself, and its builder's log beside it.
#[derive(Debug, Serialize)]
pub(crate) struct EngineInspection {
    /// Size of the file.
    pub(crate) byte_count: u64,
    /// Version of the library that built it.
    pub(crate) version: String,
    /// Compute capabilities it runs on.
    pub(crate) compute_capabilities: Vec<String>,
    /// From the log; none without it.
    pub(crate) figures: Option<BuilderFigures>,
    /// Files beside it with the weights that it lacks; none for an engine that has its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) weight_files: Option<Vec<String>>,
}

impl EngineInspection {
    /// Reads the engine's header, and `build.log` beside it.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let engine = fs_err::read(path)?;
        let header = planforge_tensorrt::read_header(&engine)
            .map_err(|error| BadUsage(format!("`{}`: {error}", path.display())))?;
        let log = fs_err::read_to_string(path.with_file_name("build.log")).ok();
        let capability = |&(major, minor): &(u8, u8)| format!("{major}.{minor}");
        Ok(Self {
            byte_count: engine.len() as u64,
            version: header.version.map(|number| number.to_string()).join("."),
            compute_capabilities: header.compute_capabilities.iter().map(capability).collect(),
            figures: log.map(|log| builder_figures(&log)),
            weight_files: PlacedWeights::beside(path)?
                .map(|weights| weights.files().into_iter().map(str::to_owned).collect()),
        })
    }
}

/// An archive and the statement beside it.
#[derive(Debug, Serialize)]
pub(crate) struct ArchiveInspection {
    /// Size of the file.
    pub(crate) byte_count: u64,
    /// Its digest.
    pub(crate) sha256: Digest,
    /// Where it came from; none where nothing beside it says so.
    pub(crate) provenance: Option<Provenance>,
}

impl ArchiveInspection {
    /// Digests the archive and reads the statement beside it.
    ///
    /// # Errors
    /// [`CheckFailed`] where the statement is about another file.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let byte_count = fs_err::metadata(path)?.len();
        let sha256 = digest_file(path, &NoProgress)?;
        let provenance = Provenance::read(path)?;
        if provenance.as_ref().is_some_and(|provenance| !provenance.is_about(&sha256)) {
            let statement = Provenance::path(path);
            let message = format!(
                "`{}` is about another file than `{}`, whose SHA-256 is {sha256}",
                statement.display(),
                path.display()
            );
            return Err(CheckFailed(message).into());
        }
        Ok(Self { byte_count, sha256, provenance })
    }
}
