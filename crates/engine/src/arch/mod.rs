//! One file for each architecture, and the choice between them by `model_type`.

mod bert;
mod pooling;

use crate::checkpoint::{Checkpoint, Parameters};
use crate::{Error, Ops, Result};
use planforge_core::Task;

/// An architecture with its configuration, ready to be written into any [`Ops`].
#[derive(Debug)]
pub(crate) enum Architecture {
    /// BERT and models of its shape, such as MiniLM.
    Bert(bert::Bert),
}

/// Values of `model_type` that can be exported.
#[must_use]
pub fn supported_model_types() -> &'static [&'static str] {
    &["bert"]
}

impl Architecture {
    /// The architecture of `checkpoint` with the outputs of `task`.
    ///
    /// # Errors
    /// An unsupported `model_type`, a configuration of another shape, or a task without its files.
    pub(crate) fn read(checkpoint: &Checkpoint, task: Task) -> Result<Self> {
        match checkpoint.model_type.as_str() {
            "bert" => Ok(Self::Bert(bert::Bert::read(checkpoint, task)?)),
            other => Err(Error::UnsupportedModelType {
                model_type: other.to_owned(),
                supported: supported_model_types().join(", "),
            }),
        }
    }

    /// The checkpoint's tensors under the names this architecture uses.
    pub(crate) fn parameters(&self, checkpoint: &Checkpoint) -> Parameters {
        match self {
            Self::Bert(_) => Parameters::new(checkpoint, bert::PREFIX),
        }
    }

    /// Writes the whole model into `ops`.
    pub(crate) fn forward<O: Ops>(&self, ops: &mut O) -> Result<()> {
        match self {
            Self::Bert(bert) => bert.forward(ops),
        }
    }

    /// Longest sequence the position table allows.
    pub(crate) fn max_sequence(&self) -> Option<u64> {
        match self {
            Self::Bert(bert) => Some(bert.max_sequence()),
        }
    }

    /// Tensors that checkpoints of this architecture may carry without the graph using them.
    pub(crate) fn may_ignore(&self, name: &str) -> bool {
        match self {
            Self::Bert(_) => bert::may_ignore(name),
        }
    }
}
