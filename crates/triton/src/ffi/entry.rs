//! The functions that the server calls, by their names in its interface.

use super::functions::{
    Backend, BackendAttribute, KIND_CPU, KIND_GPU, Model as RawModel, ModelInstance, Request as RawRequest,
    SET_PARALLEL_LOADING, SetParallelLoading, Status, TRITONBACKEND_BackendAttributeAddPreferredInstanceGroup,
    TRITONBACKEND_ModelInstanceReportBatchStatistics, TRITONBACKEND_ModelInstanceReportStatistics, dlsym,
};
use super::handles::{
    OfBackend, OfInstance, OfModel, backend_settings, instance_place, keep, kept, model_description, model_of,
    places_of, take,
};
use super::log::{LogLevel, listen, log};
use super::request::Request;
use super::server::{check, check_interface, guarded, now, panic_text, trim_memory};
use crate::batch::RequestTensors;
use crate::config::ModelConfig;
use crate::execute::{Answers, Computed};
use crate::instance::Instance;
use crate::model::Model;
use crate::native::RuntimePlaces;
use crate::settings::{BackendSettings, Parameters};
use crate::{Error, Result};
use planforge_runtime::{TensorView, has_cuda_provider};
use std::collections::BTreeMap;
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

/// Called once, before any model.
///
/// # Safety
/// Only the server calls it, with its own object.
#[unsafe(no_mangle)]
unsafe extern "C" fn TRITONBACKEND_Initialize(backend: *mut Backend) -> Status {
    guarded(|| {
        check_interface()?;
        listen();
        // SAFETY: the server's object is alive during the call.
        let (settings, folder) = unsafe { backend_settings(backend) }?;
        let settings = BackendSettings::parse(&settings)?;
        let variable = |name: &str| std::env::var_os(name).filter(|path| !path.is_empty()).map(PathBuf::from);
        let places = RuntimePlaces::new(&settings, variable, &folder);
        // SAFETY: a new object keeps nothing.
        unsafe { keep::<OfBackend>(backend, places) }
    })
}

/// Called once, after all models are gone.
///
/// # Safety
/// Only the server calls it, with its own object.
#[unsafe(no_mangle)]
unsafe extern "C" fn TRITONBACKEND_Finalize(backend: *mut Backend) -> Status {
    // SAFETY: no model is left that could use the state.
    guarded(|| unsafe { take::<OfBackend>(backend) }.map(drop))
}

/// Called after initialization: instances of a model are loaded side by side, and where models run that do not say so. On GPUs
/// only with ONNX Runtime's CUDA provider.
///
/// # Safety
/// Only the server calls it, with its own objects.
#[unsafe(no_mangle)]
unsafe extern "C" fn TRITONBACKEND_GetBackendAttribute(
    backend: *mut Backend,
    attribute: *mut BackendAttribute,
) -> Status {
    guarded(|| {
        // SAFETY: the server's object is alive during the call, and its state is only read.
        let places = unsafe { &*kept::<OfBackend>(backend)? };
        // SAFETY: as before.
        unsafe { load_instances_at_a_time(attribute) }?;
        let library = places.onnx_runtime.find(&Parameters::from(BTreeMap::new()));
        let kinds: &[_] =
            if library.is_ok_and(|path| has_cuda_provider(&path)) { &[KIND_GPU, KIND_CPU] } else { &[KIND_CPU] };
        kinds.iter().try_for_each(|&kind| {
            // SAFETY: the server's object is alive during the call; no device is named.
            check(unsafe {
                TRITONBACKEND_BackendAttributeAddPreferredInstanceGroup(attribute, kind, 1, std::ptr::null(), 0)
            })
        })
    })
}

/// Loading an instance touches nothing of another one: what they share is behind locks.
///
/// # Safety
/// `attribute` is the server's and alive.
unsafe fn load_instances_at_a_time(attribute: *mut BackendAttribute) -> Result<()> {
    // SAFETY: the name ends in a zero byte.
    let found = unsafe { dlsym(std::ptr::null_mut(), SET_PARALLEL_LOADING.as_ptr()) };
    if found.is_null() {
        return Ok(());
    }
    // SAFETY: the server's function of this name is of this type.
    let set = unsafe { std::mem::transmute::<*mut c_void, SetParallelLoading>(found) };
    // SAFETY: the caller's promise.
    check(unsafe { set(attribute, true) })
}

/// Called once for each model that is loaded.
///
/// # Safety
/// Only the server calls it, with its own object.
#[unsafe(no_mangle)]
unsafe extern "C" fn TRITONBACKEND_ModelInitialize(model: *mut RawModel) -> Status {
    guarded(|| {
        // SAFETY: the server's object is alive during the call.
        let (config, folder) = unsafe { model_description(model) }?;
        // SAFETY: as before, and backends are initialized before their models.
        let places = unsafe { places_of(model) }?;
        let config = ModelConfig::parse(&config)?;
        if let Some(parameter) = config.parameters().obsolete() {
            let text = format!("planforge: {}: parameter `{parameter}` has no effect any more; remove it", config.name);
            log(LogLevel::Warning, &text);
        }
        let state = Model::open(config, &folder, places)?;
        // SAFETY: a new object keeps nothing.
        unsafe { keep::<OfModel>(model, state) }
    })
}

