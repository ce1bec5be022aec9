//! Messages of the library, and the logger that receives them.
#![expect(unsafe_code, reason = "the library calls back with pointers")]

use crate::Severity;
use std::cell::RefCell;
use std::ffi::{CStr, c_char, c_void};
use trtx::trtx_sys;

/// Error messages kept of one call.
const KEPT_MESSAGES: usize = 8;

thread_local! {
    /// The library's last messages in this thread.
    static MESSAGES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Where the library's messages go.
pub(super) type Sink = fn(Severity, &str);

/// The logger of the process; it is never freed.
pub(super) fn logger(sink: Sink) -> *mut c_void {
    let sink: &'static Sink = Box::leak(Box::new(sink));
    let user_data = std::ptr::from_ref(sink).cast_mut().cast::<c_void>();
    // SAFETY: the bridge hands the pointer to the function, which reads what it points to and which never goes.
    unsafe { trtx_sys::get_logger_interface(trtx_sys::create_rust_logger_bridge(on_message, user_data)) }
}

/// Called by the library in any of its threads.
unsafe extern "C" fn on_message(user_data: *mut c_void, severity: i32, message: *const c_char) {
    if user_data.is_null() || message.is_null() {
        return;
    }
    // SAFETY: `logger` made the pointer; the library's messages are C strings.
    let (sink, message) = unsafe { (&*user_data.cast::<Sink>(), CStr::from_ptr(message)) };
    let message = message.to_string_lossy();
    let severity = match severity {
        0 | 1 => Severity::Error,
        2 => Severity::Warning,
        3 => Severity::Info,
        _ => Severity::Verbose,
    };
    if severity == Severity::Error {
        // A thread that is ending has no messages any more.
        let _ = MESSAGES.try_with(|messages| {
            let mut messages = messages.borrow_mut();
            if messages.len() == KEPT_MESSAGES {
                messages.remove(0);
            }
            messages.push(message.clone().into_owned());
        });
    }
    sink(severity, &message);
}

pub(super) fn clear_messages() {
    MESSAGES.with(|messages| messages.borrow_mut().clear());
}

/// The last errors of this thread.
pub(super) fn messages() -> String {
    let messages = MESSAGES.with(RefCell::take);
    let tail = messages.len().saturating_sub(3);
    if messages.is_empty() { "the library gave no reason".to_owned() } else { messages[tail..].join("; ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CString;

    #[test]
    fn messages_are_the_last_errors_of_this_thread() {
        fn quiet(_: Severity, _: &str) {}
        let sink: Sink = quiet;
        let user_data = std::ptr::from_ref(&sink).cast_mut().cast::<c_void>();
        let say = |severity, text: &str| {
            let text = CString::new(text).unwrap();
            // SAFETY: the pointers are alive during the call.
            unsafe { on_message(user_data, severity, text.as_ptr()) };
        };
        clear_messages();
        for number in 0..20 {
            say(1, &format!("error {number}"));
            say(3, "information");
        }
        std::thread::spawn(|| assert_eq!(messages(), "the library gave no reason")).join().unwrap();
        assert_eq!(messages(), "error 17; error 18; error 19");
        assert_eq!(messages(), "the library gave no reason");
    }
}
