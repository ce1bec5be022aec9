//! Engines without weights: what is left out, and the build that does so.
//!
//! `BuilderFlag::kREFIT` leaves to the library which weights can be given again, and takes a GPU to build;
//! `kREFIT_IDENTICAL` may fold the values that it sees, so that others are undefined behaviour. With `kREFIT_INDIVIDUAL` a
//! weight can be given again when it is marked, or when it is a placeholder, whose values the builder does not see at all;
//! with `kSTRIP_PLAN` all of those are left out. The parser makes placeholders of weights that are convolved or multiplied
//! with, if it knows the builder's configuration and has an observer (`NvOnnxParser.h`, `IParser::setRefitObserver`).
//! A network with a placeholder builds without a GPU, the other weights marked; one without does not. Tried with version
//! 1.7.1.116: the bytes of such an engine do not depend on the values of its weights.
//!
//! `trtx` keeps the parser and the configuration apart, so this build goes through the library's C++ interface.
#![expect(unsafe_code, reason = "the library's interface is in C++")]

use super::options::library_capability;
use super::profiles::fill_profile;
use super::request::BuildRequest;
use crate::library::OpenLibraries;
use crate::types::data_type_name;
use crate::{Error, Result};
use cxx::UniquePtr;
use planforge_types::WeightTransform;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ffi::{CString, c_void};
use std::path::Path;
use std::rc::Rc;
use trtx::OnnxParser;
use trtx::onnx_parser::{RefitRecord, RefitTransformKind};
use trtx::optimization_profile::OptimizationProfile;
use trtx::trtx_sys::{self, BuilderFlag, MemoryPoolType, nvinfer1, nvonnxparser};

/// A weight that an engine may lack: the builder folds some into others.
#[derive(Debug, Clone, PartialEq)]
pub struct LeftOut {
    /// Its name in the engine.
    pub name: String,
    /// KServe name of its element type.
    pub data_type: String,
    /// Its number of elements.
    pub element_count: u64,
    /// How it is made of weights of the graph.
    pub transform: WeightTransform,
    /// Their names.
    pub sources: Vec<String>,
}

/// What the parser reports of weights while it parses.
pub(super) type Records = Rc<RefCell<Vec<RefitRecord>>>;

pub(super) fn observe(parser: &mut OnnxParser<'_>) -> Result<Records> {
    let records = Records::default();
    let noted = Rc::clone(&records);
    parser.set_refit_observer(move |record| noted.borrow_mut().push(record))?;
    Ok(records)
}

/// The weights of the network that come from those of the graph that are to be left out.
///
/// # Errors
/// [`Error::NotLeftOut`] for one that the library cannot be given again, and whose values would stay in the engine.
pub(super) fn left_out(records: &[RefitRecord], request: &BuildRequest) -> Result<Vec<LeftOut>> {
    let wanted: BTreeSet<&str> = request.left_out.iter().map(String::as_str).collect();
    let stays = |name: &str| Error::NotLeftOut { path: request.graph.clone(), name: name.to_owned() };
    let mut found = Vec::new();
    let mut sources: BTreeSet<&str> = BTreeSet::new();
    for record in records {
        let names = &record.source_onnx_names;
        let Some(first) = names.iter().find(|name| wanted.contains(name.as_str())) else { continue };
        let epsilon = record.epsilon;
        let transform = match record.kind {
            RefitTransformKind::Identity => WeightTransform::Identity,
            RefitTransformKind::BatchNormFoldScale => WeightTransform::BatchNormScale { epsilon },
            RefitTransformKind::BatchNormFoldBias => WeightTransform::BatchNormBias { epsilon },
            _ => return Err(stays(first)),
        };
        if let Some(other) = names.iter().find(|name| !wanted.contains(name.as_str())) {
            return Err(stays(other));
        }
        sources.extend(names.iter().map(String::as_str));
        found.push(LeftOut {
            name: record.trt_name.clone(),
            data_type: data_type_name(record.trt_dtype).to_owned(),
            element_count: u64::try_from(record.count).unwrap_or(0),
            transform,
            sources: names.clone(),
        });
    }
    match wanted.difference(&sources).next() {
        Some(unseen) => Err(stays(unseen)),
        None => Ok(found),
    }
}

