//! One engine: found, or built.

use super::builder::{ExpectedEngine, engine_builder};
use super::child::ChildBuild;
use super::context::BuildContext;
use super::job::{CompileJob, CompileOptions};
use super::log::builder_figures;
use super::profiles::{Shapes, profile_shapes};
use super::shared::{Source, WEIGHTS};
use crate::{Error, Result};
use bytesize::ByteSize;
use planforge_core::{
    BuilderOptions, Cache, CacheKey, CacheKind, CachedArtifact, ComputeCapability, Digest, Engine, EngineHeader,
    EngineTarget, Model, Outcome, Progress, Step, TensorSpec,
};
use planforge_engine_protocol::{WorkerRequest, WorkerResponse, WorkerTool};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Bumped whenever the same request gives other bytes.
const FORMAT: u32 = 5;
const PLAN: &str = "model.plan";
const LOG: &str = "build.log";

/// Compiles a model, or finds an earlier engine of the same model, target, profiles and library. `order` is its place
/// among the builds that wait.
pub(super) fn compile(
    CompileJob { model, options }: &CompileJob<'_>,
    order: usize,
    context: &BuildContext<'_>,
    progress: &dyn Progress,
) -> Result<CachedArtifact<Engine>> {
    let subject = &options.subject;
    for gpu in &options.target.gpus {
        gpu.check(options.builder, model.record.precision)?;
        engine_builder(options.builder).check_model(model, gpu)?;
    }
    let shapes = profile_shapes(&model.record, &options.profiles)?;
    let outputs = selected_outputs(&model.record, &options.outputs)?;
    let source = Source::of(model, options, &outputs)?;
    let key = engine_key(&source, options);
    let mut stored = context.cache.get_or_build_known(CacheKind::Engine, &key, progress, |folder| {
        let request = BuildRequest { model, options, shapes, outputs, source };
        build(&request, folder, order, context, progress)
    })?;
    // GPU types of one compute capability share an engine; the record has those that were requested.
    let (gpu, gpus) = names(&options.target);
    (stored.record.gpu, stored.record.gpus) = (gpu, gpus);
    if !stored.cache_hit {
        // Without the time in the queue of context.
        stored.elapsed = stored.record.build_duration;
    }
    let outcome = if stored.cache_hit { Outcome::Cached } else { Outcome::Built };
    progress.finished(Step::Compile, subject, outcome, stored.elapsed);
    Ok(stored)
}

/// The engine of an earlier run, if the cache has it.
#[must_use]
pub fn find_engine(CompileJob { model, options }: &CompileJob<'_>, cache: &Cache) -> Option<CachedArtifact<Engine>> {
    let outputs = selected_outputs(&model.record, &options.outputs).ok()?;
    cache.get(CacheKind::Engine, &engine_key(&Source::of(model, options, &outputs).ok()?, options))
}

/// Name of the target, and of the GPU types in it.
fn names(target: &EngineTarget) -> (String, Vec<String>) {
    let gpus = target.gpus.iter().map(|gpu| gpu.name.clone()).collect();
    (target.variant.gpu.clone().unwrap_or_default(), gpus)
}

fn engine_key(source: &Source<'_>, options: &CompileOptions) -> CacheKey {
    let files = source.digests();
    let gpu = engine_builder(options.builder).is_tuned_to_gpu().then(|| names(&options.target));
    CacheKey::of(&(
        FORMAT,
        files,
        gpu,
        options.target.compute_capabilities(),
        (options.builder, options.builder_options),
        &options.library_version,
        &options.profiles,
        &options.outputs,
    ))
}

/// The model's outputs that were asked for, in the model's order.
fn selected_outputs(model: &Model, wanted: &[String]) -> Result<Vec<TensorSpec>> {
    let names = || model.outputs.iter().map(|spec| spec.name.as_str());
    match wanted.iter().find(|name| names().all(|known| known != *name)) {
        Some(unknown) => {
            let known = names().collect::<Vec<_>>().join(", ");
            Err(Error::UnknownOutput { name: unknown.clone(), known })
        }
        None if model.prebuilt && wanted.len() < model.outputs.len() => {
            Err(Error::FixedOutputs { known: names().collect::<Vec<_>>().join(", ") })
        }
        None => Ok(model.outputs.iter().filter(|spec| wanted.contains(&spec.name)).cloned().collect()),
    }
}

/// A job that was found to make sense.
struct BuildRequest<'a> {
    model: &'a CachedArtifact<Model>,
    options: &'a CompileOptions,
    shapes: Shapes,
    outputs: Vec<TensorSpec>,
    source: Source<'a>,
}

