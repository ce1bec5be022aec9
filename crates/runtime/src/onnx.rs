//! ONNX graphs on the CPU, through ONNX Runtime.

use crate::check::{check_inputs, check_outputs};
use crate::library::environment;
use crate::{Error, Result, Tensor, TensorValues};
use half::f16;
use ort::ep::CPU;
use ort::session::builder::{AutoDevicePolicy, SessionBuilder};
use ort::session::{OutputSelector, RunOptions, Session, SessionInputValue};
use ort::value::{DynValue, Outlet, PrimitiveTensorElementType, TensorElementType, TensorRef, ValueType};
use planforge_core::{DataType, Dim, TensorSpec};
use std::borrow::Cow;
use std::fmt;
use std::path::Path;

/// Options of a session.
#[derive(Debug, Clone)]
pub struct SessionOptions {
    /// Threads of one inference, at least 1. With 1 the caller's thread does all the work.
    pub intra_op_threads: usize,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self { intra_op_threads: 1 }
    }
}

/// A loaded ONNX model. Dropping it frees its weights and working memory.
pub struct OnnxSession {
    session: Session,
    inputs: Vec<TensorSpec>,
    outputs: Vec<TensorSpec>,
}

impl OnnxSession {
    /// Loads the graph file `graph`; weights that it keeps outside are looked for beside it.
    ///
    /// # Errors
    /// [`Error::LibraryNotLoaded`], [`Error::Io`] for a missing file, [`Error::Load`] for a bad graph or
    /// bad weights, [`Error::UnsupportedType`] for inputs and outputs other than plain tensors.
    pub fn load(graph: &Path, options: &SessionOptions) -> Result<Self> {
        let environment = environment()?;
        let graph = fs_err::canonicalize(graph)?;
        let session = Session::builder(environment)
            .and_then(|builder| configure(builder, options))
            .and_then(|mut builder| builder.commit_from_file(&graph))
            .map_err(|source| Error::Load { path: graph, source })?;
        let inputs = session.inputs().iter().map(tensor_spec).collect::<Result<_>>()?;
        let outputs = session.outputs().iter().map(tensor_spec).collect::<Result<_>>()?;
        Ok(Self { session, inputs, outputs })
    }

    /// Inputs, in the graph's order. A dynamic dimension without a name gets one of its own.
    #[must_use]
    pub fn inputs(&self) -> &[TensorSpec] {
        &self.inputs
    }

    /// Outputs, in the graph's order.
    #[must_use]
    pub fn outputs(&self) -> &[TensorSpec] {
        &self.outputs
    }

    /// Runs the model on `inputs` and returns the named `outputs` in that order, all of them when the
    /// list is empty.
    ///
    /// # Errors
    /// A mistake in the inputs or output names, found before anything runs, or [`Error::Run`].
    pub fn run(&mut self, inputs: &[Tensor], outputs: &[String]) -> Result<Vec<Tensor>> {
        check_inputs(&self.inputs, inputs)?;
        check_outputs(&self.outputs, outputs)?;
        let wanted: Vec<&TensorSpec> = if outputs.is_empty() {
            self.outputs.iter().collect()
        } else {
            outputs.iter().filter_map(|name| self.outputs.iter().find(|spec| spec.name == *name)).collect()
        };
        run(&mut self.session, inputs, &wanted).map_err(|source| Error::Run { source })
    }
}

impl fmt::Debug for OnnxSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnnxSession").field("inputs", &self.inputs).field("outputs", &self.outputs).finish()
    }
}

/// Settings for many models in one process, where memory has to come back when a model is dropped:
///
/// - No arena: ONNX Runtime's arena doubles its reservation as it grows and keeps everything it ever
///   took until the session ends, so one long sequence would be paid for by every later request.
///   Without it, tensors come from the system allocator and go back after each run.
/// - No memory pattern: it plans one block per set of input shapes and keeps the plans; with free
///   batch and sequence sizes there would be a plan for every pair.
/// - No spinning: idle threads of one model would take the processor from the others.
fn configure(builder: SessionBuilder, options: &SessionOptions) -> ort::Result<SessionBuilder> {
    Ok(builder
        .with_auto_device(AutoDevicePolicy::PreferCPU)?
        .with_execution_providers([CPU::default().with_arena_allocator(false).build()])?
        .with_memory_pattern(false)?
        .with_intra_threads(options.intra_op_threads.max(1))?
        .with_inter_threads(1)?
        .with_intra_op_spinning(false)?
        .with_inter_op_spinning(false)?)
}

