//! Rows of the report made from the artifacts of a run.

use super::engine::EngineFacts;
use super::model::{ModelFacts, SourceFacts};
use super::package::ArchiveFacts;
use planforge_core::{Archive, Digest, Engine, Model, Outcome, Snapshot};

impl From<&Snapshot> for SourceFacts {
    fn from(snapshot: &Snapshot) -> Self {
        Self {
            repo: snapshot.repo.clone(),
            revision: snapshot.revision.clone(),
            commit: snapshot.commit.to_string(),
            byte_count: snapshot.files.iter().map(|file| file.byte_count).sum(),
            card: None,
        }
    }
}

impl From<&Model> for ModelFacts {
    fn from(model: &Model) -> Self {
        Self {
            architecture: model.architecture.clone(),
            precision: model.precision,
            format: model.format,
            opset: model.opset,
            parameter_count: model.parameter_count,
            weight_byte_count: model.weight_byte_count,
            keep_fp32: model.keep_fp32.clone(),
        }
    }
}

impl EngineFacts {
    /// Facts of an engine whose plan file has this size and digest.
    #[must_use]
    pub fn new(engine: &Engine, byte_count: u64, sha256: &Digest, outcome: Outcome) -> Self {
        Self {
            gpu: engine.gpu.clone(),
            gpus: engine.gpus.clone(),
            compute_capabilities: engine.compute_capabilities.clone(),
            precision: engine.precision,
            header_version: engine.header.version.clone(),
            header_compute_capabilities: engine.header.compute_capabilities.clone(),
            byte_count,
            layer_count: engine.layer_count,
            figures: engine.figures,
            build_duration: engine.build_duration,
            builder_duration: engine.builder_duration,
            build_peak_byte_count: engine.build_peak_byte_count,
            sha256: sha256.clone(),
            outcome,
            run: None,
        }
    }
}

impl ArchiveFacts {
    /// Facts of a package of which `copies` were published.
    #[must_use]
    pub fn new(archive: &Archive, copies: Option<u32>) -> Self {
        Self {
            variant: archive.variant.clone(),
            byte_count: archive.byte_count,
            unpacked_byte_count: archive.unpacked_byte_count,
            max_batch_size: archive.max_batch_size,
            copies,
            sha256: archive.sha256.clone(),
        }
    }
}
