//! The table of model families: one file and one row each.

mod bert;
mod convnext;
mod distilbert;
mod electra;
mod mpnet;
mod resnet;
mod roberta;
mod vit;

use super::keys::{BASE, Keys, check};
use super::request::Request;
use super::text::TextModel;
use super::timm::check_keys;
use crate::checkpoint::{Checkpoint, Parameters};
use crate::pattern::matches;
use crate::{Error, Ops, Result};
use planforge_core::{ImageSize, Task};
use serde_json::Value;

/// A kind of model that can be exported.
#[derive(Debug)]
pub struct Family {
    /// Its name, and those of models that differ from it by their weights alone.
    pub name: &'static str,
    /// Values of `model_type` in `config.json` of transformers.
    pub model_types: &'static [&'static str],
    /// Names of timm's models, as a person reads them; empty where timm has none.
    pub timm_names: &'static str,
    /// What its models can be exported for.
    pub tasks: &'static [Task],
    /// Whether a name is one of `timm_names`.
    is_timm_name: fn(&str) -> bool,
    /// What task heads put before the names of the other tensors.
    prefix: &'static str,
    /// Tensors that a checkpoint may have and the graph does without, by name without `prefix`: heads of other tasks,
    /// and numbers that are not parameters. A `*` stands for anything.
    ignorable: &'static [&'static str],
    /// The keys of `config.json` of transformers.
    keys: &'static [&'static Keys],
    /// Reads the network from `config.json`.
    read: fn(&Checkpoint, Request) -> Result<Network>,
}

const OVER_TEXTS: &[Task] = &[
    Task::FeatureExtraction,
    Task::SentenceEmbedding,
    Task::TextClassification,
    Task::TokenClassification,
    Task::QuestionAnswering,
    Task::FillMask,
];
const OVER_IMAGES: &[Task] = &[Task::ImageClassification, Task::ImageFeatureExtraction];

/// What a Vision Transformer may do without: heads, and the token and the decoder of masked images.
const VIT_IGNORABLE: &[&str] = &[
    "embeddings.mask_token",
    "pooler.*",
    "decoder.*",
    "head.*",
    "head_dist.*",
    "classifier.*",
    "cls_classifier.*",
    "distillation_classifier.*",
];

