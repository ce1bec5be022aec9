//! What runs an engine, with buffers and a stream of its own.
#![expect(unsafe_code, reason = "the library trusts the stream and the addresses that it is given")]

use super::device::{Gpu, Pair};
use super::engine::LoadedEngine;
use super::native::{NativeContext, c_name};
use super::options::ExecutionOptions;
use super::profiles::choose_profile;
use crate::gpu::cuda_error;
use crate::{EngineTensor, Error, Result};
use cudarc::driver::{CudaEvent, CudaStream, sys::CUevent_flags};
use std::ffi::{CString, c_void};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// An input of a run.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its shape.
    pub shape: &'a [i64],
    /// Its elements in row-major order.
    pub bytes: &'a [u8],
}

/// An output of the last run.
#[derive(Debug, Clone, Copy)]
pub struct Output<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its shape.
    pub shape: &'a [i64],
    /// Its elements in row-major order.
    pub bytes: &'a [u8],
}

/// What the parts of a run took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timings {
    /// Inputs from the host to the GPU, by the GPU's events.
    pub upload: Duration,
    /// The kernels, by the GPU's events.
    pub compute: Duration,
    /// Outputs from the GPU to the host, by the GPU's events.
    pub download: Duration,
    /// The library's call that starts the kernels, by the host's clock.
    pub enqueue: Duration,
}

/// What runs an engine. One run at a time.
pub struct Execution {
    /// None only while this is dropped.
    context: Option<NativeContext>,
    inputs: Vec<Binding>,
    outputs: Vec<Binding>,
    profile: usize,
    /// Whether the shapes of the bindings are those that the context has.
    is_shaped: bool,
    events: Option<[CudaEvent; 4]>,
    timings: Timings,
    stream: Arc<CudaStream>,
    /// Declared last: the engine outlives what runs it.
    engine: LoadedEngine,
}

/// A tensor with its memory.
struct Binding {
    name: String,
    c_name: CString,
    element_byte_count: usize,
    shape: Vec<i64>,
    byte_count: usize,
    memory: Pair,
}

impl LoadedEngine {
    /// What runs it, with memory for intermediate values of its own. Several may run at once.
    ///
    /// # Errors
    /// [`Error::Execution`], [`Error::Cuda`].
    pub fn execution(&self, options: ExecutionOptions) -> Result<Execution> {
        Execution::new(self, options)
    }
}

impl Execution {
    fn new(engine: &LoadedEngine, options: ExecutionOptions) -> Result<Self> {
        let gpu = engine.gpu();
        let bindings = |tensors: &[EngineTensor]| {
            tensors.iter().map(|tensor| Binding::new(tensor, gpu)).collect::<Result<Vec<_>>>()
        };
        let interface = engine.interface();
        let (inputs, outputs) = (bindings(&interface.inputs)?, bindings(&interface.outputs)?);
        let event = || gpu.context.new_event(Some(CUevent_flags::CU_EVENT_DEFAULT)).map_err(cuda_error);
        let events = if options.timings { Some([event()?, event()?, event()?, event()?]) } else { None };
        let stream = gpu.context.new_stream().map_err(cuda_error)?;
        Ok(Self {
            context: Some(engine.context(options)?),
            inputs,
            outputs,
            profile: 0,
            is_shaped: false,
            events,
            timings: Timings::default(),
            stream,
            engine: engine.clone(),
        })
    }

    /// The engine that it runs.
    #[must_use]
    pub const fn engine(&self) -> &LoadedEngine {
        &self.engine
    }

    /// What the parts of the last run took; zeros where runs are not timed.
    #[must_use]
    pub const fn timings(&self) -> Timings {
        self.timings
    }

