//! The server's log.

use super::functions::TRITONSERVER_LogMessage;
use super::server::{c_string, check};
use std::ffi::c_int;

/// How much a line matters, as `TRITONSERVER_LogLevel` numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub(super) enum LogLevel {
    Info = 0,
    Warning = 1,
    Error = 2,
}

/// Writes a line.
pub(super) fn log(level: LogLevel, text: &str) {
    let text = c_string(text);
    // SAFETY: both texts end in a zero byte and outlive the call.
    let status = unsafe { TRITONSERVER_LogMessage(level as c_int, c"planforge".as_ptr(), 0, text.as_ptr()) };
    // There is nowhere left to tell that a line could not be written.
    let _ = check(status);
}