/// Called once for each model, after its instances are gone.
///
/// # Safety
/// Only the server calls it, with its own object.
#[unsafe(no_mangle)]
unsafe extern "C" fn TRITONBACKEND_ModelFinalize(model: *mut RawModel) -> Status {
    guarded(|| {
        // SAFETY: no instance is left that could use the state.
        drop(unsafe { take::<OfModel>(model) }?);
        trim_memory();
        Ok(())
    })
}

/// Called once for each instance of a model.
///
/// # Safety
/// Only the server calls it, with its own object.
#[unsafe(no_mangle)]
unsafe extern "C" fn TRITONBACKEND_ModelInstanceInitialize(instance: *mut ModelInstance) -> Status {
    guarded(|| {
        // SAFETY: the server's object is alive during the call.
        let (name, device) = unsafe { instance_place(instance) }?;
        // SAFETY: as before, and models are initialized before their instances.
        let model = unsafe { model_of(instance) }?;
        let start = now();
        let state = Instance::load(model, device)?;
        let milliseconds = (now() - start) / 1_000_000;
        log(LogLevel::Info, &format!("planforge: {name} {}, loaded in {milliseconds} ms", state.describe()));
        if let Some(warning) = state.warning() {
            log(LogLevel::Warning, &format!("planforge: {name}: {warning}"));
        }
        // SAFETY: a new object keeps nothing.
        unsafe { keep::<OfInstance>(instance, state) }
    })
}

/// Called once for each instance, after its last execution.
///
/// # Safety
/// Only the server calls it, with its own object.
#[unsafe(no_mangle)]
unsafe extern "C" fn TRITONBACKEND_ModelInstanceFinalize(instance: *mut ModelInstance) -> Status {
    // SAFETY: no execution is left that could use the state.
    guarded(|| unsafe { take::<OfInstance>(instance) }.map(drop))
}

/// Called with the requests of one batch, which belong to this library when it returns success.
///
/// # Safety
/// Only the server calls it, with its own objects, for one batch of an instance at a time.
#[unsafe(no_mangle)]
unsafe extern "C" fn TRITONBACKEND_ModelInstanceExecute(
    instance: *mut ModelInstance,
    requests: *mut *mut RawRequest,
    request_count: u32,
) -> Status {
    guarded(|| {
        // SAFETY: the server's object is alive, and no other execution of this instance runs: the state is ours.
        let state = unsafe { &mut *kept::<OfInstance>(instance)? };
        // SAFETY: the server hands over `count` requests. From here on they are released in any case.
        let requests: Vec<Request> =
            unsafe { (0..request_count as usize).map(|index| Request::take(*requests.add(index))).collect() };
        // What is still unanswered after a panic is answered by each request as it goes.
        catch_unwind(AssertUnwindSafe(|| answer_all(state, instance, &requests))).unwrap_or_else(|panic| {
            log(LogLevel::Error, &format!("planforge: an execution failed: {}", panic_text(&*panic)))
        });
        Ok(())
    })
}

/// Requests that cannot be read are answered at once, the others run.
fn answer_all(state: &mut Instance, instance: *mut ModelInstance, requests: &[Request]) {
    let mut readable: Vec<&Request> = Vec::new();
    let mut tensors: Vec<RequestTensors<'_>> = Vec::new();
    for request in requests {
        match request.read() {
            Ok(read) => {
                readable.push(request);
                tensors.push(read);
            }
            Err(error) => {
                let (mut reported, now) = (Reported { instance, requests: &[request] }, now());
                reported.answer(0, Err(error), Computed { begun: now, start: now, end: now });
            }
        }
    }
    let mut reported = Reported { instance, requests: &readable };
    state.execute(&tensors, &mut reported);
}

/// Sends answers, and tells the server's statistics of them.
struct Reported<'a> {
    instance: *mut ModelInstance,
    requests: &'a [&'a Request],
}

impl Answers for Reported<'_> {
    fn now(&self) -> u64 {
        now()
    }

    fn answer(&mut self, request: usize, outputs: Result<&[TensorView<'_>]>, computed: Computed) {
        let (request, success) = (self.requests[request], outputs.is_ok());
        request.answer(outputs);
        let Computed { begun, start, end } = computed;
        // SAFETY: the instance is alive during an execution, and the request until it is released after it.
        let status = unsafe {
            let raw = request.raw();
            TRITONBACKEND_ModelInstanceReportStatistics(self.instance, raw, success, begun, start, end, now())
        };
        report(check(status));
    }

    fn ran(&mut self, batch_size: usize, Computed { begun, start, end }: Computed) {
        // SAFETY: the instance is alive during an execution.
        let status = unsafe {
            let size = batch_size as u64;
            TRITONBACKEND_ModelInstanceReportBatchStatistics(self.instance, size, begun, start, end, now())
        };
        report(check(status));
    }
}

/// A failure to report statistics does not fail the response.
fn report(result: std::result::Result<(), Error>) {
    if let Err(error) = result {
        log(LogLevel::Warning, &format!("planforge: statistics: {}", error.chain()));
    }
}