    /// Outputs of the last run, in the engine's order.
    pub fn outputs(&self) -> impl Iterator<Item = Output<'_>> {
        self.outputs.iter().map(|output| Output {
            name: &output.name,
            shape: &output.shape,
            bytes: output.memory.host.bytes(output.byte_count),
        })
    }

    /// Runs the engine on `inputs`, which are all of its inputs in any order, and waits for its outputs.
    ///
    /// # Errors
    /// [`Error::Tensor`] for inputs that are missing or whose elements do not fill their shape, [`Error::Shape`] for shapes
    /// beyond all profiles, [`Error::Execution`] with the library's own words, [`Error::Cuda`].
    pub fn run(&mut self, inputs: &[Input<'_>]) -> Result<()> {
        self.engine.gpu().enter()?;
        let result = self.shape_for(inputs).and_then(|()| self.copy_and_run(inputs));
        // The buffers are the GPU's until its work is done, whether or not all of it was started.
        let finished = self.stream.synchronize().map_err(cuda_error);
        self.is_shaped = result.is_ok() && finished.is_ok();
        result.and(finished)?;
        self.read_events()
    }

    /// Sets profile, shapes and addresses, unless they are those of the run before.
    fn shape_for(&mut self, inputs: &[Input<'_>]) -> Result<()> {
        let mut is_same = self.is_shaped;
        for binding in &mut self.inputs {
            let input = find(inputs, &binding.name)?;
            is_same &= binding.shape == input.shape;
            binding.shape = input.shape.to_vec();
            binding.byte_count = binding.bytes_of(input.shape)?;
            if binding.byte_count != input.bytes.len() {
                let (found, needed) = (input.bytes.len(), binding.byte_count);
                let reason = format!("has {found} bytes, its shape {:?} needs {needed}", input.shape);
                return Err(Error::Tensor { name: binding.name.clone(), reason });
            }
        }
        if is_same {
            return Ok(());
        }
        let shapes: Vec<_> = self.inputs.iter().map(|input| (input.name.as_str(), input.shape.as_slice())).collect();
        let profile = choose_profile(&self.engine.interface().profiles, &shapes)?;
        let stream = self.raw_stream();
        let context = self.context.as_mut().expect("it is there until it is dropped");
        if profile != self.profile {
            // SAFETY: the stream is of the engine's GPU, which `run` has entered.
            unsafe { context.set_profile(i32::try_from(profile).unwrap_or(i32::MAX), stream) }?;
            self.profile = profile;
        }
        for input in &self.inputs {
            context.set_shape(&input.c_name, &input.shape)?;
        }
        for output in &mut self.outputs {
            output.shape = context.shape(&output.c_name).ok_or_else(|| output.fault("has no shape"))?;
            output.byte_count = output.bytes_of(&output.shape)?;
        }
        let inputs = self.inputs.iter_mut().map(|input| (0, input));
        let outputs = self.outputs.iter_mut().map(|output| (context.most_bytes(&output.c_name), output));
        let bindings: Vec<_> = inputs.chain(outputs).collect();
        for (most, binding) in bindings {
            let address = binding.memory.reserve(binding.byte_count, most)?;
            // SAFETY: the driver aligns memory to 256 bytes; it stays with this execution, which lives as long as the
            // context, and grows only here.
            unsafe { context.set_address(&binding.c_name, address) }?;
        }
        Ok(())
    }

    fn copy_and_run(&mut self, inputs: &[Input<'_>]) -> Result<()> {
        for binding in &mut self.inputs {
            let input = find(inputs, &binding.name)?;
            binding.memory.host.bytes_mut(binding.byte_count).copy_from_slice(input.bytes);
        }
        self.record(0)?;
        for binding in &self.inputs {
            binding.memory.start_upload(binding.byte_count, &self.stream)?;
        }
        self.record(1)?;
        let stream = self.raw_stream();
        let start = Instant::now();
        let context = self.context.as_mut().expect("it is there until it is dropped");
        // SAFETY: the stream is of the engine's GPU, which `run` has entered; `shape_for` gave every tensor its address.
        unsafe { context.enqueue(stream) }?;
        self.timings.enqueue = start.elapsed();
        self.record(2)?;
        for binding in &mut self.outputs {
            binding.memory.start_download(binding.byte_count, &self.stream)?;
        }
        self.record(3)
    }

    fn raw_stream(&self) -> *mut c_void {
        self.stream.cu_stream().cast()
    }

    fn record(&self, event: usize) -> Result<()> {
        self.events.as_ref().map_or(Ok(()), |events| events[event].record(&self.stream)).map_err(cuda_error)
    }

    fn read_events(&mut self) -> Result<()> {
        if let Some(events) = &self.events {
            let between = |start: usize| -> Result<Duration> {
                let milliseconds = events[start].elapsed_ms(&events[start + 1]).map_err(cuda_error)?;
                Ok(Duration::from_secs_f64(f64::from(milliseconds.max(0.0)) / 1e3))
            };
            (self.timings.upload, self.timings.compute, self.timings.download) =
                (between(0)?, between(1)?, between(2)?);
        }
        Ok(())
    }
}

impl std::fmt::Debug for Execution {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Execution")
            .field("engine", &self.engine)
            .field("profile", &self.profile)
            .finish_non_exhaustive()
    }
}

impl Drop for Execution {
    fn drop(&mut self) {
        // The context's memory can only be freed on its own GPU, and after its work; where that cannot be entered,
        // nothing can be freed.
        let is_entered = self.engine.gpu().enter().and_then(|()| self.stream.synchronize().map_err(cuda_error));
        match (is_entered, self.context.take()) {
            (Ok(()), context) => drop(context),
            (Err(_), context) => std::mem::forget(context),
        }
    }
}

impl Binding {
    fn new(tensor: &EngineTensor, gpu: &Gpu) -> Result<Self> {
        let element_byte_count = match tensor.data_type.as_str() {
            "FP32" | "INT32" => 4,
            "FP16" | "BF16" => 2,
            "INT64" => 8,
            "BOOL" | "INT8" | "UINT8" => 1,
            other => {
                let reason = format!("has elements of type {other}, which cannot be handed to an engine");
                return Err(Error::Tensor { name: tensor.name.clone(), reason });
            }
        };
        Ok(Self {
            name: tensor.name.clone(),
            c_name: c_name(&tensor.name),
            element_byte_count,
            shape: Vec::new(),
            byte_count: 0,
            memory: Pair::new(gpu),
        })
    }

    /// Bytes of the tensor in this shape.
    fn bytes_of(&self, shape: &[i64]) -> Result<usize> {
        let mut sizes = shape.iter().map(|&size| usize::try_from(size).ok());
        let product = sizes.try_fold(self.element_byte_count, |product, size| product.checked_mul(size?));
        product
            .ok_or_else(|| self.fault(&format!("has shape {shape:?}, whose size is not known before it is computed")))
    }

    fn fault(&self, reason: &str) -> Error {
        Error::Tensor { name: self.name.clone(), reason: reason.to_owned() }
    }
}

fn find<'a>(inputs: &[Input<'a>], name: &str) -> Result<Input<'a>> {
    let found = inputs.iter().find(|input| input.name == name).copied();
    found.ok_or_else(|| Error::Tensor { name: name.to_owned(), reason: "is missing".to_owned() })
}
