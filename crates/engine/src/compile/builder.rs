//! What builders differ in: what they take, what decides the bytes of their engines, what can be checked.

use super::precision::check_precision;
use super::verify::{check_engine, check_plan};
use crate::Result;
use crate::limits::check_graph;
use planforge_core::{Builder, BuilderOptions, CachedArtifact, ComputeCapability, Gpu, Model, TensorSpec};
use planforge_engine_protocol::WorkerResponse;

/// What makes engines from ONNX graphs. A new one also needs its build in `planforge-engine-worker`, its GPU types in the
/// catalogue, and an arm wherever [`Builder`] is matched: for its library, its place on disk, and what serves its engines.
pub(super) trait EngineBuilder: Sync {
    /// Refuses a model that it cannot build for a GPU type.
    ///
    /// # Errors
    /// Errors of the graph that name what this GPU type lacks.
    fn check_model(&self, model: &CachedArtifact<Model>, gpu: &Gpu) -> Result<()>;

    /// Whether GPU types of one compute capability get engines of their own, because kernels are chosen by running them.
    fn is_tuned_to_gpu(&self) -> bool;

    /// Whether checkpoints of one architecture share an engine without weights.
    fn shares_engines(&self, options: BuilderOptions) -> bool;

    /// Why an engine built at another time may differ, for an engine that may.
    fn unrepeatable_reason(&self) -> &'static str;

    /// Compares what was built with what was asked for; the error is a sentence about the engine.
    fn check_response(
        &self,
        expected: &ExpectedEngine<'_>,
        response: &WorkerResponse,
    ) -> std::result::Result<(), String>;
}

/// What an engine should be.
pub(super) struct ExpectedEngine<'a> {
    /// The model it is built from.
    pub model: &'a Model,
    /// Its outputs.
    pub outputs: &'a [TensorSpec],
    /// The compute capabilities it is for.
    pub compute_capabilities: &'a [ComputeCapability],
}

/// The builder of a kind.
pub(super) fn engine_builder(builder: Builder) -> &'static dyn EngineBuilder {
    match builder {
        Builder::Rtx => &Rtx,
        Builder::Trtexec => &Trtexec,
    }
}

/// TensorRT-RTX, which builds for compute capabilities without a GPU.
struct Rtx;

/// `trtexec`, which builds for the GPU that it runs on.
struct Trtexec;

impl EngineBuilder for Rtx {
    fn check_model(&self, model: &CachedArtifact<Model>, gpu: &Gpu) -> Result<()> {
        check_graph(model, gpu)
    }

    fn is_tuned_to_gpu(&self) -> bool {
        false
    }

    fn shares_engines(&self, options: BuilderOptions) -> bool {
        options.strip_weights
    }

    fn unrepeatable_reason(&self) -> &'static str {
        "the heap was not under control"
    }

    fn check_response(
        &self,
        expected: &ExpectedEngine<'_>,
        response: &WorkerResponse,
    ) -> std::result::Result<(), String> {
        check_engine(expected.model, expected.outputs, expected.compute_capabilities, response)?;
        check_precision(expected.model, &response.products)
    }
}

impl EngineBuilder for Trtexec {
    fn check_model(&self, _: &CachedArtifact<Model>, _: &Gpu) -> Result<()> {
        Ok(())
    }

    fn is_tuned_to_gpu(&self) -> bool {
        true
    }

    fn shares_engines(&self, _: BuilderOptions) -> bool {
        false
    }

    fn unrepeatable_reason(&self) -> &'static str {
        "kernels are chosen by timing them, which the timing cache makes alike but not certain"
    }

    fn check_response(
        &self,
        expected: &ExpectedEngine<'_>,
        response: &WorkerResponse,
    ) -> std::result::Result<(), String> {
        check_plan(expected.compute_capabilities, response)
    }
}
