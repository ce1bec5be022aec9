//! An engine whose weights are on a GPU.

use super::device::Gpu;
use super::fit::check_fit;
use super::native::{NativeContext, NativeEngine, TensorFacts, c_name};
use super::options::{ExecutionOptions, KernelSpecialization};
use super::refit::WeightValues;
use super::runtime::Runtime;
use crate::{EngineTensor, Error, InputShapes, ProfileShapes, Result, read_header};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use trtx::trtx_sys::{CudaGraphStrategy, DynamicShapesKernelSpecializationStrategy};

/// What an engine takes and gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineInterface {
    /// Inputs, in the engine's order.
    pub inputs: Vec<EngineTensor>,
    /// Outputs, in the engine's order.
    pub outputs: Vec<EngineTensor>,
    /// Optimization profiles, at least one.
    pub profiles: Vec<ProfileShapes>,
    /// For each profile, bytes of intermediate values and scratch memory that an execution takes on the GPU.
    pub activation_byte_counts: Vec<u64>,
}

/// An engine on a GPU. Its weights are there once, however many executions and clones it has.
#[derive(Clone)]
pub struct LoadedEngine(Arc<Loaded>);

struct Loaded {
    /// None only while this is dropped.
    native: Mutex<Option<NativeEngine>>,
    interface: EngineInterface,
    gpu: Gpu,
    path: PathBuf,
}

impl LoadedEngine {
    /// Puts the engine `bytes`, which were read from `plan`, on the GPU with the index `ordinal` in the driver's order, and
    /// `weights` into an engine that was built without. Weights that the engine does not ask for are ignored, as the
    /// builder may have folded them into others.
    ///
    /// # Errors
    /// [`Error::Header`] for bytes that are not an engine; errors of [`Gpu::open`]; an engine for another GPU or of another
    /// version; [`Error::InvalidEngine`], [`Error::Deserialize`] and [`Error::Refit`] with the library's messages;
    /// [`Error::Tensor`] for unsupported inputs and outputs; [`Error::MissingWeights`] for weights that are asked for and
    /// not given; [`Error::WeightValues`] for one of another type or size.
    pub fn load(
        runtime: &Runtime,
        plan: &Path,
        bytes: &[u8],
        weights: &[WeightValues<'_>],
        ordinal: usize,
    ) -> Result<Self> {
        let header = read_header(bytes)?;
        let gpu = Gpu::open(ordinal)?;
        check_fit(plan, &header, runtime.version(), gpu.facts())?;
        gpu.enter()?;
        let mut native = runtime.deserialize(plan, bytes)?;
        if native.is_refittable() {
            runtime.refitter(plan, &mut native)?.refit(plan, weights)?;
        }
        let interface = describe(&native)?;
        Ok(Self(Arc::new(Loaded { native: Mutex::new(Some(native)), interface, gpu, path: plan.to_owned() })))
    }

    /// What it takes and gives.
    #[must_use]
    pub fn interface(&self) -> &EngineInterface {
        &self.0.interface
    }

    /// Where it is.
    #[must_use]
    pub fn gpu(&self) -> &Gpu {
        &self.0.gpu
    }

    /// The file that it was read from.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    pub(super) fn context(&self, options: ExecutionOptions) -> Result<NativeContext> {
        self.0.gpu.enter()?;
        let mut native = self.0.native.lock().unwrap_or_else(PoisonError::into_inner);
        let engine = native.as_mut().expect("it is there until it is dropped");
        let graphs =
            if options.cuda_graphs { CudaGraphStrategy::kWHOLE_GRAPH_CAPTURE } else { CudaGraphStrategy::kDISABLED };
        let specialization = match options.specialization {
            KernelSpecialization::Lazy => DynamicShapesKernelSpecializationStrategy::kLAZY,
            KernelSpecialization::Eager => DynamicShapesKernelSpecializationStrategy::kEAGER,
            KernelSpecialization::None => DynamicShapesKernelSpecializationStrategy::kNONE,
        };
        engine.context(graphs, specialization)
    }
}

impl std::fmt::Debug for LoadedEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoadedEngine").field("path", &self.0.path).field("gpu", self.0.gpu.facts()).finish()
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        let native = self.native.get_mut().unwrap_or_else(PoisonError::into_inner);
        // Its memory can only be freed on its own GPU; where that cannot be entered, nothing can be freed.
        match (self.gpu.enter(), native.take()) {
            (Ok(()), native) => drop(native),
            (Err(_), native) => std::mem::forget(native),
        }
    }
}

fn describe(native: &NativeEngine) -> Result<EngineInterface> {
    let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
    for index in 0..native.tensor_count() {
        let facts =
            native.tensor(index).ok_or_else(|| unsupported(format!("number {index}"), "cannot be described"))?;
        let TensorFacts { name, data_type, dims, is_input, obstacle } = facts;
        if let Some(obstacle) = obstacle {
            return Err(unsupported(name, obstacle));
        }
        let tensor = EngineTensor { name, data_type: data_type.to_owned(), dims };
        if is_input { inputs.push(tensor) } else { outputs.push(tensor) }
    }
    let indices = 0..native.profile_count();
    let profiles = indices.clone().map(|profile| profile_shapes(native, &inputs, profile)).collect::<Result<_>>()?;
    let activation_byte_counts = indices.map(|profile| native.activation_byte_count(profile)).collect();
    Ok(EngineInterface { inputs, outputs, profiles, activation_byte_counts })
}

/// Shapes of all inputs in a profile; an input of a fixed shape has that shape in all of them.
fn profile_shapes(native: &NativeEngine, inputs: &[EngineTensor], profile: i32) -> Result<ProfileShapes> {
    let shapes = |input: &EngineTensor| {
        let fixed =
            || (!input.dims.contains(&-1)).then(|| [input.dims.clone(), input.dims.clone(), input.dims.clone()]);
        let [min, opt, max] = native
            .profile_shapes(&c_name(&input.name), profile)
            .or_else(fixed)
            .ok_or_else(|| unsupported(input.name.clone(), "has no shapes in a profile"))?;
        Ok(InputShapes { name: input.name.clone(), min, opt, max })
    };
    inputs.iter().map(shapes).collect()
}

fn unsupported(name: String, reason: &'static str) -> Error {
    Error::Tensor { name, reason: reason.to_owned() }
}
