//! TensorRT-RTX engines on a GPU.
//!
//! An engine that was built without its weights is given them when it is loaded, from the files next to it (`weights`).
//!
//! [`EngineModel`] is an engine with its weights on a GPU, [`EngineSession`] runs it; sessions of one model share the
//! weights. Nothing here has been run on a GPU yet.

mod weights;

use self::weights::Weights;
use crate::check::{check_inputs, check_outputs};
use crate::{Error, Result, Tensor, TensorView};
use planforge_core::{DataType, Dim, TensorSpec};
use planforge_tensorrt::{
    EngineTensor, Execution, ExecutionOptions, Gpu, Input, LoadedEngine, Output, ProfileShapes, Runtime, Severity,
    Timings,
};
use std::path::Path;

/// An engine on a GPU. Clones are the same engine.
#[derive(Debug, Clone)]
pub struct EngineModel {
    engine: LoadedEngine,
    inputs: Vec<TensorSpec>,
    outputs: Vec<TensorSpec>,
    library: &'static str,
}

impl EngineModel {
    /// Loads the engine file `plan` with the TensorRT-RTX library `library` onto the GPU `ordinal`, in the driver's
    /// order, and puts its weights into it where it was built without: the list of them is next to it
    /// ([`planforge_core::PlacedWeights`]).
    ///
    /// # Errors
    /// [`Error::Io`] for a missing file; [`Error::Engine`] for a file that is not an engine, no driver, no such GPU, another version or
    /// GPU than the engine is for, weights that are missing, and errors of the library; [`Error::UnsupportedType`];
    /// [`Error::Core`] and [`Error::Weight`] for a list of weights that cannot be right.
    pub fn load(library: &Path, plan: &Path, ordinal: usize) -> Result<Self> {
        let bytes = fs_err::read(plan)?;
        let named = |error| match error {
            planforge_tensorrt::Error::Header(reason) => Error::NoEngine { path: plan.to_owned(), reason },
            other => Error::Engine(other),
        };
        planforge_tensorrt::read_header(&bytes).map_err(named)?;
        let runtime = Runtime::open(library, log)?;
        let weights = Weights::next_to(plan)?;
        let values = weights.as_ref().map_or_else(Vec::new, Weights::values);
        let engine = LoadedEngine::load(runtime, plan, &bytes, &values, ordinal).map_err(named)?;
        let interface = engine.interface();
        let specs = |tensors: &[EngineTensor]| tensors.iter().map(tensor_spec).collect::<Result<Vec<_>>>();
        Ok(Self {
            inputs: specs(&interface.inputs)?,
            outputs: specs(&interface.outputs)?,
            engine,
            library: runtime.version(),
        })
    }

    /// Inputs, in the engine's order. A dynamic first dimension is the batch; others have names of their own, as an engine
    /// keeps none.
    #[must_use]
    pub fn inputs(&self) -> &[TensorSpec] {
        &self.inputs
    }

    /// Outputs, in the engine's order.
    #[must_use]
    pub fn outputs(&self) -> &[TensorSpec] {
        &self.outputs
    }

    /// Optimization profiles.
    #[must_use]
    pub fn profiles(&self) -> &[ProfileShapes] {
        &self.engine.interface().profiles
    }

    /// For each profile, bytes of intermediate values that a session takes on the GPU.
    #[must_use]
    pub fn activation_byte_counts(&self) -> &[u64] {
        &self.engine.interface().activation_byte_counts
    }

    /// Version of the library that runs it, such as `1.7.1.116`.
    #[must_use]
    pub const fn library_version(&self) -> &'static str {
        self.library
    }

    /// Where it is.
    #[must_use]
    pub fn gpu(&self) -> &Gpu {
        self.engine.gpu()
    }

    /// What runs it, with buffers and a stream of its own.
    ///
    /// # Errors
    /// [`Error::Engine`].
    pub fn session(&self, options: ExecutionOptions) -> Result<EngineSession> {
        let execution = self.engine.execution(options)?;
        Ok(EngineSession { execution, inputs: self.inputs.clone(), outputs: self.outputs.clone() })
    }
}

