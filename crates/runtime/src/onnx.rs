//! ONNX graphs on the CPU, through ONNX Runtime.

use crate::check::{check_inputs, check_outputs};
use crate::library::{environment, is_at_least};
use crate::{Error, Result, Tensor, TensorView};
use ort::ep::{CPU, CUDA};
use ort::session::builder::{AutoDevicePolicy, SessionBuilder};
use ort::session::{Session, SessionInputValue};
use ort::value::{Outlet, TensorElementType, ValueType};
use planforge_core::{DataType, Dim, TensorSpec};
use std::ffi::CString;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

mod options;
mod shared;
mod stop;
mod values;

pub use options::{Device, SessionOptions, Spinning};
use shared::Shared;
pub use stop::RunStop;

/// ONNX Runtime's key for the folder of weights that a graph in memory keeps outside.
const WEIGHTS_FOLDER: &str = "session.model_external_initializers_file_folder_path";
/// Its keys for the microseconds that an idle thread waits actively.
const INTRA_OP_SPINNING: &str = "session.intra_op.spin_duration_us";
const INTER_OP_SPINNING: &str = "session.inter_op.spin_duration_us";
/// The first version that has them.
const BOUNDED_SPINNING: (u32, u32) = (1, 26);

/// A loaded ONNX model. Dropping it, and all that share it, frees its weights and working memory.
pub struct OnnxSession {
    session: Arc<Shared>,
    inputs: Vec<TensorSpec>,
    outputs: Vec<TensorSpec>,
}

impl OnnxSession {
    /// Loads the graph file `graph`; weights that it keeps outside are looked for next to it.
    ///
    /// # Errors
    /// [`Error::LibraryNotLoaded`], [`Error::Io`] for a missing file, [`Error::Load`] for a bad graph or
    /// bad weights, [`Error::UnsupportedType`] for inputs and outputs other than plain tensors.
    pub fn load(graph: &Path, options: &SessionOptions) -> Result<Self> {
        Self::load_with(graph, options, |mut builder, graph| builder.commit_from_file(graph))
    }

