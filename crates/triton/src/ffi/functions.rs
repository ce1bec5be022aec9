//! The server's functions that are used, and the types they speak of, as `tritonbackend.h` and `tritonserver.h` of
//! triton-inference-server/core describe them. They come from the process that opens this library.

use std::ffi::{CStr, c_char, c_int, c_void};

/// Declares types that only the server can look into.
macro_rules! opaque {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        $($(#[$doc])* #[repr(C)] pub(super) struct $name { private: [u8; 0] })*
    };
}

opaque! {
    /// `TRITONSERVER_Error`; null is success.
    ServerError,
    /// `TRITONSERVER_Message`: JSON.
    Message,
    /// `TRITONBACKEND_Backend`.
    Backend,
    /// `TRITONBACKEND_BackendAttribute`.
    BackendAttribute,
    /// `TRITONBACKEND_Model`.
    Model,
    /// `TRITONBACKEND_ModelInstance`.
    ModelInstance,
    /// `TRITONBACKEND_Request`.
    Request,
    /// `TRITONBACKEND_Input`.
    Input,
    /// `TRITONBACKEND_Response`.
    Response,
    /// `TRITONBACKEND_Output`.
    Output,
}

/// What most functions return.
pub(super) type Status = *mut ServerError;

/// Version of the interface that this backend is written for: that of Triton 2.41 (23.12).
pub(super) const INTERFACE: (u32, u32) = (1, 17);
/// `TRITONSERVER_RESPONSE_COMPLETE_FINAL`.
pub(super) const RESPONSE_FINAL: u32 = 1;
/// `TRITONSERVER_REQUEST_RELEASE_ALL`.
pub(super) const RELEASE_ALL: u32 = 1;
/// `TRITONSERVER_MEMORY_CPU`.
pub(super) const MEMORY_CPU: c_int = 0;
/// `TRITONSERVER_MEMORY_GPU`.
pub(super) const MEMORY_GPU: c_int = 2;
/// `TRITONSERVER_ERROR_INTERNAL`.
pub(super) const ERROR_INTERNAL: c_int = 1;
/// `TRITONSERVER_ERROR_INVALID_ARG`.
pub(super) const ERROR_INVALID_ARGUMENT: c_int = 3;
/// `TRITONSERVER_ERROR_UNSUPPORTED`.
pub(super) const ERROR_UNSUPPORTED: c_int = 5;
/// `TRITONSERVER_INSTANCEGROUPKIND_CPU`.
pub(super) const KIND_CPU: c_int = 1;
/// `TRITONSERVER_INSTANCEGROUPKIND_GPU`.
pub(super) const KIND_GPU: c_int = 2;

/// `TRITONBACKEND_BackendAttributeSetParallelModelInstanceLoading`: Triton 2.37 (23.08) has it first. It is looked up by its
/// name, so that this library can be opened by an earlier server, and then say what it needs.
pub(super) type SetParallelLoading = unsafe extern "C" fn(attribute: *mut BackendAttribute, enabled: bool) -> Status;
/// Its name.
pub(super) const SET_PARALLEL_LOADING: &CStr = c"TRITONBACKEND_BackendAttributeSetParallelModelInstanceLoading";

unsafe extern "C" {
    pub(super) fn TRITONSERVER_ErrorNew(code: c_int, message: *const c_char) -> Status;
    pub(super) fn TRITONSERVER_ErrorDelete(error: Status);
    pub(super) fn TRITONSERVER_ErrorMessage(error: Status) -> *const c_char;
    pub(super) fn TRITONSERVER_LogIsEnabled(level: c_int) -> bool;
    pub(super) fn TRITONSERVER_LogMessage(
        level: c_int,
        file: *const c_char,
        line: c_int,
        message: *const c_char,
    ) -> Status;
    pub(super) fn TRITONSERVER_MessageSerializeToJson(
        message: *mut Message,
        base: *mut *const c_char,
        byte_count: *mut usize,
    ) -> Status;
    pub(super) fn TRITONSERVER_MessageDelete(message: *mut Message) -> Status;

    pub(super) fn TRITONBACKEND_ApiVersion(major: *mut u32, minor: *mut u32) -> Status;
    pub(super) fn TRITONBACKEND_BackendConfig(backend: *mut Backend, config: *mut *mut Message) -> Status;
    pub(super) fn TRITONBACKEND_BackendArtifacts(
        backend: *mut Backend,
        kind: *mut c_int,
        location: *mut *const c_char,
    ) -> Status;
    pub(super) fn TRITONBACKEND_BackendState(backend: *mut Backend, state: *mut *mut c_void) -> Status;
    pub(super) fn TRITONBACKEND_BackendSetState(backend: *mut Backend, state: *mut c_void) -> Status;
    pub(super) fn TRITONBACKEND_BackendAttributeAddPreferredInstanceGroup(
        attribute: *mut BackendAttribute,
        kind: c_int,
        count: u64,
        device_ids: *const u64,
        device_id_count: u64,
    ) -> Status;

    pub(super) fn TRITONBACKEND_ModelConfig(model: *mut Model, version: u32, config: *mut *mut Message) -> Status;
    pub(super) fn TRITONBACKEND_ModelRepository(
        model: *mut Model,
        kind: *mut c_int,
        location: *mut *const c_char,
    ) -> Status;
    pub(super) fn TRITONBACKEND_ModelVersion(model: *mut Model, version: *mut u64) -> Status;
    pub(super) fn TRITONBACKEND_ModelBackend(model: *mut Model, backend: *mut *mut Backend) -> Status;
    pub(super) fn TRITONBACKEND_ModelState(model: *mut Model, state: *mut *mut c_void) -> Status;
    pub(super) fn TRITONBACKEND_ModelSetState(model: *mut Model, state: *mut c_void) -> Status;

    pub(super) fn TRITONBACKEND_ModelInstanceName(instance: *mut ModelInstance, name: *mut *const c_char) -> Status;
    pub(super) fn TRITONBACKEND_ModelInstanceKind(instance: *mut ModelInstance, kind: *mut c_int) -> Status;
    pub(super) fn TRITONBACKEND_ModelInstanceDeviceId(instance: *mut ModelInstance, device: *mut i32) -> Status;
    pub(super) fn TRITONBACKEND_ModelInstanceModel(instance: *mut ModelInstance, model: *mut *mut Model) -> Status;
    pub(super) fn TRITONBACKEND_ModelInstanceState(instance: *mut ModelInstance, state: *mut *mut c_void) -> Status;
    pub(super) fn TRITONBACKEND_ModelInstanceSetState(instance: *mut ModelInstance, state: *mut c_void) -> Status;
    pub(super) fn TRITONBACKEND_ModelInstanceReportStatistics(
        instance: *mut ModelInstance,
        request: *mut Request,
        success: bool,
        execution_start: u64,
        compute_start: u64,
        compute_end: u64,
        execution_end: u64,
    ) -> Status;
    pub(super) fn TRITONBACKEND_ModelInstanceReportBatchStatistics(
        instance: *mut ModelInstance,
        batch_size: u64,
        execution_start: u64,
        compute_start: u64,
        compute_end: u64,
        execution_end: u64,
    ) -> Status;

    pub(super) fn TRITONBACKEND_RequestInputCount(request: *mut Request, count: *mut u32) -> Status;
    pub(super) fn TRITONBACKEND_RequestInputByIndex(
        request: *mut Request,
        index: u32,
        input: *mut *mut Input,
    ) -> Status;
    pub(super) fn TRITONBACKEND_RequestOutputCount(request: *mut Request, count: *mut u32) -> Status;
    pub(super) fn TRITONBACKEND_RequestOutputName(
        request: *mut Request,
        index: u32,
        name: *mut *const c_char,
    ) -> Status;
    pub(super) fn TRITONBACKEND_RequestRelease(request: *mut Request, flags: u32) -> Status;
    pub(super) fn TRITONBACKEND_InputProperties(
        input: *mut Input,
        name: *mut *const c_char,
        data_type: *mut c_int,
        shape: *mut *const i64,
        dimension_count: *mut u32,
        byte_count: *mut u64,
        buffer_count: *mut u32,
    ) -> Status;
    pub(super) fn TRITONBACKEND_InputBuffer(
        input: *mut Input,
        index: u32,
        buffer: *mut *const c_void,
        byte_count: *mut u64,
        memory: *mut c_int,
        memory_id: *mut i64,
    ) -> Status;

    pub(super) fn TRITONBACKEND_ResponseNew(response: *mut *mut Response, request: *mut Request) -> Status;
    pub(super) fn TRITONBACKEND_ResponseOutput(
        response: *mut Response,
        output: *mut *mut Output,
        name: *const c_char,
        data_type: c_int,
        shape: *const i64,
        dimension_count: u32,
    ) -> Status;
    pub(super) fn TRITONBACKEND_OutputBuffer(
        output: *mut Output,
        buffer: *mut *mut c_void,
        byte_count: u64,
        memory: *mut c_int,
        memory_id: *mut i64,
    ) -> Status;
    pub(super) fn TRITONBACKEND_ResponseSend(response: *mut Response, flags: u32, error: Status) -> Status;

    /// glibc: finds a function by its name; a null `handle` looks in what the process has loaded.
    pub(super) fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
    /// glibc: gives free memory back to the system.
    pub(super) fn malloc_trim(keep: usize) -> c_int;
}