/// The engine without the weights of `left_out`; none where the builder fails, which its log explains.
///
/// # Errors
/// [`Error::Library`], [`Error::NotLeftOut`], and those of building.
pub(super) fn build(
    libraries: &OpenLibraries,
    request: &BuildRequest,
    path: &str,
    left_out: &[LeftOut],
) -> Result<Option<UniquePtr<nvinfer1::IHostMemory>>> {
    let native = Native::open(libraries, request)?;
    // Objects go in the reverse of the order in which they are made.
    let mut builder = native.builder()?;
    // SAFETY: each call gives a new object that has no other owner, or null.
    let (mut config, mut network) = unsafe {
        let config = UniquePtr::from_raw(builder.pin_mut().createBuilderConfig());
        (config, UniquePtr::from_raw(builder.pin_mut().createNetworkV2(0)))
    };
    if config.is_null() || network.is_null() {
        return Ok(None);
    }
    configure(&mut config, request)?;
    let observer = Observer::new();
    let mut parser = native.parser(&network)?;
    // SAFETY: configuration and observer outlive the parser.
    unsafe {
        if !parser.pin_mut().setBuilderConfig(config.as_ptr()) {
            return Err(request.parse_error("it refuses the builder's configuration"));
        }
        trtx_sys::trtx_parser_set_refit_observer(parser.as_mut_ptr(), observer.0);
    }
    let name = CString::new(path).map_err(|_| request.parse_error("the path holds a zero"))?;
    // SAFETY: the path is a C string.
    if !unsafe { parser.pin_mut().parseFromFile(name.as_ptr(), 2.into()) } {
        return Ok(None);
    }
    for weight in left_out {
        mark(&mut network, &weight.name, &request.graph)?;
    }
    for shapes in &request.profiles {
        // SAFETY: the builder owns the profile and outlives this use of it.
        let Some(profile) = (unsafe { builder.pin_mut().createOptimizationProfile().as_mut() }) else {
            return Ok(None);
        };
        let address: *const nvinfer1::IOptimizationProfile = profile;
        fill_profile(&mut OptimizationProfile::from_raw(profile), shapes)?;
        // SAFETY: as above.
        if unsafe { config.pin_mut().addOptimizationProfile(address) } < 0 {
            return Ok(None);
        }
    }
    // SAFETY: the memory is new and has no other owner; it outlives the objects that made it.
    let memory =
        unsafe { UniquePtr::from_raw(builder.pin_mut().buildSerializedNetwork(network.pin_mut(), config.pin_mut())) };
    Ok((!memory.is_null()).then_some(memory))
}

/// The bytes in memory of the library.
pub(super) fn bytes_of(memory: &UniquePtr<nvinfer1::IHostMemory>) -> &[u8] {
    // SAFETY: the library keeps this number of bytes there for as long as the object exists.
    unsafe { std::slice::from_raw_parts(memory.data().cast(), memory.size()) }
}

fn configure(config: &mut UniquePtr<nvinfer1::IBuilderConfig>, request: &BuildRequest) -> Result<()> {
    let targets = &request.compute_capabilities;
    let mut is_set = config.pin_mut().setNbComputeCapabilities(i32::try_from(targets.len()).unwrap_or(i32::MAX));
    for (index, &target) in (0..).zip(targets) {
        is_set &= config.pin_mut().setComputeCapability(library_capability(target)?.into(), index);
    }
    if !is_set {
        return Err(Error::Build { path: request.graph.clone(), log: "it refuses the targets".to_owned() });
    }
    if let Some(level) = request.optimization_level {
        config.pin_mut().setBuilderOptimizationLevel(i32::from(level));
    }
    if let Some(limit) = request.workspace_byte_count {
        config.pin_mut().setMemoryPoolLimit(MemoryPoolType::kWORKSPACE.into(), limit);
    }
    config.pin_mut().setFlag(BuilderFlag::kSTRIP_PLAN.into());
    config.pin_mut().setFlag(BuilderFlag::kREFIT_INDIVIDUAL.into());
    Ok(())
}

