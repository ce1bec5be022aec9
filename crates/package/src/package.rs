//! The package step: a model or an engine and its configuration in one archive.

use crate::archive::{Content, Entries, write_archive};
use crate::form::Form;
use crate::triton_config::{
    MODULE_FILE, ONNX_FILE, PLAN_FILE, engine_config, max_batch_size, module_config, onnx_config,
};
use crate::{Error, Result, gzip};
use planforge_core::{
    Archive, Cache, CacheKey, CacheKind, Digest, Engine, Model, ModelName, OnnxBackend, Outcome, Platform, Profile,
    Progress, Step, Stored, Variant,
};
use serde::Serialize;

/// Raised when the archive's layout changes, so that older cache entries are not taken for new ones.
const ARCHIVE_FORMAT: u32 = 2;

/// Triton serves the only version there is.
const VERSION: &str = "1";

/// Everything an archive's bytes depend on; the configuration is one of the files.
#[derive(Serialize)]
struct Inputs<'a> {
    archive_format: u32,
    compressor: &'static str,
    variant: &'a Variant,
    files: Vec<(&'a str, Digest)>,
}

/// Packs one variant of a model as `<name>.tar.gz`:
/// `<name>/config.pbtxt` and `<name>/1/` with `model.onnx` and the weight files that the graph refers to
/// by relative name, with `model.pt`, or with `model.plan`; in the flat form without the top folder. The model is the variant's: TorchScript for platform
/// `pytorch`, else ONNX. Inputs are digested again while they are packed.
///
/// # Errors
/// [`Error::Changed`] naming an input that is not the recorded one, [`Error::Engine`],
/// [`Error::Format`], [`Error::BatchDimension`], [`Error::MissingBackend`], I/O errors and cancellation.
pub fn package(
    form: &Form<'_>,
    variant: &Variant,
    model: &Stored<Model>,
    engine: Option<&Stored<Engine>>,
    profiles: &[Profile],
    cache: &Cache,
    progress: &dyn Progress,
) -> Result<Stored<Archive>> {
    let (needed, found) = (variant.platform.model_format(), model.record.format);
    if needed != found {
        return Err(Error::Format { variant: variant.id(), needed, found });
    }
    let (entries, max_batch_size) = match (variant.platform, engine) {
        (Platform::Onnx, None) => (onnx_entries(form, model, profiles)?, max_batch_size(profiles)),
        (Platform::Pytorch, None) => (module_entries(form.name, model, profiles)?, max_batch_size(profiles)),
        (Platform::Tensorrt, Some(engine)) => {
            (engine_entries(form.name, engine)?, self::max_batch_size(&engine.record.profiles))
        }
        (platform, _) => {
            return Err(Error::Engine { variant: variant.id(), needed: platform == Platform::Tensorrt });
        }
    };
    let entries = form.apply(entries, served_by_planforge(variant, form.onnx_backend), progress)?;
    let subject = variant.id();
    let unpacked_byte_count = entries.values().map(Content::byte_count).sum();
    progress.started(Step::Package, &subject, Some(unpacked_byte_count), "bytes");
    let key = CacheKey::of(&Inputs {
        archive_format: ARCHIVE_FORMAT,
        compressor: gzip::SETTINGS,
        variant,
        files: entries.iter().map(|(path, content)| (path.as_str(), content.sha256())).collect(),
    });
    let stored = cache.get_or_build(CacheKind::Archive, &key, progress, |folder| -> Result<Archive> {
        let file = format!("{}.tar.gz", form.name);
        let (sha256, byte_count) = write_archive(&folder.join(&file), &entries, &subject, progress)?;
        Ok(Archive { variant: variant.clone(), file, sha256, byte_count, unpacked_byte_count, max_batch_size })
    })?;
    let outcome = if stored.reused { Outcome::Cached } else { Outcome::Built };
    progress.finished(Step::Package, &subject, outcome, stored.elapsed);
    Ok(stored)
}

/// Engines are in any case: no other backend loads them.
fn served_by_planforge(variant: &Variant, onnx_backend: OnnxBackend) -> bool {
    match variant.platform {
        Platform::Onnx => onnx_backend == OnnxBackend::Planforge,
        Platform::Pytorch => false,
        Platform::Tensorrt => true,
    }
}

fn onnx_entries(form: &Form<'_>, model: &Stored<Model>, profiles: &[Profile]) -> Result<Entries> {
    let name = form.name;
    let config = onnx_config(name, &model.record, profiles, form.onnx_backend)?;
    let mut entries = Entries::from([
        (config_path(name), Content::Bytes(config.into_bytes())),
        (version_path(name, ONNX_FILE), Content::of(model, &model.record.graph)?),
    ]);
    for file in &model.record.weights {
        entries.insert(version_path(name, file), Content::of(model, file)?);
    }
    Ok(entries)
}

fn module_entries(name: &ModelName, module: &Stored<Model>, profiles: &[Profile]) -> Result<Entries> {
    let config = module_config(name, &module.record, profiles)?;
    Ok(Entries::from([
        (config_path(name), Content::Bytes(config.into_bytes())),
        (version_path(name, MODULE_FILE), Content::of(module, &module.record.graph)?),
    ]))
}

fn engine_entries(name: &ModelName, engine: &Stored<Engine>) -> Result<Entries> {
    let config = engine_config(name, &engine.record)?;
    Ok(Entries::from([
        (config_path(name), Content::Bytes(config.into_bytes())),
        (version_path(name, PLAN_FILE), Content::of(engine, &engine.record.plan)?),
    ]))
}

fn config_path(name: &ModelName) -> String {
    format!("{name}/config.pbtxt")
}

fn version_path(name: &ModelName, file: &str) -> String {
    format!("{name}/{VERSION}/{file}")
}

#[cfg(test)]
pub(crate) mod tests;
