//! Model to engine: the parent's side of a build.
//!
//! Each build runs in a child process, so that a crash in native code is an error message and the
//! memory goes back after every engine.

use crate::built::check_precision;
use crate::limits::check_graph;
use crate::onnx::keep_outputs;
use crate::worker::WorkerTensor;
use crate::{Error, Result, WorkerFailure, WorkerRequest, WorkerResponse};
use planforge_core::{
    Builder, Cache, CacheKey, CacheKind, ComputeCapability, DataType, Digest, Dim, Engine, EngineHeader, Gpu, Model,
    Outcome, Profile, ProfileRange, Progress, Step, Stored, TensorSpec, Variant,
};
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Bumped whenever the same request gives other bytes.
const FORMAT: u32 = 3;
const PLAN: &str = "model.plan";
const LOG: &str = "build.log";

/// What builds, for which GPU, and within which limits.
#[derive(Debug, Clone)]
pub struct CompileOptions {
    /// The target.
    pub gpu: Gpu,
    /// The builder.
    pub builder: Builder,
    /// Optimization profiles.
    pub profiles: Vec<Profile>,
    /// Outputs of the engine, at least one.
    pub outputs: Vec<String>,
    /// Folder of the TensorRT-RTX libraries.
    pub libraries: PathBuf,
    /// Their version, part of the cache key.
    pub library_version: String,
    /// The program that runs a build.
    pub worker: Worker,
    /// Most time one engine may take.
    pub timeout: Duration,
}

/// A command that reads a [`WorkerRequest`] as one line, answers with a [`WorkerResponse`], and ends at
/// once when its standard input does: then the parent is gone.
#[derive(Debug, Clone)]
pub struct Worker {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
}

/// Compiles a model, or finds an earlier engine of the same model, target, profiles and library.
///
/// # Errors
/// A GPU the builder cannot target, profiles beyond the model, a failed, crashed or timed-out build
/// with the log's last words, an engine that is not what was asked for, and the wish to stop.
pub fn compile(
    model: &Stored<Model>,
    options: &CompileOptions,
    cache: &Cache,
    progress: &dyn Progress,
) -> Result<Stored<Engine>> {
    let precision = model.record.precision;
    let subject = Variant::tensorrt(precision, &options.gpu.name).id();
    options.gpu.check(options.builder, precision)?;
    check_graph(model, &options.gpu)?;
    let shapes = profile_shapes(&model.record, &options.profiles)?;
    let outputs = selected_outputs(&model.record, &options.outputs)?;
    progress.started(Step::Compile, &subject, None, "");
    let key = engine_key(model, options);
    let mut stored = cache.get_or_build(CacheKind::Engine, &key, progress, |folder| {
        build(model, options, (folder, &subject), (shapes, outputs), progress)
    })?;
    // GPU types of one compute capability share an engine; the record says which one was asked for.
    options.gpu.name.clone_into(&mut stored.record.gpu);
    let outcome = if stored.reused { Outcome::Cached } else { Outcome::Built };
    progress.finished(Step::Compile, &subject, outcome, stored.elapsed);
    Ok(stored)
}