/// Placeholders are marked already.
fn mark(network: &mut UniquePtr<nvinfer1::INetworkDefinition>, name: &str, graph: &Path) -> Result<()> {
    let stays = || Error::NotLeftOut { path: graph.to_owned(), name: name.to_owned() };
    let c_name = CString::new(name).map_err(|_| stays())?;
    // SAFETY: the name is a C string.
    let is_marked = unsafe {
        network.areWeightsMarkedRefittable(c_name.as_ptr()) || network.pin_mut().markWeightsRefittable(c_name.as_ptr())
    };
    if is_marked { Ok(()) } else { Err(stays()) }
}

/// The libraries, with the logger that the process gave to its first builder.
struct Native {
    builder: libloading::Library,
    parser: libloading::Library,
    logger: *mut c_void,
    libraries: crate::Libraries,
}

impl Native {
    /// The caller keeps the builder that brought the logger.
    fn open(libraries: &OpenLibraries, request: &BuildRequest) -> Result<Self> {
        let open = |path: &Path| {
            // SAFETY: the library is open already.
            unsafe { libloading::Library::new(path) }.map_err(|source| library_error(path, source))
        };
        let paths = &libraries.paths;
        let (builder, parser) = (open(&paths.builder)?, open(&paths.parser)?);
        // SAFETY: `NvInferRuntime.h` declares the function so.
        let logger = unsafe {
            let logger = builder.get::<unsafe extern "C" fn() -> *mut c_void>(b"getLogger\0");
            logger.map_err(|source| library_error(&paths.builder, source))?()
        };
        if logger.is_null() {
            return Err(Error::Build { path: request.graph.clone(), log: "the library has no logger".to_owned() });
        }
        Ok(Self { builder, parser, logger, libraries: paths.clone() })
    }

    fn builder(&self) -> Result<UniquePtr<nvinfer1::IBuilder>> {
        type Create = unsafe extern "C" fn(*mut c_void, i32) -> *mut c_void;
        let path = &self.libraries.builder;
        // SAFETY: `NvInfer.h` declares the function so; the object is new.
        let builder = unsafe {
            let create = self.builder.get::<Create>(b"createInferBuilder_INTERNAL\0");
            let create = create.map_err(|source| library_error(path, source))?;
            UniquePtr::from_raw(create(self.logger, trtx_sys::get_tensorrt_version().cast_signed()).cast())
        };
        given(builder, path, "it gives no builder")
    }

    fn parser(&self, network: &UniquePtr<nvinfer1::INetworkDefinition>) -> Result<UniquePtr<nvonnxparser::IParser>> {
        type Create = unsafe extern "C" fn(*mut c_void, *mut c_void, i32) -> *mut c_void;
        let path = &self.libraries.parser;
        // SAFETY: `NvOnnxParser.h` declares the function so; the network outlives the parser, which is new.
        let parser = unsafe {
            let create = self.parser.get::<Create>(b"createNvOnnxParser_INTERNAL\0");
            let create = create.map_err(|source| library_error(path, source))?;
            let version = trtx_sys::get_nvonnxparser_version().cast_signed();
            UniquePtr::from_raw(create(network.as_ptr().cast_mut().cast(), self.logger, version).cast())
        };
        given(parser, path, "it gives no parser")
    }
}

fn given<T: cxx::memory::UniquePtrTarget>(object: UniquePtr<T>, path: &Path, fault: &str) -> Result<UniquePtr<T>> {
    if object.is_null() { Err(Error::Library { path: path.to_owned(), source: fault.into() }) } else { Ok(object) }
}

fn library_error(path: &Path, source: libloading::Error) -> Error {
    Error::Library { path: path.to_owned(), source: Box::new(source) }
}

/// An observer of the parser that ignores its reports, which are known from the parse before.
struct Observer(*mut c_void);

impl Observer {
    fn new() -> Self {
        unsafe extern "C" fn ignore(_: *mut c_void, _: *const trtx_sys::RefitRecord) {}
        // SAFETY: the function takes any pointer.
        Self(unsafe { trtx_sys::trtx_create_refitter_observer(std::ptr::null_mut(), ignore) })
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        // SAFETY: it was made by the function's counterpart, and the parser that knows it is gone.
        unsafe { trtx_sys::trtx_destroy_refitter_observer(self.0) };
    }
}

#[cfg(test)]
mod tests;
