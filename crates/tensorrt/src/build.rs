//! ONNX graph to serialized engine.

mod strip;

pub use strip::{LeftOut, LeftOutTransform};

use crate::library::OpenLibraries;
use crate::types::{NetworkTypes, data_type_name, network_types};
use crate::{Error, Header, Result, read_header};
use cxx::UniquePtr;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use trtx::builder::{MemoryPoolType, network_flags};
use trtx::host_memory::HostMemory;
use trtx::optimization_profile::OptimizationProfile;
use trtx::trtx_sys::{ComputeCapability, Dims64, nvinfer1};
use trtx::{Builder, BuilderConfig, LogHandler, Logger, NetworkDefinition, OnnxParser, OptProfileSelector};

/// What to build.
#[derive(Debug, Clone)]
pub struct BuildRequest {
    /// The ONNX graph; its external data lies beside it.
    pub graph: PathBuf,
    /// Targets, at least one; one engine serves all of them.
    pub compute_capabilities: Vec<(u8, u8)>,
    /// Optimization profiles, at least one when the graph has dynamic dimensions.
    pub profiles: Vec<ProfileShapes>,
    /// How long the builder searches, 0 to 5; the library's default when `None`.
    pub optimization_level: Option<u8>,
    /// Most bytes of scratch memory that a layer may use on the GPU; the library's default when `None`.
    pub workspace_byte_count: Option<usize>,
    /// Weights of the graph that are left out of the engine, whose bytes then do not depend on their values. Where there are
    /// any, the graph multiplies or convolves with one of them as it is, and there is one profile at most.
    pub left_out: Vec<String>,
}

/// Shapes of every input in one optimization profile.
pub type ProfileShapes = Vec<InputShapes>;

/// Shapes of one input in one optimization profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputShapes {
    /// Name of the input.
    pub name: String,
    /// Smallest shape.
    pub min: Vec<i64>,
    /// Shape to optimise for.
    pub opt: Vec<i64>,
    /// Largest shape.
    pub max: Vec<i64>,
}

/// An engine and what it takes and gives.
#[derive(Debug)]
pub struct BuiltEngine {
    /// The serialized engine.
    pub bytes: SerializedEngine,
    /// Its header.
    pub header: Header,
    /// Inputs of the parsed network.
    pub inputs: Vec<EngineTensor>,
    /// Outputs of the parsed network.
    pub outputs: Vec<EngineTensor>,
    /// Number of layers of the parsed network.
    pub layer_count: u32,
    /// Element types of the parsed network, which the builder keeps.
    pub types: NetworkTypes,
    /// What the engine may lack, in the order of the graph.
    pub left_out: Vec<LeftOut>,
}

/// Bytes of an engine, in the library's own memory.
pub struct SerializedEngine(Memory);

enum Memory {
    Wrapped(HostMemory<'static>),
    Native(UniquePtr<nvinfer1::IHostMemory>),
}

impl Deref for SerializedEngine {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Memory::Wrapped(memory) => memory,
            Memory::Native(memory) => strip::bytes_of(memory),
        }
    }
}

impl std::fmt::Debug for SerializedEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SerializedEngine({} bytes)", self.len())
    }
}

/// An input or output of an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineTensor {
    /// Name.
    pub name: String,
    /// KServe name of the element type, such as `FP32`.
    pub data_type: String,
    /// Dimensions; -1 where dynamic.
    pub dims: Vec<i64>,
}

/// Severity of a line of the builder's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The build fails.
    Error,
    /// Worth reading.
    Warning,
    /// Account of the build.
    Info,
    /// Everything else.
    Verbose,
}

