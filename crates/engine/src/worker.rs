//! The other side of a build: what the child process is asked, and what it answers.
//!
//! The request comes as one line of JSON on standard input, the answer leaves as JSON on standard output, and the
//! builder's log goes to a file.

mod tool;

pub use tool::WorkerTool;

use crate::{Error, Result};
use planforge_core::{BuilderOptions, DataType, Digest, EngineWeight, WeightTransform, digest_bytes};
use planforge_heap::with_deterministic_allocator;
use planforge_tensorrt::{
    BuildRequest, InputShapes, LeftOut, LeftOutTransform, Libraries, Product, Severity, build_engine,
};
use rustix::fs::{FallocateFlags, fallocate};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf, absolute};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Bytes of an engine that are written at once. The kernel makes pieces of its page cache as large; larger ones it takes from
/// memory that was not used for long, which a virtual machine's host then has to find, and smaller ones cost more each.
/// Medians of eight runs on one with 2 processors that other work shared: 724 MB take 0.38 s into blocks reserved before, in
/// pieces of 8 KiB 0.47 s (0.50 s into others), and of 32 KiB 0.44 s, but anything from 0.2 to 1.2 s.
const PIECE_BYTE_COUNT: usize = 1 << 14;

/// What to build, and where to put it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkerRequest {
    /// Folder of the two TensorRT-RTX libraries.
    pub libraries: PathBuf,
    /// The ONNX graph.
    pub graph: PathBuf,
    /// Targets as `(major, minor)`.
    pub compute_capabilities: Vec<(u8, u8)>,
    /// For each profile, for each input: name, and smallest, most frequent and largest shape.
    pub profiles: Vec<Vec<(String, [Vec<i64>; 3])>>,
    /// What the builder is told beyond that.
    pub options: BuilderOptions,
    /// Weights of the graph that TensorRT-RTX leaves out of the engine.
    pub left_out: Vec<String>,
    /// The tool to build with; the libraries of TensorRT-RTX when `None`.
    pub tool: Option<WorkerTool>,
    /// Where the engine goes.
    pub plan: PathBuf,
    /// Where the log goes.
    pub log: PathBuf,
}

/// Name, KServe type and dimensions (-1 where dynamic) of an engine's input or output.
pub type WorkerTensor = (String, String, Vec<i64>);

/// A layer that multiplies.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkerProduct {
    /// Name of its output in the graph.
    pub output: String,
    /// Names of its inputs.
    pub inputs: Vec<String>,
    /// KServe name of the type it multiplies in.
    pub data_type: String,
}

/// What was built.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkerResponse {
    /// Library version in the engine's header.
    pub version: String,
    /// Digest of the engine, where this process made the file.
    pub plan_sha256: Option<Digest>,
    /// Compute capabilities in the engine's header.
    pub compute_capabilities: Vec<(u8, u8)>,
    /// Inputs of the network.
    pub inputs: Vec<WorkerTensor>,
    /// Outputs of the network.
    pub outputs: Vec<WorkerTensor>,
    /// Layers of the parsed network.
    pub layer_count: u32,
    /// How many layers of the network give values of each element type, by KServe name.
    pub layer_counts: BTreeMap<String, u32>,
    /// The network's convolutions and products of matrices.
    pub products: Vec<WorkerProduct>,
    /// Weights that the engine may lack, and what they are made of.
    pub left_out: Vec<EngineWeight<String>>,
    /// Whether another build of the same request gives the same bytes.
    pub is_repeatable: bool,
    /// Peak resident memory of the process in bytes.
    pub peak_byte_count: u64,
    /// Time spent in the library.
    pub builder_duration: Duration,
}

/// Why nothing was built.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkerFailure {
    /// Whether a native library is missing rather than the build at fault.
    pub library_missing: bool,
    /// The reason.
    pub message: String,
}

/// Builds what `request` asks for in this process.
///
/// # Errors
/// [`WorkerFailure`], to be sent to the parent.
pub fn run_worker(request: &WorkerRequest) -> std::result::Result<WorkerResponse, WorkerFailure> {
    let built = match &request.tool {
        Some(tool) => tool::build_with(tool, request),
        None => build(request),
    };
    built.map_err(|error| WorkerFailure {
        library_missing: matches!(error, Error::NativeLibrary { .. }),
        message: match &error {
            // The parent knows what the engine is called.
            Error::Build { message, .. } => message.clone(),
            other => error_chain(other),
        },
    })
}

