//! The server's backend, model and instance objects, and what this library keeps with each.

use super::functions::{
    Backend, KIND_GPU, Message, Model, ModelInstance, Status, TRITONBACKEND_BackendArtifacts,
    TRITONBACKEND_BackendConfig, TRITONBACKEND_BackendSetState, TRITONBACKEND_BackendState, TRITONBACKEND_ModelBackend,
    TRITONBACKEND_ModelConfig, TRITONBACKEND_ModelInstanceDeviceId, TRITONBACKEND_ModelInstanceKind,
    TRITONBACKEND_ModelInstanceModel, TRITONBACKEND_ModelInstanceName, TRITONBACKEND_ModelInstanceSetState,
    TRITONBACKEND_ModelInstanceState, TRITONBACKEND_ModelRepository, TRITONBACKEND_ModelSetState,
    TRITONBACKEND_ModelState, TRITONBACKEND_ModelVersion,
};
use super::server::{check, json, text};
use crate::{Error, Result};
use planforge_runtime::Device;
use std::ffi::{c_char, c_int, c_void};
use std::path::PathBuf;

/// An object of the server that keeps one pointer for the backend.
///
/// # Safety
/// `get` and `set` are the server's functions for objects of type `Raw`.
pub(super) unsafe trait StateSlot {
    /// The server's type.
    type Raw;
    /// What is kept with it.
    type State;
    /// Reads the pointer.
    const GET: unsafe extern "C" fn(*mut Self::Raw, *mut *mut c_void) -> Status;
    /// Writes it.
    const SET: unsafe extern "C" fn(*mut Self::Raw, *mut c_void) -> Status;
}

/// Keeps `state` with `object` until [`take`].
///
/// # Safety
/// `object` is the server's and alive, and keeps nothing.
pub(super) unsafe fn keep<K: StateSlot>(object: *mut K::Raw, state: K::State) -> Result<()> {
    let state = Box::into_raw(Box::new(state));
    // SAFETY: the caller's promise.
    check(unsafe { K::SET(object, state.cast()) }).inspect_err(|_| {
        // SAFETY: the pointer was just made from a box and has no other holder.
        drop(unsafe { Box::from_raw(state) });
    })
}

/// What is kept with `object`.
///
/// # Safety
/// `object` is the server's, alive for `'a`, and keeps a state that is not taken meanwhile.
pub(super) unsafe fn kept<'a, K: StateSlot>(object: *mut K::Raw) -> Result<*mut K::State>
where
    K::State: 'a,
{
    let mut state = std::ptr::null_mut();
    // SAFETY: the caller's promise; the result is written before it is read.
    check(unsafe { K::GET(object, &mut state) })?;
    if state.is_null() {
        return Err(Error::Server("the server asks for what it has not initialized".to_owned()));
    }
    Ok(state.cast())
}

/// Takes back what is kept, if anything is.
///
/// # Safety
/// `object` is the server's and alive, and no other code uses its state.
pub(super) unsafe fn take<K: StateSlot>(object: *mut K::Raw) -> Result<Option<Box<K::State>>> {
    let mut state = std::ptr::null_mut();
    // SAFETY: the caller's promise; the result is written before it is read.
    check(unsafe { K::GET(object, &mut state) })?;
    // SAFETY: the caller's promise.
    check(unsafe { K::SET(object, std::ptr::null_mut()) })?;
    if state.is_null() {
        return Ok(None);
    }
    // SAFETY: it was made from a box by `keep`, and the object does not have it any more.
    Ok(Some(unsafe { Box::from_raw(state.cast()) }))
}

/// The backend keeps where ONNX Runtime may be.
pub(super) enum OfBackend {}
/// A model keeps its configuration and file.
pub(super) enum OfModel {}
/// An instance keeps its session.
pub(super) enum OfInstance {}

// SAFETY: the functions are those for backends.
unsafe impl StateSlot for OfBackend {
    type Raw = Backend;
    type State = crate::native::RuntimePlaces;
    const GET: unsafe extern "C" fn(*mut Backend, *mut *mut c_void) -> Status = TRITONBACKEND_BackendState;
    const SET: unsafe extern "C" fn(*mut Backend, *mut c_void) -> Status = TRITONBACKEND_BackendSetState;
}

// SAFETY: the functions are those for models.
unsafe impl StateSlot for OfModel {
    type Raw = Model;
    type State = crate::model::Model;
    const GET: unsafe extern "C" fn(*mut Model, *mut *mut c_void) -> Status = TRITONBACKEND_ModelState;
    const SET: unsafe extern "C" fn(*mut Model, *mut c_void) -> Status = TRITONBACKEND_ModelSetState;
}

