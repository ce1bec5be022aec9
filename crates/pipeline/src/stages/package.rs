//! Models, modules and engines → one archive for each variant.

use super::export::Exports;
use super::precision::model_of;
use crate::context::PipelineContext;
use crate::lock::{carries_backend, decides_bytes};
use crate::plan::BuildPlan;
use crate::warm_up::warm_up_inputs;
use crate::{Error, Result};
use planforge_core::{
    Archive, Builder, CachedArtifact, Digest, Engine, Lock, MAX_PIPELINE_BYTE_COUNT, Model, ModelFormat, Platform,
    Snapshot, Variant, digest_file, link_or_copy, read_text,
};
use planforge_engine::place_weights;
use planforge_package::{PackageOptions, PackedEngine, Provenance};
use planforge_triton_config::{ExtraConfig, ServingOptions};
use planforge_validate::Samples;

/// Archives of the variants that can be made.
#[derive(Debug, Default)]
pub struct PackagedVariants {
    /// One archive for each variant, in the order of the plan.
    pub archives: Vec<CachedArtifact<Archive>>,
    /// Digest of planforge's Triton backend, where an archive has it in it.
    pub backend_digest: Option<Digest>,
}

/// Packages every variant of the plan that the exports did not skip.
///
/// # Errors
/// Plans without weights, warm-up data that no profile takes, and errors of the cache.
pub fn package(
    context: &PipelineContext,
    plan: &BuildPlan,
    snapshot: &Snapshot,
    exports: &Exports,
    engines: &[CachedArtifact<Engine>],
) -> Result<PackagedVariants> {
    let compile = &context.spec.compile;
    if compile.builder == Builder::Trtexec && compile.strip_weights && !engines.is_empty() {
        return Err(Error::StrippedPlan);
    }
    let mut packaged = PackagedVariants::default();
    for variant in plan.selection.variants.iter().filter(|variant| !exports.skipped.contains(variant)) {
        let is_module = variant.platform.model_format() == ModelFormat::TorchScript;
        let models = if is_module { &exports.modules } else { &exports.models };
        let model = model_of(models, variant.precision)?;
        let pairs = plan.selection.targets.iter().zip(engines);
        let packed = pairs.filter(|(target, _)| context.spec.is_packed(target, variant)).map(|(_, engine)| engine);
        let archive = package_variant(context, plan, snapshot, variant, model, &packed.collect::<Vec<_>>())?;
        link_or_copy(&archive.path(&archive.record.file), &context.layout.archive(variant))?;
        packaged.archives.push(archive);
    }
    if packaged.archives.iter().any(|archive| carries_backend(&archive.record.variant, &context.spec)) {
        let backend = &context.options.native.triton_backend;
        packaged.backend_digest = Some(digest_file(backend, context.progress())?);
    }
    Ok(packaged)
}

/// Writes where each archive came from next to it in the output folder.
///
/// # Errors
/// I/O errors.
pub fn write_provenance(context: &PipelineContext, lock: &Lock, archives: &[CachedArtifact<Archive>]) -> Result<()> {
    for archive in archives.iter().map(|archive| &archive.record) {
        let tools = lock.tools.iter().filter(|(tool, _)| decides_bytes(tool, &archive.variant, &context.spec));
        let tools = tools.map(|(tool, version)| (tool.clone(), version.clone())).collect();
        Provenance::new(lock, archive, tools).write(&context.layout.archive(&archive.variant))?;
    }
    Ok(())
}

/// The error of a package or a store. Where it found a corrupt entry of the cache, that is removed, so that the next run makes
/// it again.
pub(super) fn without_corrupt_entry(context: &PipelineContext, error: planforge_package::Error) -> Error {
    match &error {
        planforge_package::Error::Changed { path, .. } if context.cache.discard(path).unwrap_or(false) => {
            Error::CorruptCache { source: error }
        }
        _ => error.into(),
    }
}

fn package_variant(
    context: &PipelineContext,
    plan: &BuildPlan,
    snapshot: &Snapshot,
    variant: &Variant,
    model: &CachedArtifact<Model>,
    engines: &[&CachedArtifact<Engine>],
) -> Result<CachedArtifact<Archive>> {
    let weights: Vec<_> =
        engines.iter().map(|engine| place_weights(model, engine)).collect::<planforge_engine::Result<_>>()?;
    let pack = |(&engine, weights)| PackedEngine { engine, weights: Option::as_ref(weights) };
    let engines: Vec<_> = engines.iter().zip(&weights).map(pack).collect();
    let options = PackageOptions {
        name: &context.spec.name,
        top_folder: context.spec.package.top_folder,
        onnx_backend: context.spec.package.onnx_backend,
        backend_library: carries_backend(variant, &context.spec)
            .then_some(context.options.native.triton_backend.as_path()),
        serving: serving(context, plan, snapshot, variant, &model.record)?,
    };
    let (cache, progress) = (&context.cache, context.progress());
    planforge_package::package(&options, variant, model, &engines, &plan.profiles, cache, progress)
        .map_err(|error| without_corrupt_entry(context, error))
}

/// How Triton runs a variant.
fn serving(
    context: &PipelineContext,
    plan: &BuildPlan,
    snapshot: &Snapshot,
    variant: &Variant,
    model: &Model,
) -> Result<ServingOptions> {
    let triton = context.spec.triton.clone();
    let warm_up = match triton.warm_up_batch_sizes.as_slice() {
        [] => Vec::new(),
        batch_sizes => {
            let samples = Samples::of_pipeline(&context.spec, snapshot, model).singles(snapshot, model)?;
            let has_profiles = variant.platform == Platform::Tensorrt;
            let profiles = if has_profiles { plan.profiles.as_slice() } else { &[] };
            warm_up_inputs(model, &samples, batch_sizes, profiles)?
        }
    };
    let extra = match &triton.config {
        Some(path) => {
            let text = read_text(path, MAX_PIPELINE_BYTE_COUNT).map_err(|source| Error::TritonConfig { source })?;
            Some(ExtraConfig { path: path.clone(), text })
        }
        None => None,
    };
    Ok(ServingOptions { triton, warm_up, extra })
}
