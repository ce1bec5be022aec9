//! The server's log, and what ONNX Runtime and TensorRT say in it: the crates below tell it by `tracing`.

use super::functions::{TRITONSERVER_LogIsEnabled, TRITONSERVER_LogMessage};
use super::server::{c_string, check};
use std::ffi::c_int;
use std::fmt::{Debug, Write};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};

/// How much a line matters, as `TRITONSERVER_LogLevel` numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub(super) enum LogLevel {
    Info = 0,
    Warning = 1,
    Error = 2,
    Verbose = 3,
}

/// Writes a line.
pub(super) fn log(level: LogLevel, text: &str) {
    let text = c_string(text);
    // SAFETY: both texts end in a zero byte and outlive the call.
    let status = unsafe { TRITONSERVER_LogMessage(level as c_int, c"planforge".as_ptr(), 0, text.as_ptr()) };
    // There is nowhere left to tell that a line could not be written.
    let _ = check(status);
}

/// From here on, what this library tells by `tracing` is in the server's log.
pub(super) fn listen() {
    // SAFETY: it may be called at any time, from any thread.
    let is_enabled = |level| unsafe { TRITONSERVER_LogIsEnabled(level as c_int) };
    // It fails where that was done before.
    let _ = tracing::subscriber::set_global_default(Listener { is_enabled, write: log });
}

/// Writes events as lines; there are no spans.
struct Listener<E, W> {
    is_enabled: E,
    write: W,
}

impl<E, W> Subscriber for Listener<E, W>
where
    E: Fn(LogLevel) -> bool + 'static,
    W: Fn(LogLevel, &str) + 'static,
{
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        // The server's levels may be changed while it runs.
        if level_of(*metadata.level()).is_some() { Interest::sometimes() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        level_of(*metadata.level()).is_some_and(&self.is_enabled)
    }

    fn event(&self, event: &Event<'_>) {
        let Some(level) = level_of(*event.metadata().level()) else { return };
        let mut line = Line::default();
        event.record(&mut line);
        (self.write)(level, &line.into_text());
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// Everything but traces, of which the libraries send many.
fn level_of(level: Level) -> Option<LogLevel> {
    match level {
        Level::ERROR => Some(LogLevel::Error),
        Level::WARN => Some(LogLevel::Warning),
        Level::INFO => Some(LogLevel::Info),
        Level::DEBUG => Some(LogLevel::Verbose),
        _ => None,
    }
}

/// An event as text: `planforge: ONNX Runtime: out of data (category onnxruntime)`.
#[derive(Debug, Default)]
struct Line {
    messages: String,
    fields: String,
}

impl Line {
    fn into_text(self) -> String {
        let Self { messages, fields } = self;
        if fields.is_empty() { format!("planforge{messages}") } else { format!("planforge{messages} ({fields})") }
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let written = if field.name() == "message" {
            write!(self.messages, ": {value:?}")
        } else {
            let separator = if self.fields.is_empty() { "" } else { ", " };
            write!(self.fields, "{separator}{} {value:?}", field.name())
        };
        written.expect("writing into a string cannot fail");
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[test]
    fn events_are_lines() {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&lines);
        let write = move |level, text: &str| kept.lock().unwrap().push((level, text.to_owned()));
        tracing::subscriber::with_default(Listener { is_enabled: |_| true, write }, || {
            let message = "index 7 is out of bounds";
            tracing::warn!(category = "onnxruntime", count = 2, message, "ONNX Runtime");
            tracing::debug!("alone");
            tracing::trace!("much");
        });
        let told = lines.lock().unwrap().clone();
        let first = "planforge: ONNX Runtime: index 7 is out of bounds (category onnxruntime, count 2)";
        let expected = [(LogLevel::Warning, first), (LogLevel::Verbose, "planforge: alone")];
        assert_eq!(told, expected.map(|(level, text)| (level, text.to_owned())));
    }
}
