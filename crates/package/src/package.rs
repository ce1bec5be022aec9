//! The package step: a model or an engine and its configuration in one archive.

use crate::options::PackageOptions;
use crate::{Error, Result};
use planforge_archive::{Content, Entries, SETTINGS, write_archive};
use planforge_core::{
    Archive, ArtifactFile, Cache, CacheKey, CacheKind, CachedArtifact, ComputeCapability, Digest, Engine, Model,
    ModelName, Outcome, PlacedWeights, Platform, Profile, Progress, Step, Variant,
};
use planforge_triton_config::{
    LABELS_FILE, MODULE_FILE, ONNX_FILE, Severity, capabilities, engine_config, engine_files, label_file, lint_entries,
    max_batch_size, module_config, onnx_config, smallest_batch,
};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

/// Raised when the archive's layout changes, so that older cache entries are not taken for new ones.
const ARCHIVE_FORMAT: u32 = 2;

/// Triton serves the only version there is.
const VERSION: &str = "1";

/// An engine to pack.
#[derive(Debug, Clone, Copy)]
pub struct PackedEngine<'a> {
    /// The engine.
    pub engine: &'a CachedArtifact<Engine>,
    /// The model's files with the weights that it lacks.
    pub weights: Option<&'a PlacedWeights>,
}

impl<'a> From<&'a CachedArtifact<Engine>> for PackedEngine<'a> {
    /// An engine with its weights in it.
    fn from(engine: &'a CachedArtifact<Engine>) -> Self {
        Self { engine, weights: None }
    }
}

/// Everything an archive's bytes depend on; the configuration is one of the files.
#[derive(Serialize)]
struct Inputs<'a> {
    archive_format: u32,
    compressor: &'static str,
    variant: &'a Variant,
    files: Vec<(&'a str, Digest)>,
}

