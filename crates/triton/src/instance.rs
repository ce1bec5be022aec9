//! One instance of a model, on a processor or a GPU. Those on one device share a graph's session or an engine's weights.

use crate::batch::{RequestTensors, Scratch};
use crate::execute::{Answers, execute};
use crate::metrics::Metrics;
use crate::model::{Content, Graph, Model, Plan};
use crate::{Error, Result};
use planforge_runtime::{Device, Session, has_cuda_provider};

/// A loaded instance.
pub(crate) struct Instance {
    runner: Runner,
    batching: bool,
    /// Where it runs.
    device: Device,
    /// What it is, for the server's log.
    description: String,
    /// What of it may not be as it was meant.
    warning: Option<String>,
}

/// What answers its requests.
enum Runner {
    Session(Session, Scratch),
    Metrics(Box<Metrics>),
}

impl Instance {
    /// Loads the model for `device` and compares it with its configuration. Where the server chose a GPU by itself, a graph
    /// runs on the processor without ONNX Runtime's CUDA provider.
    ///
    /// # Errors
    /// Those of loading, [`Error::Config`], a graph that is to run on a GPU without that provider, and an engine on a
    /// processor.
    pub(crate) fn load(model: &Model, device: Device) -> Result<Self> {
        let (runner, description, warning) = match &model.content {
            Content::Graph(graph) => {
                let description =
                    format!("{} threads, ONNX Runtime {}", graph.options.intra_op_threads, graph.runtime.1);
                let (session, warning) = open_graph(graph, device)?;
                (Runner::Session(session, Scratch::default()), description, warning)
            }
            Content::Plan(plan) => {
                let (session, description) = open_plan(plan, device)?;
                (Runner::Session(session, Scratch::default()), description, None)
            }
            Content::Metrics => {
                let metrics = Metrics::open();
                let description = format!("tells of the host and of {} GPUs", metrics.gpu_count());
                (Runner::Metrics(Box::new(metrics)), description, None)
            }
        };
        if let Runner::Session(session, _) = &runner {
            model.config.check(session.inputs(), session.outputs())?;
        }
        let device = if warning.is_some() { Device::Cpu } else { device };
        Ok(Self { runner, batching: model.config.is_batched(), device, description, warning })
    }

    /// Answers all `requests`.
    pub(crate) fn execute(&mut self, requests: &[RequestTensors<'_>], answers: &mut dyn Answers) {
        match &mut self.runner {
            Runner::Session(session, scratch) => execute((session, scratch), requests, self.batching, answers),
            Runner::Metrics(metrics) => metrics.answer_all(requests, answers),
        }
    }

    /// Where it runs and what it is, for the server's log.
    pub(crate) fn describe(&self) -> String {
        let place =
            if let Device::Cuda(index) = self.device { format!("GPU {index}") } else { "the processor".to_owned() };
        format!("on {place}, {}", self.description)
    }

    /// What of it may not be as it was meant.
    pub(crate) fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }
}

/// The session, and a warning where it is on the processor instead of `device`.
fn open_graph(graph: &Graph, device: Device) -> Result<(Session, Option<String>)> {
    let (library, _) = &graph.runtime;
    let has_provider = device == Device::Cpu || has_cuda_provider(library);
    let missing = || format!("`libonnxruntime_providers_cuda.so` is not next to `{}`", library.display());
    if !has_provider && graph.asks_for_gpus {
        return Err(Error::Config(format!(
            "it asks for instances of kind KIND_GPU, and {}; use KIND_CPU or a build of ONNX Runtime for CUDA",
            missing()
        )));
    }
    let warning = (!has_provider).then(|| format!("it runs on the processor though there is a GPU: {}", missing()));
    let session = graph.on(if has_provider { device } else { Device::Cpu })?;
    Ok((Session::Onnx(Box::new(session)), warning))
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
