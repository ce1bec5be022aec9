//! ONNX graph to serialized engine.

mod options;
mod profiles;
mod request;
mod strip;

pub use request::{BuildRequest, EngineTensor, ProfileShapes};
pub use strip::LeftOut;

use self::options::set_options;
use self::profiles::add_profile;
use crate::library::OpenLibraries;
use crate::types::{NetworkTypes, data_type_name, network_types};
use crate::{Error, Header, Result, read_header};
use cxx::UniquePtr;
use std::ops::Deref;
use std::sync::{Arc, Mutex};
use trtx::builder::network_flags;
use trtx::host_memory::HostMemory;
use trtx::trtx_sys::nvinfer1;
use trtx::{Builder, LogHandler, Logger, NetworkDefinition, OnnxParser};

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
    set_options(&mut config, request)?;
    let network = builder.create_network(network_flags::EXPLICIT_BATCH)?;
    let mut parser = OnnxParser::new(network, &logger)?;
    let path = request.graph.to_str().ok_or_else(|| request.parse_error("the path is not UTF-8".to_owned()))?;
    let records = if request.left_out.is_empty() { None } else { Some(strip::observe(&mut parser)?) };
    let parsed = parser.parse_from_file(path, 2);
    let last_errors = || take_errors(&errors);
    parsed.map_err(|_| request.parse_error(last_errors()))?;
    let inputs = tensors(parser.network(), true)?;
    let outputs = tensors(parser.network(), false)?;
    let layer_count = u32::try_from(parser.network().nb_layers()).unwrap_or(0);
    let types = network_types(parser.network())?;
    for (index, profile) in request.profiles.iter().enumerate() {
        add_profile(&mut builder, &mut config, index, profile, &inputs)?;
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
