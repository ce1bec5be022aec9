//! One instance of a model: a session of its own, on a processor or a GPU.

use crate::batch::Scratch;
use crate::model::Model;
use crate::{Error, Result};
use planforge_runtime::{Device, OnnxSession, SessionOptions, has_cuda_provider};

/// A loaded instance.
pub(crate) struct Instance {
    pub(crate) session: OnnxSession,
    pub(crate) scratch: Scratch,
    pub(crate) batching: bool,
}

impl Instance {
    /// Loads the model for `device` and compares it with its configuration.
    ///
    /// # Errors
    /// Those of loading, [`Error::Config`], and a GPU without ONNX Runtime's CUDA provider.
    pub(crate) fn load(model: &Model, device: Device) -> Result<Self> {
        let (library, _) = &model.runtime;
        if device != Device::Cpu && !has_cuda_provider(library) {
            return Err(Error::Config(format!(
                "an instance of kind KIND_GPU needs `libonnxruntime_providers_cuda.so` beside `{}`; use KIND_CPU or a \
                 build of ONNX Runtime for CUDA",
                library.display()
            )));
        }
        let options = SessionOptions { device, ..model.options.clone() };
        let session = OnnxSession::load(&model.graph, &options)?;
        model.config.check(session.inputs(), session.outputs())?;
        Ok(Self { session, scratch: Scratch::default(), batching: model.config.is_batched() })
    }
}
