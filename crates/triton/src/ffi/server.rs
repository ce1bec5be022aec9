//! Errors, texts and the clock that this library and the server share.

use super::functions::{
    ERROR_INTERNAL, ERROR_INVALID_ARGUMENT, ERROR_UNSUPPORTED, INTERFACE, Message, Status, TRITONBACKEND_ApiVersion,
    TRITONSERVER_ErrorDelete, TRITONSERVER_ErrorMessage, TRITONSERVER_ErrorNew, TRITONSERVER_MessageDelete,
    TRITONSERVER_MessageSerializeToJson, malloc_trim,
};
use crate::{Error, Result};
use planforge_core::ErrorKind;
use rustix::time::{ClockId, clock_gettime};
use std::ffi::{CStr, CString, c_char, c_int};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs what an entry point does; errors and panics become the server's error.
pub(super) fn guarded(work: impl FnOnce() -> Result<()>) -> Status {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(())) => std::ptr::null_mut(),
        Ok(Err(error)) => raw_error(&error),
        Err(panic) => raw_error(&Error::Panicked(panic_text(&*panic))),
    }
}

pub(super) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without a message".to_owned())
}

/// The result of a call of the server.
pub(super) fn check(status: Status) -> Result<()> {
    if status.is_null() {
        return Ok(());
    }
    // SAFETY: a status that is not null is an error that the caller owns; its text lives as long as it does.
    let message = unsafe { CStr::from_ptr(TRITONSERVER_ErrorMessage(status)) }.to_string_lossy().into_owned();
    // SAFETY: it is owned, and not used afterwards.
    unsafe { TRITONSERVER_ErrorDelete(status) };
    Err(Error::Server(message))
}

/// An error that the server, or the caller, has to delete.
pub(super) fn raw_error(error: &Error) -> Status {
    let code = match error {
        Error::Interface { .. } | Error::Engine { .. } | Error::FileKind { .. } => ERROR_UNSUPPORTED,
        _ if error.kind() == ErrorKind::BadInput => ERROR_INVALID_ARGUMENT,
        _ => ERROR_INTERNAL,
    };
    let hint = error.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
    let text = c_string(&(error.chain() + &hint));
    // SAFETY: the text ends in a zero byte; the server copies it.
    unsafe { TRITONSERVER_ErrorNew(code, text.as_ptr()) }
}

/// Text for the server; a zero byte would end it early.
pub(super) fn c_string(text: &str) -> CString {
    CString::new(text.replace('\0', " ")).unwrap_or_default()
}

/// Text of the server's, copied.
///
/// # Safety
/// `text` is null or ends in a zero byte.
pub(super) unsafe fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// JSON of a message, which is deleted afterwards where `owned`.
///
/// # Safety
/// `message` is one of the server's.
pub(super) unsafe fn json(message: *mut Message, owned: bool) -> Result<String> {
    let (mut base, mut byte_count) = (std::ptr::null(), 0);
    // SAFETY: the caller's promise; both results are written before they are read, as `check` sees to.
    let status = unsafe { TRITONSERVER_MessageSerializeToJson(message, &mut base, &mut byte_count) };
    let json = check(status).map(|()| {
        // SAFETY: the server has just reported this number of bytes at this address; they live as long as the message.
        let bytes = unsafe { std::slice::from_raw_parts(base.cast::<u8>(), byte_count) };
        String::from_utf8_lossy(bytes).into_owned()
    });
    if owned {
        // SAFETY: the message is owned and not used afterwards.
        check(unsafe { TRITONSERVER_MessageDelete(message) })?;
    }
    json
}

/// The server offers what this backend needs.
pub(super) fn check_interface() -> Result<()> {
    let (mut major, mut minor) = (0, 0);
    // SAFETY: both numbers are written before they are read.
    check(unsafe { TRITONBACKEND_ApiVersion(&mut major, &mut minor) })?;
    if major == INTERFACE.0 && minor >= INTERFACE.1 {
        return Ok(());
    }
    let needed = format!("{}.{} or a later {}", INTERFACE.0, INTERFACE.1, INTERFACE.0);
    Err(Error::Interface { found: format!("{major}.{minor}"), needed })
}

/// The clock of the server's statistics, in nanoseconds.
pub(super) fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// Returns the memory of an unloaded model to the system. The server runs for weeks, and glibc keeps what is
/// below anything still in use.
pub(super) fn trim_memory() -> c_int {
    // SAFETY: it may be called at any time, from any thread.
    unsafe { malloc_trim(0) }
}