/// Every family, in the order in which people read them.
pub const FAMILIES: &[Family] = &[
    Family {
        name: "BERT, MiniLM",
        model_types: &["bert"],
        timm_names: "",
        tasks: OVER_TEXTS,
        is_timm_name: |_| false,
        prefix: "bert.",
        ignorable: &["*embeddings.position_ids", "pooler.*", "cls.*", "classifier.*", "qa_outputs.*"],
        keys: &[&BASE, &bert::KEYS],
        read: |checkpoint, request| bert::read(checkpoint, request).map(Network::Text),
    },
    Family {
        name: "RoBERTa, XLM-RoBERTa, CamemBERT",
        model_types: &["roberta", "xlm-roberta", "camembert"],
        timm_names: "",
        tasks: OVER_TEXTS,
        is_timm_name: |_| false,
        prefix: "roberta.",
        ignorable: &["*embeddings.position_ids", "pooler.*", "lm_head.*", "classifier.*", "qa_outputs.*"],
        keys: &[&BASE, &bert::KEYS, &roberta::KEYS],
        read: |checkpoint, request| roberta::read(checkpoint, request).map(Network::Text),
    },
    Family {
        name: "DistilBERT",
        model_types: &["distilbert"],
        timm_names: "",
        tasks: OVER_TEXTS,
        is_timm_name: |_| false,
        prefix: "distilbert.",
        ignorable: &[
            "*embeddings.position_ids",
            "vocab_transform.*",
            "vocab_layer_norm.*",
            "vocab_projector.*",
            "pre_classifier.*",
            "classifier.*",
            "qa_outputs.*",
        ],
        keys: &[&BASE, &distilbert::KEYS],
        read: |checkpoint, request| distilbert::read(checkpoint, request).map(Network::Text),
    },
    Family {
        name: "MPNet",
        model_types: &["mpnet"],
        timm_names: "",
        tasks: OVER_TEXTS,
        is_timm_name: |_| false,
        prefix: "mpnet.",
        ignorable: &["*embeddings.position_ids", "pooler.*", "lm_head.*", "classifier.*", "qa_outputs.*"],
        keys: &[&BASE, &mpnet::KEYS],
        read: |checkpoint, request| mpnet::read(checkpoint, request).map(Network::Text),
    },
    Family {
        name: "ELECTRA",
        model_types: &["electra"],
        timm_names: "",
        tasks: OVER_TEXTS,
        is_timm_name: |_| false,
        prefix: "electra.",
        ignorable: &[
            "*embeddings.position_ids",
            "discriminator_predictions.*",
            "generator_predictions.*",
            "generator_lm_head.*",
            "sequence_summary.*",
            "classifier.*",
            "qa_outputs.*",
        ],
        keys: &[&BASE, &electra::KEYS, &bert::KEYS],
        read: |checkpoint, request| electra::read(checkpoint, request).map(Network::Text),
    },
    Family {
        name: "ResNet",
        model_types: &["resnet"],
        timm_names: "resnet18, resnet26, resnet34, resnet50, resnet101, resnet152",
        tasks: OVER_IMAGES,
        is_timm_name: |name| resnet::timm_layers(name).is_some(),
        prefix: "resnet.",
        ignorable: &["*.num_batches_tracked", "fc.*", "classifier.*"],
        keys: &[&BASE, &resnet::KEYS],
        read: |checkpoint, request| resnet::read(checkpoint, request).map(Network::ResNet),
    },
    Family {
        name: "ConvNeXt",
        model_types: &["convnext"],
        timm_names: "convnext_tiny, convnext_small, convnext_base, convnext_large, convnext_xlarge",
        tasks: OVER_IMAGES,
        is_timm_name: |name| convnext::timm_sizes(name).is_some(),
        prefix: "convnext.",
        ignorable: &["head.fc.*", "classifier.*"],
        keys: &[&BASE, &convnext::KEYS],
        read: |checkpoint, request| convnext::read(checkpoint, request).map(Network::ConvNext),
    },
    Family {
        name: "Vision Transformer",
        model_types: &["vit"],
        timm_names: "vit_{tiny,small,base,large,huge}_patch<N>_<size>",
        tasks: OVER_IMAGES,
        is_timm_name: |name| name.starts_with("vit_") && vit::timm_sizes(name).is_some(),
        prefix: "vit.",
        ignorable: VIT_IGNORABLE,
        keys: &[&BASE, &vit::KEYS],
        read: |checkpoint, request| vit::read(checkpoint, request).map(Network::Vit),
    },
    Family {
        name: "DeiT",
        model_types: &["deit"],
        timm_names: "deit_{tiny,small,base}[_distilled]_patch16_<size>",
        tasks: OVER_IMAGES,
        is_timm_name: |name| name.starts_with("deit_") && vit::timm_sizes(name).is_some(),
        prefix: "deit.",
        ignorable: VIT_IGNORABLE,
        keys: &[&BASE, &vit::KEYS],
        read: |checkpoint, request| vit::read(checkpoint, request).map(Network::Vit),
    },
];

impl Family {
    /// The family of a `model_type` of transformers, or of a timm name.
    fn find(model_type: &str) -> Option<&'static Self> {
        FAMILIES.iter().find(|family| family.model_types.contains(&model_type) || (family.is_timm_name)(model_type))
    }

    /// Whether a key of `config.json` of transformers is accounted for.
    #[cfg(test)]
    fn accounts_for(&self, key: &str) -> bool {
        self.keys.iter().any(|table| table.has(key))
    }

    /// Whether the graph may do without the tensor of this name.
    fn may_ignore(&self, name: &str) -> bool {
        let name = name.strip_prefix(self.prefix).unwrap_or(name);
        self.ignorable.iter().any(|pattern| matches(pattern, name))
    }
}