fn build(request: &WorkerRequest) -> Result<WorkerResponse> {
    let (plan, libraries) = (absolute(&request.plan)?, absolute(&request.libraries)?);
    let log = Mutex::new(fs_err::File::create(&request.log)?);
    let build_request = BuildRequest {
        graph: enter_folder_of(&request.graph)?,
        compute_capabilities: request.compute_capabilities.clone(),
        profiles: request.profiles.iter().map(|profile| profile.iter().map(input_shapes).collect()).collect(),
        optimization_level: request.options.optimization_level,
        workspace_byte_count: request.options.workspace_byte_count.map(usize::try_from).transpose().unwrap_or(None),
        left_out: request.left_out.clone(),
    };
    let start = Instant::now();
    let libraries = Libraries::in_folder(&libraries).open().map_err(|error| native_error(&error))?;
    let log = move |severity, line: &str| {
        if severity < Severity::Verbose
            && let Ok(mut log) = log.lock()
        {
            // A log line that cannot be written is no reason to lose the engine.
            let _ = writeln!(log, "[{severity:?}] {line}");
        }
    };
    let (built, is_repeatable) = with_deterministic_allocator(|| build_engine(&libraries, &build_request, log));
    let built = built.map_err(|error| native_error(&error))?;
    let builder_duration = start.elapsed();
    let plan_sha256 = Some(write_and_digest(&plan, &built.bytes)?);
    let tensor = |tensor: &planforge_tensorrt::EngineTensor| {
        (tensor.name.clone(), tensor.data_type.clone(), tensor.dims.clone())
    };
    let response = WorkerResponse {
        version: built.header.version.map(|number| number.to_string()).join("."),
        plan_sha256,
        compute_capabilities: built.header.compute_capabilities,
        inputs: built.inputs.iter().map(tensor).collect(),
        outputs: built.outputs.iter().map(tensor).collect(),
        layer_count: built.layer_count,
        layer_counts: built.types.layer_counts,
        products: built.types.products.into_iter().map(worker_product).collect(),
        left_out: built.left_out.into_iter().map(engine_weight).collect::<Result<_>>()?,
        is_repeatable,
        peak_byte_count: peak_resident_byte_count(),
        builder_duration,
    };
    // The answer does not wait until the engine is freed, as the process ends with it.
    std::mem::forget(built.bytes);
    Ok(response)
}

/// Writes a file, whose folder is nobody else's yet, and digests it meanwhile: either takes a second for a large engine.
fn write_and_digest(path: &Path, bytes: &[u8]) -> Result<Digest> {
    std::thread::scope(|scope| {
        let digest = scope.spawn(|| digest_bytes(bytes));
        let mut file = fs_err::File::create(path)?;
        // A file system that cannot reserve its blocks finds them with every piece.
        let _ = fallocate(file.file(), FallocateFlags::empty(), 0, bytes.len() as u64);
        bytes.chunks(PIECE_BYTE_COUNT).try_for_each(|piece| file.write_all(piece))?;
        Ok(digest.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

fn worker_product(Product { output, inputs, data_type }: Product) -> WorkerProduct {
    WorkerProduct { output, inputs, data_type }
}

fn engine_weight(weight: LeftOut) -> Result<EngineWeight<String>> {
    let LeftOut { name, data_type, element_count, transform, sources } = weight;
    let data_type = DataType::from_kserve_name(&data_type).ok_or_else(|| Error::Build {
        subject: "network".to_owned(),
        message: format!("weight `{name}` has elements of type {data_type}, which are not put into engines"),
    })?;
    let transform = match transform {
        LeftOutTransform::Identity => WeightTransform::Identity,
        LeftOutTransform::BatchNormScale { epsilon } => WeightTransform::BatchNormScale { epsilon },
        LeftOutTransform::BatchNormBias { epsilon } => WeightTransform::BatchNormBias { epsilon },
    };
    Ok(EngineWeight { name, data_type, element_count, transform, sources })
}

/// Makes the folder of `graph` the current one, so that the path the library sees is the same wherever the build runs.
fn enter_folder_of(graph: &Path) -> Result<PathBuf> {
    if let Some(folder) = graph.parent() {
        std::env::set_current_dir(folder)?;
    }
    Ok(graph.file_name().map_or_else(|| graph.to_owned(), PathBuf::from))
}

fn input_shapes((name, [min, opt, max]): &(String, [Vec<i64>; 3])) -> InputShapes {
    InputShapes { name: name.clone(), min: min.clone(), opt: opt.clone(), max: max.clone() }
}

fn native_error(error: &planforge_tensorrt::Error) -> Error {
    let message = error_chain(error);
    match error {
        planforge_tensorrt::Error::Library { .. } => Error::NativeLibrary { message },
        _ => Error::Build { subject: "network".to_owned(), message },
    }
}

/// The error and its causes in one line.
fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

/// `VmHWM` of this process; 0 where `/proc` does not say.
fn peak_resident_byte_count() -> u64 {
    let status = fs_err::read_to_string("/proc/self/status").unwrap_or_default();
    status_byte_count(&status, "VmHWM:")
}

/// The line of `/proc/<process>/status` that starts with `key`, in bytes; 0 where there is none.
pub(crate) fn status_byte_count(status: &str, key: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let kibibytes = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kibibytes.unwrap_or(0) * 1024
}