fn engine_key(model: &Stored<Model>, options: &CompileOptions) -> CacheKey {
    let files: Vec<(&str, &Digest)> = model.files.iter().map(|file| (file.path.as_str(), &file.sha256)).collect();
    CacheKey::of(&(
        FORMAT,
        files,
        options.gpu.compute_capability,
        options.builder,
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
        None if model.taken_as_is && wanted.len() < model.outputs.len() => {
            Err(Error::FixedOutputs { known: names().collect::<Vec<_>>().join(", ") })
        }
        None => Ok(model.outputs.iter().filter(|spec| wanted.contains(&spec.name)).cloned().collect()),
    }
}

type Shapes = Vec<Vec<(String, [Vec<i64>; 3])>>;

/// Checks that the model can serve every profile.
///
/// # Errors
/// [`Error::ProfileLimit`] for a sequence beyond the checkpoint's position table,
/// [`Error::ProfileDimension`] for a profile without a dimension that an input has.
pub fn check_profiles(model: &Model, profiles: &[Profile]) -> Result<()> {
    profile_shapes(model, profiles).map(drop)
}

/// Shapes of every input in every profile.
fn profile_shapes(model: &Model, profiles: &[Profile]) -> Result<Shapes> {
    if let Some(allowed) = model.max_sequence {
        let asked = profiles.iter().filter_map(|profile| profile.sequence).map(|range| range.max).max();
        if let Some(asked) = asked.filter(|&asked| asked > allowed) {
            return Err(Error::ProfileLimit { dimension: "sequence", asked, allowed });
        }
    }
    let of_profile =
        |profile: &Profile| model.inputs.iter().map(|input| input_shapes(input, profile)).collect::<Result<Vec<_>>>();
    profiles.iter().map(of_profile).collect()
}

fn input_shapes(input: &TensorSpec, profile: &Profile) -> Result<(String, [Vec<i64>; 3])> {
    let range = |dim: &Dim| match dim {
        Dim::Fixed(size) => Ok(ProfileRange { min: *size, opt: *size, max: *size }),
        Dim::Dynamic(name) => match (name.as_str(), profile.sequence) {
            ("batch", _) => Ok(profile.batch),
            ("sequence", Some(sequence)) => Ok(sequence),
            _ => Err(Error::ProfileDimension { dimension: name.clone() }),
        },
    };
    let ranges = input.dims.iter().map(range).collect::<Result<Vec<_>>>()?;
    let pick = |value: fn(&ProfileRange) -> u64| ranges.iter().map(|range| value(range) as i64).collect();
    Ok((input.name.clone(), [pick(|range| range.min), pick(|range| range.opt), pick(|range| range.max)]))
}

fn build(
    model: &Stored<Model>,
    options: &CompileOptions,
    (folder, subject): (&Path, &str),
    (profiles, outputs): (Shapes, Vec<TensorSpec>),
    progress: &dyn Progress,
) -> Result<Engine> {
    let target = options.gpu.compute_capability;
    let graph = engine_graph(model, &outputs, folder)?;
    let request = WorkerRequest {
        libraries: options.libraries.clone(),
        graph: graph.path().join(&model.record.graph),
        compute_capabilities: vec![(target.major, target.minor)],
        profiles,
        plan: folder.join(PLAN),
        log: folder.join(LOG),
    };
    let start = Instant::now();
    let response = run_child(&options.worker, &request, (subject, options.timeout), progress)?;
    let build_duration = start.elapsed();
    if !response.is_repeatable {
        progress.note(
            Step::Compile,
            subject,
            "Another build of this engine may differ in some bytes: the heap was not under control.",
        );
    }
    check_engine((&model.record.inputs, &outputs), target, &response)
        .and_then(|()| check_precision(&model.record, &response.products))
        .map_err(|message| Error::EngineMismatch { subject: subject.to_owned(), message })?;
    let capability = |&(major, minor): &(u8, u8)| ComputeCapability { major, minor };
    Ok(Engine {
        gpu: options.gpu.name.clone(),
        compute_capability: target,
        precision: model.record.precision,
        builder: options.builder,
        profiles: options.profiles.clone(),
        plan: PLAN.to_owned(),
        log: LOG.to_owned(),
        header: EngineHeader {
            version: response.version,
            compute_capabilities: response.compute_capabilities.iter().map(capability).collect(),
        },
        inputs: model.record.inputs.clone(),
        outputs,
        layer_counts: response.layer_counts,
        build_peak_byte_count: response.peak_byte_count,
        build_duration,
    })
}

/// A folder with the graph, cut down to `outputs` if it has more, and links to its weights, for as long as it is kept.
fn engine_graph(model: &Stored<Model>, outputs: &[TensorSpec], folder: &Path) -> Result<tempfile::TempDir> {
    let graph = model.path(&model.record.graph);
    let temporary = tempfile::Builder::new().prefix(".graph-").tempdir_in(folder)?;
    let place = temporary.path().join(&model.record.graph);
    if outputs.len() == model.record.outputs.len() {
        fs_err::os::unix::fs::symlink(&graph, place)?;
    } else {
        let names: Vec<String> = outputs.iter().map(|spec| spec.name.clone()).collect();
        let bytes = keep_outputs(&fs_err::read(&graph)?, &names)
            .map_err(|error| Error::Graph { path: graph, message: error.to_string() })?;
        fs_err::write(place, bytes)?;
    }
    for weights in &model.record.weights {
        fs_err::os::unix::fs::symlink(model.path(weights), temporary.path().join(weights))?;
    }
    Ok(temporary)
}

/// Runs a build in a child process and waits for it, for the time-out, or for the wish to stop.
fn run_child(
    worker: &Worker,
    request: &WorkerRequest,
    (subject, timeout): (&str, Duration),
    progress: &dyn Progress,
) -> Result<WorkerResponse> {
    let fail = |message: String| Error::Build { subject: subject.to_owned(), message };
    let stderr = request.log.with_extension("stderr");
    let mut child = Command::new(&worker.program)
        .args(&worker.arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(fs_err::File::create(&stderr)?.into_parts().0)
        // The terminal's Ctrl-C is for the parent, which ends the build in its own way.
        .process_group(0)
        .spawn()
        .map_err(|error| fail(format!("`{}` does not start: {error}", worker.program.display())))?;
    let status = feed_and_wait(&mut child, request, timeout, progress);
    let status = status.inspect_err(|_| {
        // The child is ours; a kill that comes too late has nothing left to do.
        let _ = child.kill();
        let _ = child.wait();
    })?;
    let mut answer = String::new();
    if let Some(mut stdout) = child.stdout.take() {
        stdout.read_to_string(&mut answer)?;
    }
    let words = || last_words(&[&request.log, &stderr]);
    let status = status.ok_or_else(|| fail(format!("it took longer than {} s; {}", timeout.as_secs(), words())))?;
    fs_err::remove_file(&stderr).ok();
    match serde_json::from_str::<std::result::Result<WorkerResponse, WorkerFailure>>(&answer) {
        Ok(Ok(response)) if status.success() => Ok(response),
        Ok(Err(failure)) if failure.library_missing => Err(Error::NativeLibrary { message: failure.message }),
        Ok(Err(failure)) => Err(fail(failure.message)),
        _ => Err(fail(format!("the build process ended with {status}; {}", words()))),
    }
}

/// The child's exit status, or `None` when it took too long and was ended.
fn feed_and_wait(
    child: &mut Child,
    request: &WorkerRequest,
    timeout: Duration,
    progress: &dyn Progress,
) -> Result<Option<std::process::ExitStatus>> {
    let mut request = serde_json::to_vec(request).expect("a request is plain data");
    request.push(b'\n');
    if let Some(stdin) = child.stdin.as_mut() {
        // A child that ends without reading shows in its exit status.
        let _ = stdin.write_all(&request);
    }
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if progress.is_cancelled() {
            return Err(planforge_core::Error::Cancelled.into());
        }
        if start.elapsed() > timeout {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn last_words(files: &[&Path]) -> String {
    let lines: Vec<String> = files
        .iter()
        .filter_map(|file| fs_err::read_to_string(file).ok())
        .flat_map(|text| text.lines().rev().take(3).map(str::to_owned).collect::<Vec<_>>().into_iter().rev())
        .collect();
    if lines.is_empty() { "its log is empty".to_owned() } else { format!("its last words: {}", lines.join(" | ")) }
}

/// Whether the engine has the target, the inputs and the outputs that were asked for.
fn check_engine(
    (inputs, outputs): (&[TensorSpec], &[TensorSpec]),
    target: ComputeCapability,
    response: &WorkerResponse,
) -> std::result::Result<(), String> {
    if response.compute_capabilities != [(target.major, target.minor)] {
        return Err(format!("its header names compute capabilities {:?}, not {target}", response.compute_capabilities));
    }
    for (what, wanted, found) in [("input", inputs, &response.inputs), ("output", outputs, &response.outputs)] {
        if wanted.len() != found.len() {
            return Err(format!("it has {} {what}s, the model has {}", found.len(), wanted.len()));
        }
        if let Some(spec) = wanted.iter().find(|spec| !found.iter().any(|tensor| is_same(spec, tensor))) {
            return Err(format!("its {what} `{}` differs from the model's", spec.name));
        }
    }
    Ok(())
}

fn is_same(spec: &TensorSpec, (name, data_type, dims): &WorkerTensor) -> bool {
    let same_dim = |(dim, found): (&Dim, &i64)| match dim {
        Dim::Fixed(size) => i64::try_from(*size) == Ok(*found),
        Dim::Dynamic(_) => *found == -1,
    };
    spec.name == *name
        && DataType::from_kserve_name(data_type) == Some(spec.data_type)
        && spec.dims.len() == dims.len()
        && spec.dims.iter().zip(dims).all(same_dim)
}
