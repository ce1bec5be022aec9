//! Requests of one execution: read, answered, released.

use super::functions::{
    Input, MEMORY_CPU, MEMORY_GPU, RELEASE_ALL, RESPONSE_FINAL, Request as RawRequest, Response,
    TRITONBACKEND_InputBuffer, TRITONBACKEND_InputProperties, TRITONBACKEND_OutputBuffer,
    TRITONBACKEND_RequestInputByIndex, TRITONBACKEND_RequestInputCount, TRITONBACKEND_RequestOutputCount,
    TRITONBACKEND_RequestOutputName, TRITONBACKEND_RequestRelease, TRITONBACKEND_ResponseNew,
    TRITONBACKEND_ResponseOutput, TRITONBACKEND_ResponseSend, TRITONSERVER_ErrorDelete,
};
use super::log::{LogLevel, log};
use super::server::{c_string, check, raw_error, text};
use crate::batch::{InputTensor, RequestTensors};
use crate::{Error, Result};
use planforge_core::DataType;
use planforge_runtime::TensorView;
use std::cell::Cell;
use std::ffi::c_int;

/// `TRITONSERVER_DataType` of the element types that are handled.
const DATA_TYPES: [(c_int, DataType); 6] = [
    (1, DataType::Bool),
    (8, DataType::Int32),
    (9, DataType::Int64),
    (10, DataType::Fp16),
    (11, DataType::Fp32),
    (14, DataType::Bf16),
];

/// A request that belongs to this library. When it goes it is released, answered with an error if it has not been.
pub(super) struct Request {
    raw: *mut RawRequest,
    answered: Cell<bool>,
}

impl Request {
    /// Takes a request over.
    ///
    /// # Safety
    /// `raw` is a request that the server has handed to an execution, and no other code takes it.
    pub(super) const unsafe fn take(raw: *mut RawRequest) -> Self {
        Self { raw, answered: Cell::new(false) }
    }

    /// For statistics.
    pub(super) const fn raw(&self) -> *mut RawRequest {
        self.raw
    }

