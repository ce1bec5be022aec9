//! Which architecture a `model_type` stands for.

use super::{bert, distilbert, roberta};
use crate::checkpoint::{Checkpoint, Parameters};
use crate::{Error, Ops, Result};
use planforge_core::Task;

/// An architecture with its configuration, ready to be written into any [`Ops`].
#[derive(Debug)]
pub(crate) enum Architecture {
    /// BERT and models of its shape, such as MiniLM.
    Bert(bert::Bert),
    /// RoBERTa, XLM-RoBERTa, CamemBERT.
    Roberta(roberta::Roberta),
    /// DistilBERT.
    DistilBert(distilbert::DistilBert),
}

/// Values of `model_type` that can be exported.
#[must_use]
pub fn supported_model_types() -> &'static [&'static str] {
    &["bert", "camembert", "distilbert", "roberta", "xlm-roberta"]
}

impl Architecture {
    /// The architecture of `checkpoint` with the outputs of `task`.
    ///
    /// # Errors
    /// An unsupported `model_type`, a configuration of another shape, or a task without its files.
    pub(crate) fn read(checkpoint: &Checkpoint, task: Task) -> Result<Self> {
        match checkpoint.model_type.as_str() {
            "bert" => Ok(Self::Bert(bert::Bert::read(checkpoint, task)?)),
            "roberta" | "xlm-roberta" | "camembert" => Ok(Self::Roberta(roberta::Roberta::read(checkpoint, task)?)),
            "distilbert" => Ok(Self::DistilBert(distilbert::DistilBert::read(checkpoint, task)?)),
            other => Err(Error::UnsupportedModelType {
                model_type: other.to_owned(),
                supported: supported_model_types().join(", "),
            }),
        }
    }

    /// The checkpoint's tensors under the names this architecture uses.
    pub(crate) fn parameters(&self, checkpoint: &Checkpoint) -> Parameters {
        Parameters::new(checkpoint, self.prefix())
    }

    /// What task heads put before the encoder's names.
    const fn prefix(&self) -> &'static str {
        match self {
            Self::Bert(_) => bert::PREFIX,
            Self::Roberta(_) => roberta::PREFIX,
            Self::DistilBert(_) => distilbert::PREFIX,
        }
    }

    /// Writes the whole model into `ops`.
    pub(crate) fn forward<O: Ops>(&self, ops: &mut O) -> Result<()> {
        match self {
            Self::Bert(model) => model.forward(ops),
            Self::Roberta(model) => model.forward(ops),
            Self::DistilBert(model) => model.forward(ops),
        }
    }

    /// Longest sequence the position table allows.
    pub(crate) fn max_sequence(&self) -> Option<u64> {
        match self {
            Self::Bert(model) => Some(model.max_sequence()),
            Self::Roberta(model) => Some(model.max_sequence()),
            Self::DistilBert(model) => Some(model.max_sequence()),
        }
    }

    /// Tensors that checkpoints of this architecture may carry without the graph using them.
    pub(crate) fn may_ignore(&self, name: &str) -> bool {
        let name = name.strip_prefix(self.prefix()).unwrap_or(name);
        match self {
            Self::Bert(_) => bert::may_ignore(name),
            Self::Roberta(_) => roberta::may_ignore(name),
            Self::DistilBert(_) => distilbert::may_ignore(name),
        }
    }
}