/// Runs an engine.
#[derive(Debug)]
pub struct EngineSession {
    execution: Execution,
    inputs: Vec<TensorSpec>,
    outputs: Vec<TensorSpec>,
}

impl EngineSession {
    /// Inputs, as [`EngineModel::inputs`].
    #[must_use]
    pub fn inputs(&self) -> &[TensorSpec] {
        &self.inputs
    }

    /// Outputs, as [`EngineModel::outputs`].
    #[must_use]
    pub fn outputs(&self) -> &[TensorSpec] {
        &self.outputs
    }

    /// Runs the engine on `inputs` and returns the named `outputs` in that order, all of them when the list is empty.
    ///
    /// # Errors
    /// A mistake in the inputs or output names, found before anything runs, or [`Error::Engine`].
    pub fn run(&mut self, inputs: &[Tensor], outputs: &[String]) -> Result<Vec<Tensor>> {
        let inputs: Vec<_> = inputs.iter().map(Tensor::view).collect();
        self.run_lent(&inputs, outputs, |outputs| outputs.iter().map(TensorView::to_tensor).collect())
    }

    /// As [`Self::run`]; `take` is shown the outputs where the GPU copied them to.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn run_lent<R>(
        &mut self,
        inputs: &[TensorView<'_>],
        outputs: &[String],
        take: impl FnOnce(&[TensorView<'_>]) -> R,
    ) -> Result<R> {
        check_inputs(&self.inputs, inputs)?;
        check_outputs(&self.outputs, outputs)?;
        let shapes: Vec<Vec<i64>> = inputs.iter().map(|input| signed(input.shape)).collect();
        let given = inputs.iter().zip(&shapes);
        let given: Vec<_> = given.map(|(input, shape)| Input { name: input.name, shape, bytes: input.bytes }).collect();
        self.execution.run(&given)?;
        let results: Vec<Output<'_>> = self.execution.outputs().collect();
        let shapes: Vec<Vec<usize>> = results.iter().map(|output| unsigned(output.shape)).collect();
        let views = self.outputs.iter().zip(results.iter().zip(&shapes)).map(|(spec, (output, shape))| TensorView {
            name: &spec.name,
            data_type: spec.data_type,
            shape,
            bytes: output.bytes,
        });
        let all: Vec<TensorView<'_>> = views.collect();
        if outputs.is_empty() {
            return Ok(take(&all));
        }
        let wanted = outputs.iter().filter_map(|name| all.iter().find(|view| view.name == name).copied());
        Ok(take(&wanted.collect::<Vec<_>>()))
    }

    /// What the parts of the last run took, where that was asked for.
    #[must_use]
    pub const fn timings(&self) -> Timings {
        self.execution.timings()
    }
}

/// The library's own messages. Failures come back as errors as well, so none of this is for users.
fn log(severity: Severity, message: &str) {
    match severity {
        Severity::Error => tracing::warn!(message, "TensorRT"),
        Severity::Warning => tracing::debug!(message, "TensorRT"),
        Severity::Info | Severity::Verbose => tracing::trace!(message, "TensorRT"),
    }
}

fn tensor_spec(tensor: &EngineTensor) -> Result<TensorSpec> {
    let data_type = DataType::from_kserve_name(&tensor.data_type)
        .ok_or_else(|| Error::UnsupportedType { name: tensor.name.clone(), found: tensor.data_type.clone() })?;
    let dims = tensor.dims.iter().enumerate().map(|(index, &size)| match (u64::try_from(size), index) {
        (Ok(size), _) => Dim::Fixed(size),
        (Err(_), 0) => Dim::dynamic("batch"),
        (Err(_), _) => Dim::Dynamic(format!("{}_dimension_{index}", tensor.name)),
    });
    Ok(TensorSpec::new(&tensor.name, data_type, dims.collect()))
}

fn signed(shape: &[usize]) -> Vec<i64> {
    shape.iter().map(|&size| i64::try_from(size).unwrap_or(i64::MAX)).collect()
}

fn unsigned(shape: &[i64]) -> Vec<usize> {
    shape.iter().map(|&size| usize::try_from(size).unwrap_or(0)).collect()
}

#[cfg(test)]
mod tests;