    /// Loads `bytes` as if they stood in the graph file `graph`: weights outside are looked for next to that.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_instead(graph: &Path, bytes: &[u8], options: &SessionOptions) -> Result<Self> {
        Self::load_with(graph, options, |builder, graph| {
            let folder = graph.parent().unwrap_or(Path::new("/")).to_string_lossy();
            builder.with_config_entry(WEIGHTS_FOLDER, folder)?.commit_from_memory(bytes)
        })
    }

    fn load_with(
        graph: &Path,
        options: &SessionOptions,
        commit: impl FnOnce(SessionBuilder, &Path) -> ort::Result<Session>,
    ) -> Result<Self> {
        let environment = environment()?;
        let graph = fs_err::canonicalize(graph)?;
        let session = Session::builder(environment)
            .and_then(|builder| configure(builder, options))
            .and_then(|builder| commit(builder, &graph))
            .map_err(|source| Error::Load { path: graph, source })?;
        let inputs = session.inputs().iter().map(tensor_spec).collect::<Result<_>>()?;
        let outputs = session.outputs().iter().map(tensor_spec).collect::<Result<_>>()?;
        Ok(Self { session: Arc::new(Shared::new(session, options)), inputs, outputs })
    }

    /// The same model once more, with the same weights and threads, for another caller to run at the same time.
    ///
    /// On the processor, runs that meet share the threads: the first has them all until the next comes, and each goes on
    /// with what is left. With one thread each run has its caller's. On a GPU, and with threads between operators, one runs
    /// after the other.
    #[must_use]
    pub fn share(&self) -> Self {
        Self { session: Arc::clone(&self.session), inputs: self.inputs.clone(), outputs: self.outputs.clone() }
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
        self.run_until(inputs, outputs, None)
    }

    /// As [`Self::run`], until `stop` ends it.
    ///
    /// # Errors
    /// As [`Self::run`]; [`Error::Run`] for a run that was ended.
    pub fn run_until(&mut self, inputs: &[Tensor], outputs: &[String], stop: Option<&RunStop>) -> Result<Vec<Tensor>> {
        let inputs: Vec<_> = inputs.iter().map(Tensor::view).collect();
        let take = |outputs: &[TensorView<'_>]| outputs.iter().map(TensorView::to_tensor).collect();
        self.run_lent_until(&inputs, outputs, stop, take)
    }

    /// As [`Self::run`], without copies: inputs stay where they are, where their elements are aligned, and `take` is
    /// shown the outputs where ONNX Runtime left them.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn run_lent<R>(
        &mut self,
        inputs: &[TensorView<'_>],
        outputs: &[String],
        take: impl FnOnce(&[TensorView<'_>]) -> R,
    ) -> Result<R> {
        self.run_lent_until(inputs, outputs, None, take)
    }

    fn run_lent_until<R>(
        &mut self,
        inputs: &[TensorView<'_>],
        outputs: &[String],
        stop: Option<&RunStop>,
        take: impl FnOnce(&[TensorView<'_>]) -> R,
    ) -> Result<R> {
        check_inputs(&self.inputs, inputs)?;
        check_outputs(&self.outputs, outputs)?;
        let wanted: Vec<&TensorSpec> = if outputs.is_empty() {
            self.outputs.iter().collect()
        } else {
            outputs.iter().filter_map(|name| self.outputs.iter().find(|spec| spec.name == *name)).collect()
        };
        run(&self.session, (inputs, &wanted), stop, take).map_err(|source| Error::Run { source })
    }
}

impl fmt::Debug for OnnxSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnnxSession").field("inputs", &self.inputs).field("outputs", &self.outputs).finish()
    }
}

fn configure(builder: SessionBuilder, options: &SessionOptions) -> ort::Result<SessionBuilder> {
    let cpu = CPU::default().with_arena_allocator(options.arena).build();
    let builder = match options.device {
        Device::Cpu => builder.with_auto_device(AutoDevicePolicy::PreferCPU)?.with_execution_providers([cpu])?,
        Device::Cuda(index) => {
            let cuda = CUDA::default().with_device_id(index).build().error_on_failure();
            builder.with_execution_providers([cuda, cpu])?
        }
    };
    let (spins, builder) = match options.spinning {
        Spinning::Never => (false, builder),
        Spinning::Long => (true, builder),
        Spinning::Microseconds(limit) if limit > 0 && is_at_least(BOUNDED_SPINNING) => {
            let limit = limit.to_string();
            (true, builder.with_config_entry(INTRA_OP_SPINNING, &limit)?.with_config_entry(INTER_OP_SPINNING, &limit)?)
        }
        Spinning::Microseconds(_) => (false, builder),
    };
    Ok(builder
        .with_memory_pattern(options.memory_pattern)?
        .with_intra_threads(options.intra_op_threads.max(1))?
        .with_inter_threads(options.inter_op_threads.max(1))?
        .with_parallel_execution(options.inter_op_threads > 1)?
        .with_intra_op_spinning(spins)?
        .with_inter_op_spinning(spins)?)
}

fn run<R>(
    session: &Shared,
    (inputs, wanted): (&[TensorView<'_>], &[&TensorSpec]),
    stop: Option<&RunStop>,
    take: impl FnOnce(&[TensorView<'_>]) -> R,
) -> ort::Result<R> {
    let lent: Vec<(CString, SessionInputValue<'_>)> =
        inputs.iter().map(|input| Ok((c_name(input.name)?, values::lend(input)?))).collect::<ort::Result<_>>()?;
    let names: Vec<_> = wanted.iter().map(|spec| c_name(&spec.name)).collect::<ort::Result<_>>()?;
    let results = session.run(&lent, &names, stop)?;
    let elements = |(spec, value): (&&TensorSpec, _)| values::elements(spec.data_type, value);
    let found = wanted.iter().zip(&results).map(elements).collect::<ort::Result<Vec<_>>>()?;
    let views: Vec<_> = wanted
        .iter()
        .zip(&found)
        .map(|(spec, (shape, bytes))| TensorView { name: &spec.name, data_type: spec.data_type, shape, bytes })
        .collect();
    Ok(take(&views))
}

fn c_name(name: &str) -> ort::Result<CString> {
    CString::new(name).map_err(|_| ort::Error::new(format!("the name `{name}` has a zero byte in it")))
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
        TensorElementType::Bfloat16 => Some(DataType::Bf16),
        TensorElementType::Int64 => Some(DataType::Int64),
        TensorElementType::Int32 => Some(DataType::Int32),
        TensorElementType::Bool => Some(DataType::Bool),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
