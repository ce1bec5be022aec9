//! Models → engines, those of several pipelines within one limit.

use super::outputs::link_outputs;
use super::precision::model_of;
use crate::context::PipelineContext;
use crate::plan::BuildPlan;
use crate::{Error, Result};
use planforge_core::{
    Builder, CachedArtifact, Engine, EngineTarget, Model, PlacedWeights, Profile, Step, TritonRelease, link_or_copy,
    write_atomically,
};
use planforge_engine::{BuildLimits, CompileJob, CompileOptions, EngineWorker, compile_all, place_weights};
use planforge_report::Library;
use std::path::Path;
use std::time::Duration;

/// The engines of one pipeline to build.
#[derive(Clone, Copy)]
pub struct CompileRequest<'a> {
    /// The pipeline.
    pub context: &'a PipelineContext,
    /// Its plan.
    pub plan: &'a BuildPlan,
    /// Its ONNX models.
    pub models: &'a [CachedArtifact<Model>],
}

/// The engines of one pipeline.
#[derive(Debug, Default)]
pub struct BuiltEngines {
    /// In the order of the plan's targets.
    pub engines: Vec<CachedArtifact<Engine>>,
    /// What built them.
    pub library: Option<Library>,
}

/// Builds the engines of all `requests` within one limit. Results are in the order of the requests.
///
/// # Errors
/// A builder that is not there or does not support a target, and engines that cannot be built.
pub fn compile(requests: &[CompileRequest<'_>], limits: BuildLimits) -> Result<Vec<BuiltEngines>> {
    let Some(first) = requests.first() else { return Ok(Vec::new()) };
    let (mut jobs, mut libraries) = (Vec::new(), Vec::new());
    for request in requests {
        // Names tell the engines of several pipelines apart.
        let prefix = if requests.len() > 1 { format!("{} ", request.context.spec.name) } else { String::new() };
        let (of_request, library) = request.jobs(&prefix)?;
        jobs.extend(of_request);
        libraries.push(library);
    }
    let worker = EngineWorker::new(first.context.options.workers.engine_worker.clone());
    let mut engines = compile_all(&jobs, &worker, limits, &first.context.cache, first.context.progress())?.into_iter();
    let built = requests.iter().zip(libraries).map(|(request, library)| BuiltEngines {
        engines: engines.by_ref().take(request.plan.selection.targets.len()).collect(),
        library,
    });
    Ok(built.collect())
}

impl<'a> CompileRequest<'a> {
    /// A job for each target, and what builds them.
    fn jobs(&self, prefix: &str) -> Result<(Vec<CompileJob<'a>>, Option<Library>)> {
        let Self { context, plan, models } = *self;
        if plan.selection.targets.is_empty() {
            return Ok((Vec::new(), None));
        }
        for sentence in &plan.selection.skipped {
            context.progress().note(Step::Compile, "skipped", sentence.clone());
        }
        let version = builder_version(context, &plan.selection.targets)?;
        let job = |target: &EngineTarget| -> Result<CompileJob<'a>> {
            let model = model_of(models, target.variant.precision)?;
            let subject = format!("{prefix}{}", target.variant.id());
            let profiles = plan.profiles.clone();
            let options = compile_options(context, target, &model.record, profiles, &version, subject)?;
            Ok(CompileJob { model, options })
        };
        let jobs = plan.selection.targets.iter().map(job).collect::<Result<_>>()?;
        let name = context.spec.compile.builder.library().to_owned();
        Ok((jobs, Some(Library { name, version })))
    }
}

/// How the engine of a target is built. `subject` is its name in progress and errors.
pub(crate) fn compile_options(
    context: &PipelineContext,
    target: &EngineTarget,
    model: &Model,
    profiles: Vec<Profile>,
    library_version: &str,
    subject: String,
) -> Result<CompileOptions> {
    let PipelineContext { spec, options, .. } = context;
    Ok(CompileOptions {
        subject,
        target: target.clone(),
        builder: spec.compile.builder,
        builder_options: spec.builder_options(),
        profiles,
        outputs: spec.engine_outputs(model),
        libraries: options.native.tensorrt_folder(),
        trtexec: match spec.compile.builder {
            Builder::Rtx => None,
            Builder::Trtexec => Some(options.native.existing_trtexec()?),
        },
        library_version: library_version.to_owned(),
        timeout: Duration::from_secs(spec.compile.timeout_seconds),
    })
}

/// Version of the pipeline's builder, which supports every GPU type of `targets`.
pub(crate) fn builder_version(context: &PipelineContext, targets: &[EngineTarget]) -> Result<String> {
    let spec = &context.spec.compile;
    let version = match spec.builder {
        Builder::Rtx => tensorrt_rtx_version(context)?,
        Builder::Trtexec => {
            planforge_tensorrt::trtexec_version(&context.options.native.existing_trtexec()?)?.to_string()
        }
    };
    let release = spec.triton.as_deref().map(TritonRelease::find).transpose()?;
    for gpu in targets.iter().flat_map(|target| &target.gpus) {
        gpu.check_version(spec.builder, &version)?;
        release.as_ref().map_or(Ok(()), |release| release.check_gpu(gpu))?;
    }
    if let Some(release) = &release {
        release.check_version(&version, spec.version_compatible)?;
    }
    Ok(version)
}

fn tensorrt_rtx_version(context: &PipelineContext) -> Result<String> {
    let path = context.options.native.tensorrt_library();
    if !path.exists() {
        return Err(Error::NoTensorrt { path });
    }
    Ok(planforge_tensorrt::supported_version(&path)?)
}

/// Links engines into the output folder, in the order of the plan's targets.
///
/// # Errors
/// I/O errors.
pub fn link_engines(request: &CompileRequest<'_>, engines: &[CachedArtifact<Engine>]) -> Result<()> {
    for (target, engine) in request.plan.selection.targets.iter().zip(engines) {
        let folder = request.context.layout.engine(&target.variant);
        link_outputs(engine, &folder)?;
        let model = model_of(request.models, target.variant.precision)?;
        link_weights(model, engine, &folder.join(&engine.record.plan))?;
    }
    Ok(())
}

/// Links the weights that the engine at `plan` lacks next to it, so that its folder is all that runs it.
fn link_weights(model: &CachedArtifact<Model>, engine: &CachedArtifact<Engine>, plan: &Path) -> Result<()> {
    let list = PlacedWeights::path(plan);
    let Some(weights) = place_weights(model, engine)? else {
        // An earlier engine in its place may have left its list.
        return if list.exists() { Ok(fs_err::remove_file(list)?) } else { Ok(()) };
    };
    for file in weights.files() {
        link_or_copy(&model.path(file), &plan.with_file_name(file))?;
    }
    Ok(write_atomically(&list, &weights.to_json())?)
}