// SAFETY: the functions are those for instances.
unsafe impl StateSlot for OfInstance {
    type Raw = ModelInstance;
    type State = crate::instance::Instance;
    const GET: unsafe extern "C" fn(*mut ModelInstance, *mut *mut c_void) -> Status = TRITONBACKEND_ModelInstanceState;
    const SET: unsafe extern "C" fn(*mut ModelInstance, *mut c_void) -> Status = TRITONBACKEND_ModelInstanceSetState;
}

/// The server's settings for the backend, as JSON, and the folder of its library.
///
/// # Safety
/// `backend` is the server's and alive.
pub(super) unsafe fn backend_settings(backend: *mut Backend) -> Result<(String, PathBuf)> {
    let mut message: *mut Message = std::ptr::null_mut();
    // SAFETY: the caller's promise; the result is written before it is read.
    check(unsafe { TRITONBACKEND_BackendConfig(backend, &mut message) })?;
    // SAFETY: the message is the backend's own, which outlives this call.
    let settings = unsafe { json(message, false) }?;
    let (mut kind, mut location) = (0, std::ptr::null());
    // SAFETY: as before.
    check(unsafe { TRITONBACKEND_BackendArtifacts(backend, &mut kind, &mut location) })?;
    // SAFETY: the server's texts end in a zero byte.
    Ok((settings, PathBuf::from(unsafe { text(location) })))
}

/// A model's configuration, as JSON, and the folder of its version.
///
/// # Safety
/// `model` is the server's and alive.
pub(super) unsafe fn model_description(model: *mut Model) -> Result<(String, PathBuf)> {
    let mut message: *mut Message = std::ptr::null_mut();
    // SAFETY: the caller's promise; the result is written before it is read. 1 is the only version of the JSON.
    check(unsafe { TRITONBACKEND_ModelConfig(model, 1, &mut message) })?;
    // SAFETY: the message was made for the caller.
    let config = unsafe { json(message, true) }?;
    let (mut kind, mut location, mut version): (c_int, *const c_char, u64) = (0, std::ptr::null(), 0);
    // SAFETY: as before.
    check(unsafe { TRITONBACKEND_ModelRepository(model, &mut kind, &mut location) })?;
    // SAFETY: as before.
    check(unsafe { TRITONBACKEND_ModelVersion(model, &mut version) })?;
    // SAFETY: the server's texts end in a zero byte.
    let folder = PathBuf::from(unsafe { text(location) });
    Ok((config, folder.join(version.to_string())))
}

/// What the backend of `model` keeps.
///
/// # Safety
/// `model` is the server's and alive, and its backend is initialized.
pub(super) unsafe fn places_of<'a>(model: *mut Model) -> Result<&'a crate::native::RuntimePlaces> {
    let mut backend = std::ptr::null_mut();
    // SAFETY: the caller's promise; the result is written before it is read.
    check(unsafe { TRITONBACKEND_ModelBackend(model, &mut backend) })?;
    // SAFETY: a backend outlives its models, and its state is only read.
    Ok(unsafe { &*kept::<OfBackend>(backend)? })
}

/// What the model of `instance` keeps.
///
/// # Safety
/// `instance` is the server's and alive, and its model is initialized.
pub(super) unsafe fn model_of<'a>(instance: *mut ModelInstance) -> Result<&'a crate::model::Model> {
    let mut model = std::ptr::null_mut();
    // SAFETY: the caller's promise; the result is written before it is read.
    check(unsafe { TRITONBACKEND_ModelInstanceModel(instance, &mut model) })?;
    // SAFETY: a model outlives its instances, and its state is only read.
    Ok(unsafe { &*kept::<OfModel>(model)? })
}

/// Name and place of an instance.
///
/// # Safety
/// `instance` is the server's and alive.
pub(super) unsafe fn instance_place(instance: *mut ModelInstance) -> Result<(String, Device)> {
    let (mut name, mut kind, mut device) = (std::ptr::null(), 0, 0);
    // SAFETY: the caller's promise; the result is written before it is read.
    check(unsafe { TRITONBACKEND_ModelInstanceName(instance, &mut name) })?;
    // SAFETY: as before.
    check(unsafe { TRITONBACKEND_ModelInstanceKind(instance, &mut kind) })?;
    // SAFETY: as before.
    check(unsafe { TRITONBACKEND_ModelInstanceDeviceId(instance, &mut device) })?;
    // SAFETY: the server's texts end in a zero byte.
    let name = unsafe { text(name) };
    Ok((name, if kind == KIND_GPU { Device::Cuda(device) } else { Device::Cpu }))
}
