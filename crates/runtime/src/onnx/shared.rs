//! One session of ONNX Runtime that several callers run at once.
//!
//! ONNX Runtime promises that `Run` of one session may be called from many threads at once, and its CPU provider keeps
//! that promise; its GPU providers do not all. `ort` lets only one caller run a session with any provider, so the
//! calls are made here, through its C API.

#![expect(unsafe_code, reason = "concurrent runs are calls of ONNX Runtime's C API")]

use super::options::{Device, SessionOptions};
use super::stop::RunStop;
use ort::session::{Session, SessionInputValue};
use ort::sys::{OrtRunOptions, OrtStatus, OrtStatusPtr, OrtValue};
use ort::value::DynValue;
use ort::{AsPointer, Error};
use std::ffi::{CString, c_char, c_void};
use std::ptr::{self, NonNull};
use std::sync::{Arc, Condvar, Mutex, PoisonError, TryLockError};

/// A loaded session.
pub(super) struct Shared {
    session: Session,
    turns: Turns,
}

/// How callers share the threads of a session.
enum Turns {
    /// Each does all the work of its run on its own thread.
    Own,
    /// One at a time leads: its thread works, and idle threads of the session's pool help. Whoever comes meanwhile has
    /// its run done by a thread of the pool, so that there are never more threads at work than the session has.
    Leader(Mutex<()>),
    /// One after the other.
    Single(Mutex<()>),
}

impl Shared {
    pub(super) fn new(session: Session, options: &SessionOptions) -> Self {
        let turns = if options.device != Device::Cpu || options.inter_op_threads > 1 {
            Turns::Single(Mutex::default())
        } else if options.intra_op_threads > 1 {
            Turns::Leader(Mutex::default())
        } else {
            Turns::Own
        };
        Self { session, turns }
    }

    /// Runs the session on named inputs and returns the named outputs, in that order, until `stop` ends it.
    pub(super) fn run(
        &self,
        inputs: &[(CString, SessionInputValue<'_>)],
        outputs: &[CString],
        stop: Option<&RunStop>,
    ) -> ort::Result<Vec<DynValue>> {
        let mut call = Call::new(inputs, outputs, stop);
        match &self.turns {
            Turns::Own => self.run_here(&mut call)?,
            Turns::Single(turn) => {
                let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
                self.run_here(&mut call)?;
            }
            Turns::Leader(lead) => match lead.try_lock() {
                Ok(_lead) => self.run_here(&mut call)?,
                Err(TryLockError::Poisoned(_lead)) => self.run_here(&mut call)?,
                Err(TryLockError::WouldBlock) => self.run_in_pool(&mut call)?,
            },
        }
        call.take(&self.session)
    }

    fn run_here(&self, call: &mut Call) -> ort::Result<()> {
        // SAFETY: the pointers in `call` are to values, names and options that its maker borrows, and to room for as many outputs
        // as it names; the session lives as long as `self`, and concurrent runs of it are allowed (see above).
        unsafe {
            let session = self.session.ptr().cast_mut();
            let (names, values, count, wanted, wanted_count, outputs) = call.arguments();
            let status = (ort::api().Run)(session, call.options, names, values, count, wanted, wanted_count, outputs);
            Error::result_from_status(status)
        }
    }

    /// Has a thread of the session's pool do it, and sleeps until it is done.
    fn run_in_pool(&self, call: &mut Call) -> ort::Result<()> {
        let done = Arc::new(Done::default());
        // SAFETY: as in `run_here`. What the pool's thread uses lives until it has called back, because this function does
        // not return before; where the call is refused, nothing was begun and there is no callback. The callback takes the
        // count of `done` that is given away here.
        unsafe {
            let theirs = Arc::into_raw(Arc::clone(&done));
            let session = self.session.ptr().cast_mut();
            let (names, values, count, wanted, wanted_count, outputs) = call.arguments();
            let (callback, user_data) = (Some(finished as _), theirs.cast_mut().cast());
            let status = (ort::api().RunAsync)(
                session,
                call.options,
                names,
                values,
                count,
                wanted,
                wanted_count,
                outputs,
                callback,
                user_data,
            );
            if let Err(error) = Error::result_from_status(status) {
                drop(Arc::from_raw(theirs));
                return Err(error);
            }
            Error::result_from_status(OrtStatusPtr(done.wait().0))
        }
    }
}

/// Names and values of inputs and their number, names of outputs and their number, room for outputs.
type Arguments = (*const *const c_char, *const *const OrtValue, usize, *const *const c_char, usize, *mut *mut OrtValue);

/// A run.
struct Call {
    options: *const OrtRunOptions,
    input_names: Vec<*const c_char>,
    inputs: Vec<*const OrtValue>,
    output_names: Vec<*const c_char>,
    outputs: Vec<*mut OrtValue>,
}

impl Call {
    fn new(inputs: &[(CString, SessionInputValue<'_>)], outputs: &[CString], stop: Option<&RunStop>) -> Self {
        Self {
            options: stop.map_or(ptr::null(), |stop| stop.options().ptr()),
            input_names: inputs.iter().map(|(name, _)| name.as_ptr()).collect(),
            inputs: inputs.iter().map(|(_, value)| value.ptr()).collect(),
            output_names: outputs.iter().map(|name| name.as_ptr()).collect(),
            outputs: vec![ptr::null_mut(); outputs.len()],
        }
    }

    /// As `Run` and `RunAsync` take them.
    fn arguments(&mut self) -> Arguments {
        let (inputs, outputs) = (self.inputs.len(), self.output_names.len());
        let names = (self.input_names.as_ptr(), self.output_names.as_ptr());
        (names.0, self.inputs.as_ptr(), inputs, names.1, outputs, self.outputs.as_mut_ptr())
    }

    /// The outputs of a run that went well.
    fn take(mut self, session: &Session) -> ort::Result<Vec<DynValue>> {
        let outputs = std::mem::take(&mut self.outputs);
        if outputs.iter().any(|output| output.is_null()) {
            self.outputs = outputs;
            return Err(Error::new("ONNX Runtime left out an output"));
        }
        let allocator = session.allocator();
        let owned = |output: *mut OrtValue| {
            // SAFETY: ONNX Runtime made the value with the session's allocator and left it to its caller; it is not null.
            unsafe { DynValue::from_ptr(NonNull::new_unchecked(output), Some(allocator)) }
        };
        Ok(outputs.into_iter().map(owned).collect())
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        for output in self.outputs.drain(..).filter(|output| !output.is_null()) {
            // SAFETY: a value that ONNX Runtime left to its caller, and that was not taken.
            unsafe { (ort::api().ReleaseValue)(output) };
        }
    }
}

/// Where a caller waits for the end of its run.
#[derive(Default)]
struct Done {
    status: Mutex<Option<Status>>,
    changed: Condvar,
}

/// What a run ended with: null where it went well.
struct Status(*mut OrtStatus);

// SAFETY: a status belongs to no thread.
unsafe impl Send for Status {}

impl Done {
    fn wait(&self) -> Status {
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match status.take() {
                Some(status) => return status,
                None => status = self.changed.wait(status).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

/// Called by a thread of the pool, once for each run that it did.
unsafe extern "C" fn finished(done: *mut c_void, _outputs: *mut *mut OrtValue, _count: usize, status: OrtStatusPtr) {
    // SAFETY: it is the count that `run_in_pool` gave away for this call.
    let done = unsafe { Arc::from_raw(done.cast_const().cast::<Done>()) };
    *done.status.lock().unwrap_or_else(PoisonError::into_inner) = Some(Status(status.0));
    done.changed.notify_one();
}