/// Packs one variant of a model as `<name>.tar.gz`: `<name>/config.pbtxt` and `<name>/1/` with `model.onnx` and the
/// weight files that the graph refers to by relative name, with `model.pt`, with `model.plan`, or with an engine for
/// each of several compute capabilities, of which the server takes the one of its GPU; next to an engine without weights
/// the list of them, and the model's weight files; next to the versions the labels and warm-up data, where
/// there are any; in the flat layout without the top folder. The model is the variant's: TorchScript for platform
/// `pytorch`, else ONNX. Inputs are digested again while they are packed.
///
/// # Errors
/// [`Error::Changed`] naming an input that is not the recorded one, [`Error::Engine`], [`Error::SameCapability`],
/// [`Error::Format`], [`Error::BatchDimension`](planforge_triton_config::Error::BatchDimension), [`Error::WarmUp`](planforge_triton_config::Error::WarmUp), [`Error::ExtraConfig`](planforge_triton_config::Error::ExtraConfig), [`Error::Refused`],
/// [`Error::MissingBackend`], I/O errors and cancellation.
pub fn package(
    options: &PackageOptions<'_>,
    variant: &Variant,
    model: &CachedArtifact<Model>,
    engines: &[PackedEngine<'_>],
    profiles: &[Profile],
    cache: &Cache,
    progress: &dyn Progress,
) -> Result<CachedArtifact<Archive>> {
    // The order in which GPU types are named does not matter.
    let mut engines = engines.to_vec();
    engines.sort_by(|one, two| order(&one.engine.record).cmp(&order(&two.engine.record)));
    let engines = engines.as_slice();
    let (entries, max_batch_size) = variant_entries(options, variant, model, engines, profiles)?;
    let entries = options.apply(entries, progress)?;
    check_entries(variant, &entries)?;
    let subject = variant.id();
    let unpacked_byte_count = entries.values().map(Content::byte_count).sum();
    progress.started(Step::Package, &subject, Some(unpacked_byte_count), "bytes");
    let key = CacheKey::of(&Inputs {
        archive_format: ARCHIVE_FORMAT,
        compressor: SETTINGS,
        variant,
        files: entries.iter().map(|(path, content)| (path.as_str(), content.sha256())).collect(),
    });
    let stored = cache.get_or_build(CacheKind::Archive, &key, progress, |folder| -> Result<Archive> {
        let file = format!("{}.tar.gz", options.name);
        let (sha256, byte_count) = write_archive(&folder.join(&file), &entries, &subject, progress)?;
        Ok(Archive { variant: variant.clone(), file, sha256, byte_count, unpacked_byte_count, max_batch_size })
    })?;
    let outcome = if stored.cache_hit { Outcome::Cached } else { Outcome::Built };
    progress.finished(Step::Package, &subject, outcome, stored.elapsed);
    Ok(stored)
}

/// The files of a variant's package before the user's own are added, and its `max_batch_size`.
fn variant_entries(
    options: &PackageOptions<'_>,
    variant: &Variant,
    model: &CachedArtifact<Model>,
    engines: &[PackedEngine<'_>],
    profiles: &[Profile],
) -> Result<(Entries, u64)> {
    let (needed, found) = (variant.platform.model_format(), model.record.format);
    if needed != found {
        return Err(Error::Format { variant: variant.id(), needed, found });
    }
    let (mut entries, max_batch_size) = match (variant.platform, engines) {
        (Platform::Onnx, []) => {
            (onnx_entries(options, model, profiles)?, max_batch_size(&model.record.inputs, profiles))
        }
        (Platform::Pytorch, []) => {
            (module_entries(options, model, profiles)?, max_batch_size(&model.record.inputs, profiles))
        }
        (Platform::Tensorrt, [_, ..]) => {
            let records: Vec<_> = engines.iter().map(|packed| &packed.engine.record).collect();
            (engine_entries(options, engines, model)?, smallest_batch(&records))
        }
        (platform, _) => {
            return Err(Error::Engine { variant: variant.id(), needed: platform == Platform::Tensorrt });
        }
    };
    if let Some(labels) = label_file(&model.record) {
        entries.insert(format!("{}/{LABELS_FILE}", options.name), Content::Bytes(labels.into_bytes()));
    }
    Ok((entries, max_batch_size))
}

/// What is generated fits; what a user adds may not.
fn check_entries(variant: &Variant, entries: &Entries) -> Result<()> {
    match lint_entries(entries).into_iter().find(|finding| finding.severity == Severity::Error) {
        None => Ok(()),
        Some(finding) => Err(Error::Refused { variant: variant.id(), place: finding.place, message: finding.message }),
    }
}

fn onnx_entries(options: &PackageOptions<'_>, model: &CachedArtifact<Model>, profiles: &[Profile]) -> Result<Entries> {
    let name = options.name;
    let config = onnx_config(name, &model.record, profiles, options.onnx_backend, &options.serving)?;
    let mut entries = Entries::from([
        (config_path(name), Content::Bytes(config.into_bytes())),
        (version_path(name, ONNX_FILE), content_of(model, &model.record.graph)?),
    ]);
    for file in &model.record.weights {
        entries.insert(version_path(name, file), content_of(model, file)?);
    }
    Ok(entries)
}

fn module_entries(
    options: &PackageOptions<'_>,
    module: &CachedArtifact<Model>,
    profiles: &[Profile],
) -> Result<Entries> {
    let name = options.name;
    let config = module_config(name, &module.record, profiles, &options.serving)?;
    Ok(Entries::from([
        (config_path(name), Content::Bytes(config.into_bytes())),
        (version_path(name, MODULE_FILE), content_of(module, &module.record.graph)?),
    ]))
}

fn order(engine: &Engine) -> (&[ComputeCapability], &str) {
    (&engine.compute_capabilities, &engine.gpu)
}

fn engine_entries(
    options: &PackageOptions<'_>,
    engines: &[PackedEngine<'_>],
    model: &CachedArtifact<Model>,
) -> Result<Entries> {
    let name = options.name;
    let records: Vec<_> = engines.iter().map(|packed| &packed.engine.record).collect();
    let config = engine_config(name, &records, &model.record.labels, &options.serving)?;
    let mut entries = Entries::from([(config_path(name), Content::Bytes(config.into_bytes()))]);
    let mut packed: BTreeMap<String, &Engine> = BTreeMap::new();
    for (PackedEngine { engine, weights }, file) in engines.iter().zip(engine_files(&records)) {
        let path = version_path(name, &file);
        let content = content_of(engine, &engine.record.plan)?;
        // Two GPU types of one compute capability share an engine where the builder made the same of both.
        match (packed.get(&file), entries.get(&path)) {
            (Some(other), Some(known)) if known.sha256() != content.sha256() => {
                let (one, two) = (other.gpu.clone(), engine.record.gpu.clone());
                return Err(Error::SameCapability { one, two, capability: capabilities(&engine.record) });
            }
            _ => {}
        }
        if let Some(list) = &engine.record.weights {
            let missing = || Error::MissingFile { folder: engine.directory.clone(), file: list.clone() };
            entries.extend(weight_entries(name, &file, weights.ok_or_else(missing)?, model)?);
        }
        packed.insert(file, &engine.record);
        entries.insert(path, content);
    }
    Ok(entries)
}

/// The list of the weights that the engine `file` lacks, and the files that contain them.
fn weight_entries(
    name: &ModelName,
    file: &str,
    weights: &PlacedWeights,
    model: &CachedArtifact<Model>,
) -> Result<Entries> {
    let list = PlacedWeights::path(Path::new(file)).to_string_lossy().into_owned();
    let mut entries = Entries::from([(version_path(name, &list), Content::Bytes(weights.to_json()))]);
    for file in weights.files() {
        entries.insert(version_path(name, file), content_of(model, file)?);
    }
    Ok(entries)
}

/// The file `file` of an artifact.
fn content_of<T>(artifact: &CachedArtifact<T>, file: &str) -> Result<Content> {
    let ArtifactFile { byte_count, sha256, .. } = artifact
        .file(file)
        .cloned()
        .ok_or_else(|| Error::MissingFile { folder: artifact.directory.clone(), file: file.to_owned() })?;
    Ok(Content::File { path: artifact.path(file), byte_count, sha256 })
}

fn config_path(name: &ModelName) -> String {
    format!("{name}/config.pbtxt")
}

fn version_path(name: &ModelName, file: &str) -> String {
    format!("{name}/{VERSION}/{file}")
}

#[cfg(test)]
mod tests;