fn run(session: &mut Session, inputs: &[Tensor], wanted: &[&TensorSpec]) -> ort::Result<Vec<Tensor>> {
    let values: Vec<(Cow<'_, str>, SessionInputValue<'_>)> = inputs
        .iter()
        .map(|input| Ok((Cow::from(input.name.as_str()), input_value(input)?)))
        .collect::<ort::Result<_>>()?;
    let selector = wanted.iter().fold(OutputSelector::no_default(), |selector, spec| selector.with(&spec.name));
    let options = RunOptions::new()?.with_outputs(selector);
    let results = session.run_with_options(values, &options)?;
    wanted
        .iter()
        .map(|spec| {
            let value = results
                .get(&spec.name)
                .ok_or_else(|| ort::Error::new(format!("output `{}` is missing from the result", spec.name)))?;
            output_tensor(spec, value)
        })
        .collect()
}

fn input_value(tensor: &Tensor) -> ort::Result<SessionInputValue<'_>> {
    match &tensor.values {
        TensorValues::Fp32(values) => view(&tensor.shape, values),
        TensorValues::Fp16(values) => view(&tensor.shape, values),
        TensorValues::Int64(values) => view(&tensor.shape, values),
        TensorValues::Int32(values) => view(&tensor.shape, values),
        TensorValues::Bool(values) => view(&tensor.shape, values),
    }
}

fn view<'a, T>(shape: &'a [usize], values: &'a [T]) -> ort::Result<SessionInputValue<'a>>
where
    T: PrimitiveTensorElementType + Clone + fmt::Debug + 'static,
{
    Ok(TensorRef::from_array_view((shape, values))?.into())
}

fn output_tensor(spec: &TensorSpec, value: &DynValue) -> ort::Result<Tensor> {
    let (shape, values) = match spec.data_type {
        DataType::Fp32 => extract(value, TensorValues::Fp32)?,
        DataType::Fp16 => extract::<f16>(value, TensorValues::Fp16)?,
        DataType::Int64 => extract(value, TensorValues::Int64)?,
        DataType::Int32 => extract(value, TensorValues::Int32)?,
        DataType::Bool => extract(value, TensorValues::Bool)?,
    };
    Ok(Tensor { name: spec.name.clone(), shape, values })
}

fn extract<T>(value: &DynValue, wrap: fn(Vec<T>) -> TensorValues) -> ort::Result<(Vec<usize>, TensorValues)>
where
    T: PrimitiveTensorElementType + Clone,
{
    let (shape, values) = value.try_extract_tensor::<T>()?;
    let shape = shape.iter().map(|&size| usize::try_from(size).unwrap_or(0)).collect();
    Ok((shape, wrap(values.to_vec())))
}

fn tensor_spec(outlet: &Outlet) -> Result<TensorSpec> {
    let unsupported = || Error::UnsupportedType { name: outlet.name().to_owned(), found: outlet.dtype().to_string() };
    let &ValueType::Tensor { ty, ref shape, ref dimension_symbols } = outlet.dtype() else {
        return Err(unsupported());
    };
    let data_type = data_type(ty).ok_or_else(unsupported)?;
    let dims = shape
        .iter()
        .enumerate()
        .map(|(index, &size)| match (u64::try_from(size), dimension_symbols.get(index)) {
            (Ok(size), _) => Dim::Fixed(size),
            (Err(_), Some(symbol)) if !symbol.is_empty() => Dim::Dynamic(symbol.clone()),
            (Err(_), _) => Dim::Dynamic(format!("{}_dimension_{index}", outlet.name())),
        })
        .collect();
    Ok(TensorSpec::new(outlet.name(), data_type, dims))
}

const fn data_type(found: TensorElementType) -> Option<DataType> {
    match found {
        TensorElementType::Float32 => Some(DataType::Fp32),
        TensorElementType::Float16 => Some(DataType::Fp16),
        TensorElementType::Int64 => Some(DataType::Int64),
        TensorElementType::Int32 => Some(DataType::Int32),
        TensorElementType::Bool => Some(DataType::Bool),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