/// Builds an engine. Equal requests give equal bytes where the heap's addresses repeat, and the path of the graph is the
/// same, as a path relative to the current folder can be.
///
/// # Errors
/// A graph the parser refuses, profiles that do not fit the graph, an unknown compute capability, a failed build with the
/// builder's own words; [`Error::NotLeftOut`] for a weight that would stay in the engine.
pub fn build_engine(
    libraries: &OpenLibraries,
    request: &BuildRequest,
    log: impl Fn(Severity, &str) + Send + Sync + 'static,
) -> Result<BuiltEngine> {
    let errors = Arc::new(Mutex::new(Vec::new()));
    let logger = Logger::new(Log { errors: Arc::clone(&errors), sink: log })?;
    let mut builder = Builder::new(&logger)?;
    let mut config = builder.create_config()?;
    set_targets(&mut config, &request.compute_capabilities)?;
    set_options(&mut config, request);
    let network = builder.create_network(network_flags::EXPLICIT_BATCH)?;
    let mut parser = OnnxParser::new(network, &logger)?;
    let path = request.graph.to_str().ok_or_else(|| parse_error(&request.graph, "the path is not UTF-8".to_owned()))?;
    let records = if request.left_out.is_empty() { None } else { Some(strip::observe(&mut parser)?) };
    let parsed = parser.parse_from_file(path, 2);
    let last_errors = || take_errors(&errors);
    parsed.map_err(|_| parse_error(&request.graph, last_errors()))?;
    let inputs = tensors(parser.network(), true)?;
    let outputs = tensors(parser.network(), false)?;
    let layer_count = u32::try_from(parser.network().nb_layers()).unwrap_or(0);
    let types = network_types(parser.network())?;
    for (index, profile) in request.profiles.iter().enumerate() {
        add_profile(&mut builder, &mut config, (index, profile), &inputs)?;
    }
    let failed = || Error::Build { path: request.graph.clone(), log: last_errors() };
    let (memory, left_out) = match records {
        // NVIDIA's documentation: the bytes outlive the builder and all else that they were made with.
        None => {
            let built = builder.build_serialized_network(parser.network_mut(), &mut config);
            (Memory::Wrapped(built.map_err(|_| failed())?), Vec::new())
        }
        Some(records) => {
            let left_out = strip::left_out(&records.borrow(), request)?;
            // The weights are read again; those of the first time go before.
            drop((parser, config));
            let built = strip::build(libraries, request, path, &left_out)?;
            (Memory::Native(built.ok_or_else(failed)?), left_out)
        }
    };
    let bytes = SerializedEngine(memory);
    let header = read_header(&bytes)?;
    Ok(BuiltEngine { bytes, header, inputs, outputs, layer_count, types, left_out })
}

fn set_options(config: &mut BuilderConfig<'_>, request: &BuildRequest) {
    if let Some(level) = request.optimization_level {
        config.set_builder_optimization_level(i32::from(level));
    }
    if let Some(limit) = request.workspace_byte_count {
        config.set_memory_pool_limit(MemoryPoolType::kWORKSPACE, limit);
    }
}

fn set_targets(config: &mut BuilderConfig<'_>, targets: &[(u8, u8)]) -> Result<()> {
    config.set_nb_compute_capabilities(i32::try_from(targets.len()).unwrap_or(i32::MAX))?;
    for (index, &target) in (0..).zip(targets) {
        config.set_compute_capability(library_capability(target)?, index)?;
    }
    Ok(())
}

fn library_capability((major, minor): (u8, u8)) -> Result<ComputeCapability> {
    Ok(match (major, minor) {
        (7, 5) => ComputeCapability::kSM75,
        (8, 0) => ComputeCapability::kSM80,
        (8, 6) => ComputeCapability::kSM86,
        (8, 9) => ComputeCapability::kSM89,
        (12, 0) => ComputeCapability::kSM120,
        (12, 1) => ComputeCapability::kSM121,
        _ => return Err(Error::ComputeCapability { major, minor }),
    })
}

fn add_profile<'builder>(
    builder: &mut Builder<'builder>,
    config: &mut BuilderConfig<'builder>,
    (index, shapes): (usize, &ProfileShapes),
    inputs: &[EngineTensor],
) -> Result<()> {
    let fail = |message: String| Error::Profile { index, message };
    check_profile(shapes, inputs).map_err(fail)?;
    let mut profile = builder.creata_optimization_profile()?;
    fill_profile(&mut profile, shapes)?;
    if !profile.is_valid() {
        return Err(fail("TensorRT calls it invalid".to_owned()));
    }
    config.add_optimization_profile(&mut profile)?;
    Ok(())
}

fn fill_profile(profile: &mut OptimizationProfile<'_>, shapes: &ProfileShapes) -> Result<()> {
    for input in shapes {
        let selected = [
            (OptProfileSelector::kMIN, &input.min),
            (OptProfileSelector::kOPT, &input.opt),
            (OptProfileSelector::kMAX, &input.max),
        ];
        for (selector, dims) in selected {
            profile.set_dimensions(&input.name, selector, &Dims64::from_slice(dims))?;
        }
    }
    Ok(())
}