/// The kinds of network, whose sizes and names a checkpoint gives.
#[derive(Debug)]
enum Network {
    /// An encoder over texts.
    Text(TextModel),
    /// A ResNet.
    ResNet(resnet::ResNet),
    /// A ConvNeXt.
    ConvNext(convnext::ConvNext),
    /// A Vision Transformer.
    Vit(vit::Vit),
}

/// A network with the family it belongs to, ready to be written into any [`Ops`].
#[derive(Debug)]
pub(crate) struct Architecture {
    family: &'static Family,
    network: Network,
}

impl Architecture {
    /// The architecture of `checkpoint` with the outputs of `task`, for images of `image_size` where it takes any
    /// and is not to keep its own.
    ///
    /// # Errors
    /// An unsupported `model_type`, a configuration of another shape, or a task without its files.
    pub(crate) fn read(checkpoint: &Checkpoint, task: Task, image_size: Option<ImageSize>) -> Result<Self> {
        let family = Family::find(&checkpoint.model_type).ok_or_else(|| unsupported(checkpoint))?;
        match &checkpoint.config {
            Value::Object(config) if !checkpoint.is_timm() => check(checkpoint, config, family.keys)?,
            _ => check_keys(checkpoint)?,
        }
        let network = (family.read)(checkpoint, Request { task, image_size })?;
        Ok(Self { family, network })
    }

    /// The checkpoint's tensors under the names this architecture uses, without those that match a pattern of `ignored`.
    ///
    /// # Errors
    /// As [`Parameters::new`].
    pub(crate) fn parameters(&self, checkpoint: &Checkpoint, ignored: &[String]) -> Result<Parameters> {
        Parameters::new(checkpoint, self.family.prefix, ignored)
    }

    /// Writes the whole model into `ops`.
    pub(crate) fn forward<O: Ops>(&self, ops: &mut O) -> Result<()> {
        match &self.network {
            Network::Text(model) => model.forward(ops),
            Network::ResNet(model) => model.forward(ops),
            Network::ConvNext(model) => model.forward(ops),
            Network::Vit(model) => model.forward(ops),
        }
    }

    /// Longest sequence the position table allows.
    pub(crate) const fn max_sequence(&self) -> Option<u64> {
        match &self.network {
            Network::Text(model) => Some(model.max_sequence()),
            Network::ResNet(_) | Network::ConvNext(_) | Network::Vit(_) => None,
        }
    }

    /// Whether a checkpoint may have the tensor of this name without the graph using it.
    pub(crate) fn may_ignore(&self, name: &str) -> bool {
        self.family.may_ignore(name)
    }
}

/// The error for a model type that no family has.
fn unsupported(checkpoint: &Checkpoint) -> Error {
    let mut supported: Vec<&str> = FAMILIES.iter().flat_map(|family| family.model_types).copied().collect();
    supported.sort_unstable();
    let timm_names = FAMILIES.iter().map(|family| family.timm_names).filter(|names| !names.is_empty());
    supported.extend(timm_names);
    Error::UnsupportedModelType { model_type: checkpoint.model_type.clone(), supported: supported.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::reference;

    /// The list is `scripts/reference/config-keys.py`'s: run it after each release of transformers, and add what is
    /// missing here to the `KEYS` of the family, or to those of every model in `keys.rs`.
    #[test]
    fn every_key_that_the_reference_reads_is_accounted_for() {
        for family in FAMILIES {
            for model_type in family.model_types {
                let keys = reference().base.keys().chain(reference().model(model_type).unwrap().keys.keys());
                let missing: Vec<&String> = keys.filter(|key| !family.accounts_for(key)).collect();
                assert!(missing.is_empty(), "{model_type}: {missing:?}");
            }
        }
    }
}