    /// Inputs and wanted outputs. Elements stay where the server has them, for as long as the request.
    pub(super) fn read(&self) -> Result<RequestTensors<'_>> {
        let (mut input_count, mut output_count) = (0, 0);
        // SAFETY: the request is alive; the result is written before it is read.
        check(unsafe { TRITONBACKEND_RequestInputCount(self.raw, &mut input_count) })?;
        // SAFETY: as before.
        check(unsafe { TRITONBACKEND_RequestOutputCount(self.raw, &mut output_count) })?;
        let mut inputs = (0..input_count).map(|index| self.input(index)).collect::<Result<Vec<_>>>()?;
        inputs.sort_by(|left, right| left.name.cmp(&right.name));
        let outputs = (0..output_count).map(|index| self.output_name(index)).collect::<Result<_>>()?;
        Ok(RequestTensors { inputs, outputs })
    }

    fn output_name(&self, index: u32) -> Result<String> {
        let mut name = std::ptr::null();
        // SAFETY: the request is alive; the result is written before it is read.
        check(unsafe { TRITONBACKEND_RequestOutputName(self.raw, index, &mut name) })?;
        // SAFETY: the server's texts end in a zero byte.
        Ok(unsafe { text(name) })
    }

    fn input(&self, index: u32) -> Result<InputTensor<'_>> {
        let mut input: *mut Input = std::ptr::null_mut();
        // SAFETY: the request is alive; the result is written before it is read.
        check(unsafe { TRITONBACKEND_RequestInputByIndex(self.raw, index, &mut input) })?;
        let (mut name, mut data_type, mut shape, mut rank) = (std::ptr::null(), 0, std::ptr::null(), 0);
        let (mut byte_count, mut buffer_count) = (0, 0);
        // SAFETY: the input is the request's; all results are written before they are read.
        check(unsafe {
            TRITONBACKEND_InputProperties(
                input,
                &mut name,
                &mut data_type,
                &mut shape,
                &mut rank,
                &mut byte_count,
                &mut buffer_count,
            )
        })?;
        // SAFETY: the server's texts end in a zero byte.
        let name = unsafe { text(name) };
        // SAFETY: the server reports this number of sizes at this address; they live as long as the request.
        let sizes = unsafe { slice(shape, rank as usize) };
        let unknown = || Error::Input { name: name.clone(), reason: "has a data type that is not handled".to_owned() };
        let known = DATA_TYPES.iter().find(|(number, _)| *number == data_type).ok_or_else(unknown)?;
        let pieces = (0..buffer_count).map(|index| self.piece((input, &name), index)).collect::<Result<_>>()?;
        let shape = sizes.iter().map(|&size| usize::try_from(size).unwrap_or(0)).collect();
        Ok(InputTensor { name, data_type: known.1, shape, pieces })
    }

    /// A part of an input's elements.
    fn piece(&self, (input, name): (*mut Input, &str), index: u32) -> Result<&[u8]> {
        let (mut buffer, mut byte_count, mut memory, mut memory_id) = (std::ptr::null(), 0, MEMORY_CPU, 0);
        // SAFETY: the input is the request's; all results are written before they are read.
        check(unsafe {
            TRITONBACKEND_InputBuffer(input, index, &mut buffer, &mut byte_count, &mut memory, &mut memory_id)
        })?;
        if memory == MEMORY_GPU {
            return Err(Error::Input {
                name: name.to_owned(),
                reason: "is in the memory of a GPU; expected main memory".to_owned(),
            });
        }
        // SAFETY: the server reports this number of bytes at this address, in main memory; they live as long as the request.
        Ok(unsafe { slice(buffer.cast(), usize::try_from(byte_count).unwrap_or(0)) })
    }

    /// Sends the answer. A failure to do so is the server's, and goes to its log.
    pub(super) fn answer(&self, outputs: Result<&[TensorView<'_>]>) {
        self.answered.set(true);
        if let Err(error) = self.send(outputs) {
            log(LogLevel::Error, &format!("planforge: a response could not be sent: {}", error.chain()));
        }
    }

    fn send(&self, outputs: Result<&[TensorView<'_>]>) -> Result<()> {
        let mut response: *mut Response = std::ptr::null_mut();
        // SAFETY: the request is alive; the result is written before it is read.
        check(unsafe { TRITONBACKEND_ResponseNew(&mut response, self.raw) })?;
        let filled = outputs.and_then(|outputs| outputs.iter().try_for_each(|output| add_output(response, output)));
        let error = filled.as_ref().map_or_else(raw_error, |()| std::ptr::null_mut());
        // SAFETY: the response is the server's from here on, whether or not it can be sent; the error is ours to delete.
        let sent = check(unsafe { TRITONBACKEND_ResponseSend(response, RESPONSE_FINAL, error) });
        if !error.is_null() {
            // SAFETY: it was made here and is not used afterwards.
            unsafe { TRITONSERVER_ErrorDelete(error) };
        }
        sent
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        if !self.answered.get() {
            self.answer(Err(Error::Panicked("a request was left unanswered".to_owned())));
        }
        // SAFETY: the request is ours, and nothing borrows from it any more.
        if let Err(error) = check(unsafe { TRITONBACKEND_RequestRelease(self.raw, RELEASE_ALL) }) {
            log(LogLevel::Error, &format!("planforge: a request could not be released: {}", error.chain()));
        }
    }
}

/// Copies an output into the buffer that the server gives for it.
fn add_output(response: *mut Response, output: &TensorView<'_>) -> Result<()> {
    let name = c_string(output.name);
    let shape: Vec<i64> = output.shape.iter().map(|&size| i64::try_from(size).unwrap_or(i64::MAX)).collect();
    let number = DATA_TYPES.iter().find(|(_, data_type)| *data_type == output.data_type);
    let (data_type, _) = number.expect("every element type has its number");
    let rank = u32::try_from(shape.len()).unwrap_or(u32::MAX);
    let mut raw = std::ptr::null_mut();
    // SAFETY: the response is not sent yet; name and shape outlive the call, which copies them.
    check(unsafe {
        TRITONBACKEND_ResponseOutput(response, &mut raw, name.as_ptr(), *data_type, shape.as_ptr(), rank)
    })?;
    let (mut buffer, mut memory, mut memory_id) = (std::ptr::null_mut(), MEMORY_CPU, 0);
    let byte_count = output.bytes.len();
    // SAFETY: the output is the response's; all results are written before they are read.
    check(unsafe { TRITONBACKEND_OutputBuffer(raw, &mut buffer, byte_count as u64, &mut memory, &mut memory_id) })?;
    if memory == MEMORY_GPU {
        return Err(Error::Server(format!("the server wants output `{}` in the memory of a GPU", output.name)));
    }
    if byte_count > 0 {
        // SAFETY: the server gave a buffer of this size in main memory; ONNX Runtime's output is in other memory.
        unsafe { std::ptr::copy_nonoverlapping(output.bytes.as_ptr(), buffer.cast::<u8>(), byte_count) };
    }
    Ok(())
}

/// `count` elements at `start`, which may be null where there are none.
///
/// # Safety
/// `pointer` has that number of elements, and they live for `'a`.
unsafe fn slice<'a, T>(start: *const T, count: usize) -> &'a [T] {
    if count == 0 || start.is_null() {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts(start, count) }
}
