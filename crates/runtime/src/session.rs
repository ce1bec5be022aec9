//! A session of either kind, for those who serve both.

use crate::{EngineSession, OnnxSession, Result, RunStop, Tensor, TensorView};
use planforge_core::TensorSpec;

/// What runs a packaged model.
#[derive(Debug)]
pub enum Session {
    /// A graph on ONNX Runtime.
    Onnx(Box<OnnxSession>),
    /// A TensorRT-RTX engine on a GPU.
    Engine(Box<EngineSession>),
}

impl Session {
    /// Inputs, in the model's order.
    #[must_use]
    pub fn inputs(&self) -> &[TensorSpec] {
        match self {
            Self::Onnx(session) => session.inputs(),
            Self::Engine(session) => session.inputs(),
        }
    }

    /// Outputs, in the model's order.
    #[must_use]
    pub fn outputs(&self) -> &[TensorSpec] {
        match self {
            Self::Onnx(session) => session.outputs(),
            Self::Engine(session) => session.outputs(),
        }
    }

    /// Runs the model as [`OnnxSession::run`] and [`EngineSession::run`] do.
    ///
    /// # Errors
    /// Theirs.
    pub fn run(&mut self, inputs: &[Tensor], outputs: &[String]) -> Result<Vec<Tensor>> {
        match self {
            Self::Onnx(session) => session.run(inputs, outputs),
            Self::Engine(session) => session.run(inputs, outputs),
        }
    }

    /// As [`Self::run`], until `stop` ends it; an engine's run cannot be ended.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn run_until(&mut self, inputs: &[Tensor], outputs: &[String], stop: Option<&RunStop>) -> Result<Vec<Tensor>> {
        match self {
            Self::Onnx(session) => session.run_until(inputs, outputs, stop),
            Self::Engine(session) => session.run(inputs, outputs),
        }
    }

    /// Runs the model as [`OnnxSession::run_lent`] and [`EngineSession::run_lent`] do.
    ///
    /// # Errors
    /// Theirs.
    pub fn run_lent<R>(
        &mut self,
        inputs: &[TensorView<'_>],
        outputs: &[String],
        take: impl FnOnce(&[TensorView<'_>]) -> R,
    ) -> Result<R> {
        match self {
            Self::Onnx(session) => session.run_lent(inputs, outputs, take),
            Self::Engine(session) => session.run_lent(inputs, outputs, take),
        }
    }
}