/// The engine in `folder`, and digests of files that need not be read to be digested.
fn build(
    request: &BuildRequest<'_>,
    folder: &Path,
    order: usize,
    context: &BuildContext<'_>,
    progress: &dyn Progress,
) -> Result<(Engine, Vec<(PathBuf, Digest)>)> {
    let BuildRequest { model, options, outputs, source, .. } = request;
    let targets = options.target.compute_capabilities();
    let graph = source.write(folder)?;
    let worker_request = WorkerRequest {
        libraries: options.libraries.clone(),
        graph: graph.path().join(&model.record.graph),
        compute_capabilities: targets.clone(),
        profiles: request.shapes.clone(),
        options: options.builder_options,
        left_out: source.left_out(),
        tool: worker_tool(model, options, context),
        plan: folder.join(PLAN),
        log: folder.join(LOG),
    };
    let (mut response, build_duration) = run_within_limits(&worker_request, request, order, context, progress)?;
    if !response.is_repeatable {
        note_unrepeatable(options, progress);
    }
    check_response(request, &targets, &response)?;
    let weights = source.write_weights(std::mem::take(&mut response.left_out), folder)?;
    let (gpu, gpus) = names(&options.target);
    let digests = response.plan_sha256.map(|sha256| (worker_request.plan, sha256)).into_iter().collect();
    let engine = Engine {
        gpu,
        gpus,
        compute_capabilities: targets,
        precision: model.record.precision,
        builder: options.builder,
        builder_options: options.builder_options,
        profiles: options.profiles.clone(),
        plan: PLAN.to_owned(),
        log: LOG.to_owned(),
        weights: weights.then(|| WEIGHTS.to_owned()),
        graph: source.graph_digest(),
        header: EngineHeader { version: response.version, compute_capabilities: response.compute_capabilities },
        inputs: model.record.inputs.clone(),
        outputs: outputs.clone(),
        layer_counts: response.layer_counts,
        layer_count: response.layer_count,
        figures: builder_figures(&fs_err::read_to_string(folder.join(LOG))?),
        build_peak_byte_count: response.peak_byte_count,
        build_duration,
        builder_duration: response.builder_duration,
    };
    Ok((engine, digests))
}

/// Sends a note on why the engine may differ from one built at another time.
fn note_unrepeatable(options: &CompileOptions, progress: &dyn Progress) {
    let reason = engine_builder(options.builder).unrepeatable_reason();
    let note = format!("Another build of this engine may differ in some bytes: {reason}.");
    progress.note(Step::Compile, &options.subject, note);
}

/// Compares what was built with what was asked for.
///
/// # Errors
/// [`Error::EngineMismatch`].
fn check_response(request: &BuildRequest<'_>, targets: &[ComputeCapability], response: &WorkerResponse) -> Result<()> {
    let BuildRequest { model, options, outputs, .. } = request;
    let expected = ExpectedEngine { model: &model.record, outputs, compute_capabilities: targets };
    engine_builder(options.builder)
        .check_response(&expected, response)
        .map_err(|message| Error::EngineMismatch { subject: options.subject.clone(), message })
}

/// The tool to build with; none where the library builds.
fn worker_tool(
    model: &CachedArtifact<Model>,
    options: &CompileOptions,
    context: &BuildContext<'_>,
) -> Option<WorkerTool> {
    let program = options.trtexec.clone()?;
    let (gpu, _) = names(&options.target);
    Some(WorkerTool {
        program,
        precision: model.record.precision,
        mixes_types: !model.record.keep_fp32.is_empty(),
        timing_cache: context.cache.timings(options.builder, &gpu, &options.library_version),
    })
}

/// The child's answer, and the time it took. A build that outgrows its permit is started again with all of the memory.
fn run_within_limits(
    request: &WorkerRequest,
    BuildRequest { model, options, .. }: &BuildRequest<'_>,
    order: usize,
    context: &BuildContext<'_>,
    progress: &dyn Progress,
) -> Result<(WorkerResponse, Duration)> {
    context.worker.check()?;
    let subject = options.subject.as_str();
    let mut wanted = context.expected_peak(model);
    loop {
        let permit = context.scheduler.acquire(order, wanted, progress)?;
        let most = permit.most();
        progress.started(Step::Compile, subject, None, "");
        let start = Instant::now();
        let build = ChildBuild { worker: context.worker, request, subject, timeout: options.timeout, progress };
        let response = build.run(permit).map_err(|error| named_workspace(error, options.builder_options))?;
        if let Some(response) = response {
            return Ok((response, start.elapsed()));
        }
        progress.note(Step::Compile, subject, "needs more memory than is left; waiting to be built alone");
        wanted = most;
    }
}

/// TensorRT-RTX 1.7 takes a whole network as one layer, whose scratch memory are all its activations.
fn named_workspace(error: Error, options: BuilderOptions) -> Error {
    match (error, options.workspace_byte_count) {
        (Error::Build { subject, message }, Some(allowed))
            if message.contains("OutOfMemory") || message.contains("workspace limit") =>
        {
            Error::Workspace { subject, allowed: ByteSize(allowed), message }
        }
        (error, _) => error,
    }
}
