//! Which architecture a `model_type`, or a timm name, stands for.

use super::{bert, convnext, distilbert, mpnet, resnet, roberta, vit};
use crate::checkpoint::{Checkpoint, Parameters};
use crate::{Error, Ops, Result};
use planforge_core::{ImageSize, Task};

/// An architecture with its configuration, ready to be written into any [`Ops`].
#[derive(Debug)]
pub(crate) enum Architecture {
    /// BERT and models of its shape, such as MiniLM.
    Bert(bert::Bert),
    /// RoBERTa, XLM-RoBERTa, CamemBERT.
    Roberta(roberta::Roberta),
    /// DistilBERT.
    DistilBert(distilbert::DistilBert),
    /// MPNet.
    MpNet(mpnet::MpNet),
    /// ResNet.
    ResNet(resnet::ResNet),
    /// ConvNeXt.
    ConvNext(convnext::ConvNext),
    /// Vision Transformer and DeiT.
    Vit(vit::Vit),
}

/// Values of `model_type`, and of timm's `architecture`, that can be exported.
#[must_use]
pub fn supported_model_types() -> &'static [&'static str] {
    &[
        "bert",
        "camembert",
        "convnext",
        "deit",
        "distilbert",
        "mpnet",
        "resnet",
        "roberta",
        "vit",
        "xlm-roberta",
        convnext::TIMM_NAMES,
        resnet::TIMM_NAMES,
        vit::TIMM_NAMES,
    ]
}

/// The error for a model type that nothing here describes.
pub(super) fn unsupported(checkpoint: &Checkpoint) -> Error {
    let supported = supported_model_types().join(", ");
    Error::UnsupportedModelType { model_type: checkpoint.model_type.clone(), supported }
}

impl Architecture {
    /// The architecture of `checkpoint` with the outputs of `task`, for images of `size` where it takes any
    /// and is not to keep its own.
    ///
    /// # Errors
    /// An unsupported `model_type`, a configuration of another shape, or a task without its files.
    pub(crate) fn read(checkpoint: &Checkpoint, task: Task, size: Option<ImageSize>) -> Result<Self> {
        Ok(match checkpoint.model_type.as_str() {
            "bert" => Self::Bert(bert::Bert::read(checkpoint, task)?),
            "roberta" | "xlm-roberta" | "camembert" => Self::Roberta(roberta::Roberta::read(checkpoint, task)?),
            "distilbert" => Self::DistilBert(distilbert::DistilBert::read(checkpoint, task)?),
            "mpnet" => Self::MpNet(mpnet::MpNet::read(checkpoint, task)?),
            "resnet" => Self::ResNet(resnet::ResNet::read(checkpoint, task, size)?),
            "convnext" => Self::ConvNext(convnext::ConvNext::read(checkpoint, task, size)?),
            "vit" | "deit" => Self::Vit(vit::Vit::read(checkpoint, task, size)?),
            name if resnet::timm_layers(name).is_some() => {
                Self::ResNet(resnet::ResNet::read_timm(checkpoint, task, size)?)
            }
            name if convnext::timm_sizes(name).is_some() => {
                Self::ConvNext(convnext::ConvNext::read_timm(checkpoint, task, size)?)
            }
            name if vit::timm_sizes(name).is_some() => Self::Vit(vit::Vit::read_timm(checkpoint, task, size)?),
            _ => return Err(unsupported(checkpoint)),
        })
    }

    /// The checkpoint's tensors under the names this architecture uses.
    pub(crate) fn parameters(&self, checkpoint: &Checkpoint) -> Parameters {
        Parameters::new(checkpoint, self.prefix(checkpoint))
    }

    /// What task heads put before the encoder's names.
    fn prefix(&self, checkpoint: &Checkpoint) -> &'static str {
        match self {
            Self::Bert(_) => bert::PREFIX,
            Self::Roberta(_) => roberta::PREFIX,
            Self::DistilBert(_) => distilbert::PREFIX,
            Self::MpNet(_) => mpnet::PREFIX,
            Self::ResNet(_) => resnet::PREFIX,
            Self::ConvNext(_) => convnext::PREFIX,
            Self::Vit(_) if checkpoint.model_type == "deit" => vit::DEIT_PREFIX,
            Self::Vit(_) => vit::VIT_PREFIX,
        }
    }

    /// Writes the whole model into `ops`.
    pub(crate) fn forward<O: Ops>(&self, ops: &mut O) -> Result<()> {
        match self {
            Self::Bert(model) => model.forward(ops),
            Self::Roberta(model) => model.forward(ops),
            Self::DistilBert(model) => model.forward(ops),
            Self::MpNet(model) => model.forward(ops),
            Self::ResNet(model) => model.forward(ops),
            Self::ConvNext(model) => model.forward(ops),
            Self::Vit(model) => model.forward(ops),
        }
    }

    /// Longest sequence the position table allows.
    pub(crate) fn max_sequence(&self) -> Option<u64> {
        match self {
            Self::Bert(model) => Some(model.max_sequence()),
            Self::Roberta(model) => Some(model.max_sequence()),
            Self::DistilBert(model) => Some(model.max_sequence()),
            Self::MpNet(model) => Some(model.max_sequence()),
            Self::ResNet(_) | Self::ConvNext(_) | Self::Vit(_) => None,
        }
    }

    /// Tensors that checkpoints of this architecture may carry without the graph using them.
    pub(crate) fn may_ignore(&self, checkpoint: &Checkpoint, name: &str) -> bool {
        let name = name.strip_prefix(self.prefix(checkpoint)).unwrap_or(name);
        match self {
            Self::Bert(_) => bert::may_ignore(name),
            Self::Roberta(_) | Self::MpNet(_) => roberta::may_ignore(name),
            Self::DistilBert(_) => distilbert::may_ignore(name),
            Self::ResNet(_) => resnet::may_ignore(name),
            Self::ConvNext(_) => false,
            Self::Vit(_) => vit::may_ignore(name),
        }
    }
}