/// Every input of the network once, with its rank, its fixed dimensions, and min <= opt <= max.
fn check_profile(shapes: &ProfileShapes, inputs: &[EngineTensor]) -> std::result::Result<(), String> {
    if let Some(unknown) = shapes.iter().find(|shape| inputs.iter().all(|input| input.name != shape.name)) {
        return Err(format!("the graph has no input `{}`", unknown.name));
    }
    for input in inputs {
        let name = &input.name;
        let shape =
            shapes.iter().find(|shape| shape.name == *name).ok_or_else(|| format!("no shapes for input `{name}`"))?;
        if [&shape.min, &shape.opt, &shape.max].iter().any(|dims| dims.len() != input.dims.len()) {
            return Err(format!("input `{name}` has {} dimensions", input.dims.len()));
        }
        for (axis, &dim) in input.dims.iter().enumerate() {
            let (min, opt, max) = (shape.min[axis], shape.opt[axis], shape.max[axis]);
            if !(1 <= min && min <= opt && opt <= max) {
                return Err(format!("dimension {axis} of input `{name}` needs 1 <= {min} <= {opt} <= {max}"));
            }
            if dim >= 0 && (min, max) != (dim, dim) {
                return Err(format!("dimension {axis} of input `{name}` is fixed to {dim} in the graph"));
            }
        }
    }
    Ok(())
}

fn tensors(network: &NetworkDefinition<'_>, inputs: bool) -> Result<Vec<EngineTensor>> {
    let count = if inputs { network.nb_inputs() } else { network.nb_outputs() };
    (0..count)
        .map(|index| {
            let tensor = if inputs { network.input(index)? } else { network.output(index)? };
            Ok(EngineTensor {
                name: tensor.name(network)?,
                data_type: data_type_name(tensor.data_type(network)).to_owned(),
                dims: tensor.dimensions(network)?,
            })
        })
        .collect()
}

fn parse_error(path: &Path, log: String) -> Error {
    Error::Parse { path: path.to_owned(), log }
}

/// The last few error lines of the log.
fn take_errors(errors: &Mutex<Vec<String>>) -> String {
    let lines = errors.lock().map(|lines| lines.clone()).unwrap_or_default();
    let tail = lines.len().saturating_sub(3);
    if lines.is_empty() { "the library gave no reason".to_owned() } else { lines[tail..].join("; ") }
}

struct Log<F> {
    errors: Arc<Mutex<Vec<String>>>,
    sink: F,
}

impl<F: Fn(Severity, &str) + Send + Sync> LogHandler for Log<F> {
    fn log(&self, severity: trtx::Severity, message: &str) {
        let severity = match severity {
            trtx::Severity::InternalError | trtx::Severity::Error => Severity::Error,
            trtx::Severity::Warning => Severity::Warning,
            trtx::Severity::Info => Severity::Info,
            trtx::Severity::Verbose => Severity::Verbose,
        };
        if severity == Severity::Error
            && let Ok(mut errors) = self.errors.lock()
        {
            errors.push(message.to_owned());
        }
        (self.sink)(severity, message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(dims: &[i64]) -> EngineTensor {
        EngineTensor { name: "x".to_owned(), data_type: "FP32".to_owned(), dims: dims.to_vec() }
    }

    fn shapes(name: &str, [min, opt, max]: [&[i64]; 3]) -> ProfileShapes {
        vec![InputShapes { name: name.to_owned(), min: min.to_vec(), opt: opt.to_vec(), max: max.to_vec() }]
    }

    #[test]
    fn profiles_that_do_not_fit_are_told_apart() {
        let inputs = [input(&[-1, 3])];
        let check = |name, ranges| check_profile(&shapes(name, ranges), &inputs);
        assert_eq!(check("x", [&[1, 3], &[2, 3], &[4, 3]]), Ok(()));
        assert!(check("y", [&[1, 3], &[2, 3], &[4, 3]]).unwrap_err().contains("no input `y`"));
        assert!(check("x", [&[1], &[2], &[4]]).unwrap_err().contains("2 dimensions"));
        assert!(check("x", [&[1, 3], &[8, 3], &[4, 3]]).unwrap_err().contains("1 <= 1 <= 8 <= 4"));
        assert!(check("x", [&[1, 3], &[2, 3], &[4, 5]]).unwrap_err().contains("fixed to 3"));
        assert!(check_profile(&Vec::new(), &inputs).unwrap_err().contains("no shapes for input `x`"));
    }
}
