//! One instance of a model: a session of its own, on a processor or a GPU.

use crate::batch::{RequestTensors, Scratch};
use crate::execute::{Answers, execute};
use crate::metrics::Metrics;
use crate::model::{Content, Graph, Model, Plan};
use crate::{Error, Result};
use planforge_runtime::{Device, OnnxSession, Session, SessionOptions, has_cuda_provider};

/// A loaded instance.
pub(crate) struct Instance {
    runner: Runner,
    batching: bool,
    /// What it is, for the server's log.
    description: String,
}

/// What answers its requests.
enum Runner {
    Session(Session, Scratch),
    Metrics(Box<Metrics>),
}

impl Instance {
    /// Loads the model for `device` and compares it with its configuration.
    ///
    /// # Errors
    /// Those of loading, [`Error::Config`], a graph on a GPU without ONNX Runtime's CUDA provider, and an engine on a
    /// processor.
    pub(crate) fn load(model: &Model, device: Device) -> Result<Self> {
        let (runner, description) = match &model.content {
            Content::Graph(graph) => {
                let description =
                    format!("{} threads, ONNX Runtime {}", graph.options.intra_op_threads, graph.runtime.1);
                (Runner::Session(open_graph(graph, device)?, Scratch::default()), description)
            }
            Content::Plan(plan) => {
                let (session, description) = open_plan(plan, device)?;
                (Runner::Session(session, Scratch::default()), description)
            }
            Content::Metrics => {
                let metrics = Metrics::open();
                let description = format!("tells of the host and of {} GPUs", metrics.gpu_count());
                (Runner::Metrics(Box::new(metrics)), description)
            }
        };
        if let Runner::Session(session, _) = &runner {
            model.config.check(session.inputs(), session.outputs())?;
        }
        Ok(Self { runner, batching: model.config.is_batched(), description })
    }

    /// Answers all `requests`.
    pub(crate) fn execute(&mut self, requests: &[RequestTensors<'_>], answers: &mut dyn Answers) {
        match &mut self.runner {
            Runner::Session(session, scratch) => execute((session, scratch), requests, self.batching, answers),
            Runner::Metrics(metrics) => metrics.answer_all(requests, answers),
        }
    }

    /// What it is, for the server's log.
    pub(crate) fn describe(&self) -> &str {
        &self.description
    }
}

fn open_graph(graph: &Graph, device: Device) -> Result<Session> {
    let (library, _) = &graph.runtime;
    if device != Device::Cpu && !has_cuda_provider(library) {
        return Err(Error::Config(format!(
            "an instance of kind KIND_GPU needs `libonnxruntime_providers_cuda.so` beside `{}`; use KIND_CPU or a build \
             of ONNX Runtime for CUDA",
            library.display()
        )));
    }
    let options = SessionOptions { device, ..graph.options.clone() };
    Ok(Session::Onnx(Box::new(OnnxSession::load(&graph.path, &options)?)))
}

fn open_plan(plan: &Plan, device: Device) -> Result<(Session, String)> {
    let ordinal = match device {
        Device::Cuda(ordinal) => usize::try_from(ordinal).ok(),
        Device::Cpu => None,
    };
    let ordinal = ordinal.ok_or_else(|| {
        let file = plan.path().display();
        Error::Config(format!("`{file}` is an engine, which runs on GPUs only: its instances are of kind KIND_GPU"))
    })?;
    let engine = plan.on_gpu(ordinal)?;
    let graphs = if plan.options.cuda_graphs { ", CUDA graphs" } else { "" };
    let description = format!("TensorRT-RTX on {}{graphs}", engine.gpu().facts().product);
    Ok((Session::Engine(Box::new(engine.session(plan.options)?)), description))
}

#[cfg(test)]
mod tests;
