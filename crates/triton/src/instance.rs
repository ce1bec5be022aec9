//! One instance of a model: a session of its own, on a processor or a GPU.

use crate::batch::{RequestTensors, Scratch};
use crate::execute::{Answers, execute};
use crate::metrics::Metrics;
use crate::model::{Content, Graph, Model};
use crate::{Error, Result};
use planforge_runtime::{Device, OnnxSession, SessionOptions, has_cuda_provider};

/// A loaded instance.
pub(crate) struct Instance {
    runner: Runner,
    batching: bool,
}

/// What answers its requests.
enum Runner {
    Graph(Box<OnnxSession>, Scratch),
    Metrics(Box<Metrics>),
}

impl Instance {
    /// Loads the model for `device` and compares it with its configuration.
    ///
    /// # Errors
    /// Those of loading, [`Error::Config`], and a GPU without ONNX Runtime's CUDA provider.
    pub(crate) fn load(model: &Model, device: Device) -> Result<Self> {
        let runner = match &model.content {
            Content::Graph(graph) => {
                let session = open(graph, device)?;
                model.config.check(session.inputs(), session.outputs())?;
                Runner::Graph(Box::new(session), Scratch::default())
            }
            Content::Metrics => Runner::Metrics(Box::new(Metrics::open())),
        };
        Ok(Self { runner, batching: model.config.is_batched() })
    }

    /// Answers all `requests`.
    pub(crate) fn execute(&mut self, requests: &[RequestTensors<'_>], answers: &mut dyn Answers) {
        match &mut self.runner {
            Runner::Graph(session, scratch) => execute((session, scratch), requests, self.batching, answers),
            Runner::Metrics(metrics) => metrics.answer_all(requests, answers),
        }
    }

    /// What it is, for the server's log.
    pub(crate) fn describe(&self, model: &Model) -> String {
        match (&self.runner, &model.content) {
            (Runner::Graph(..), Content::Graph(graph)) => {
                format!("{} threads, ONNX Runtime {}", graph.options.intra_op_threads, graph.runtime.1)
            }
            (Runner::Metrics(metrics), _) => format!("tells of the host and of {} GPUs", metrics.gpu_count()),
            (Runner::Graph(..), Content::Metrics) => String::new(),
        }
    }
}

fn open(graph: &Graph, device: Device) -> Result<OnnxSession> {
    let (library, _) = &graph.runtime;
    if device != Device::Cpu && !has_cuda_provider(library) {
        return Err(Error::Config(format!(
            "an instance of kind KIND_GPU needs `libonnxruntime_providers_cuda.so` beside `{}`; use KIND_CPU or a build \
             of ONNX Runtime for CUDA",
            library.display()
        )));
    }
    let options = SessionOptions { device, ..graph.options.clone() };
    Ok(OnnxSession::load(&graph.path, &options)?)
}
