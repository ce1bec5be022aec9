//! What happens to the vectors of tokens, module by module.

use super::dense::Dense;
use super::encoder::{EncoderOutput, EncoderSettings};
use super::feature::{Feature, feature};
use super::list::{FILE, ListedModule, ModuleList};
use super::model::ModelSettings;
use super::pooling::Pooling;
use crate::json::{in_folder, read_json_if_there};
use crate::ops::PoolingMode;
use crate::{Error, Result};
use planforge_core::{Snapshot, Task};
use serde::Deserialize;

/// The modules after the encoder, in order: exactly one of them is a pooling.
#[derive(Debug, Clone)]
pub(crate) struct SentenceModules {
    /// The modules.
    pub(crate) modules: Vec<Module>,
    /// Numbers that are kept of the result; none for all.
    pub(crate) truncate_dim: Option<usize>,
}

/// One module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Module {
    /// From vectors of tokens to one for each text.
    Pooling {
        /// The vectors that are joined, in order.
        modes: Vec<PoolingMode>,
        /// Width of a token's vector, where its file has it.
        width: Option<usize>,
    },
    /// A product with an activation, whose tensors are named after its folder.
    Dense {
        /// Folder of its files.
        folder: String,
        /// What its file has.
        dense: Dense,
    },
    /// A layer normalisation of the texts' vectors, whose tensors are named after its folder.
    LayerNorm {
        /// Folder of its files.
        folder: String,
        /// Width of its input.
        width: usize,
    },
    /// Vectors of length 1.
    Normalize(Feature),
}

/// Modules that are supported, for errors.
const SUPPORTED: &str = "Transformer, Pooling, Dense, LayerNorm, Normalize and Dropout of sentence_transformers";

impl SentenceModules {
    /// Reads `modules.json` and the files of its modules.
    ///
    /// # Errors
    /// [`Error::Task`] for a snapshot without the file, for modules that are not supported, and for an order of modules that
    /// gives no vector for each text; values of the modules' files that are not supported.
    pub(crate) fn read(snapshot: &Snapshot) -> Result<Self> {
        let fail = |message: String| task_error(snapshot, message);
        let list = ModuleList::read(snapshot)?
            .ok_or_else(|| fail(format!("it has no `{FILE}`; use task `feature-extraction`")))?;
        let settings = ModelSettings::read(snapshot)?;
        match settings.model_type() {
            ModelSettings::EMBEDDING => {}
            ModelSettings::CROSS_ENCODER => {
                return Err(fail("it is a cross encoder; use task `text-classification`".to_owned()));
            }
            other => {
                let message = format!(
                    "key `model_type`: unsupported value \"{other}\"; expected \"{}\"; tasks `fill-mask` and \
                     `feature-extraction` export the encoder alone",
                    ModelSettings::EMBEDDING
                );
                return Err(crate::json::file_error(snapshot, ModelSettings::FILE, message));
            }
        }
        // What they say is needed for texts only, but what they ask of the encoder is its graph.
        EncoderSettings::read(snapshot, list.encoder().unwrap_or_default(), EncoderOutput::Tokens)?;
        settings.default_prompt(snapshot)?;
        let mut modules = Vec::new();
        for (index, module) in list.0.iter().enumerate() {
            match (index, module.class.as_str()) {
                (0, "Transformer") => {}
                (0, _) => return Err(unsupported(snapshot, module)),
                (_, "Transformer") => return Err(fail(format!("`{FILE}` has `Transformer` in place {}", index + 1))),
                _ => modules.extend(read_module(snapshot, module, &settings)?),
            }
        }
        check_order(&modules).map_err(fail)?;
        Ok(Self { modules, truncate_dim: settings.truncate_dim(snapshot)? })
    }

    /// Folders with weights, each the scope of its tensors.
    pub(crate) fn weight_folders(&self) -> impl Iterator<Item = &str> {
        self.modules.iter().filter_map(|module| match module {
            Module::Dense { folder, .. } | Module::LayerNorm { folder, .. } => Some(folder.as_str()),
            Module::Pooling { .. } | Module::Normalize(_) => None,
        })
    }
}

/// The module, where it has an effect.
fn read_module(snapshot: &Snapshot, module: &ListedModule, settings: &ModelSettings) -> Result<Option<Module>> {
    let folder = &module.folder;
    Ok(match module.class.as_str() {
        "Pooling" => {
            let Pooling { modes, width, include_prompt } = Pooling::read(snapshot, folder)?;
            if !include_prompt && !settings.default_prompt(snapshot)?.is_empty() {
                return Err(task_error(
                    snapshot,
                    format!(
                        "`{folder}/config.json` leaves the prompt's tokens out of the pooling (`include_prompt` is false) and \
                     the model has a default prompt, which is not supported"
                    ),
                ));
            }
            Some(Module::Pooling { modes, width })
        }
        "Dense" => {
            Some(Module::Dense { folder: with_weights(snapshot, module)?, dense: Dense::read(snapshot, folder)? })
        }
        "LayerNorm" => Some(read_layer_norm(snapshot, module)?),
        "Normalize" => Some(read_normalize(snapshot, folder)?),
        "Dropout" => None,
        _ => return Err(unsupported(snapshot, module)),
    })
}

fn read_layer_norm(snapshot: &Snapshot, module: &ListedModule) -> Result<Module> {
    #[derive(Deserialize)]
    struct Config {
        dimension: usize,
    }
    let folder = with_weights(snapshot, module)?;
    let Config { dimension } = crate::json::read_json(snapshot, &in_folder(&folder, "config.json"))?;
    Ok(Module::LayerNorm { folder, width: dimension })
}

/// Newer releases write what a normalisation is applied to; older ones write no file.
fn read_normalize(snapshot: &Snapshot, folder: &str) -> Result<Module> {
    #[derive(Default, Deserialize)]
    struct Config {
        module_input_name: Option<String>,
        module_output_name: Option<String>,
    }
    let file = in_folder(folder, "config.json");
    let config: Config = read_json_if_there(snapshot, &file)?.unwrap_or_default();
    let feature = feature(config.module_input_name.as_deref(), config.module_output_name.as_deref());
    feature.map(Module::Normalize).map_err(|message| crate::json::file_error(snapshot, &file, message))
}

/// The folder of a module, which cannot be the top of the snapshot: the encoder's weights are there.
fn with_weights(snapshot: &Snapshot, module: &ListedModule) -> Result<String> {
    if module.folder.is_empty() {
        let message = format!("`{FILE}` has no folder for the module `{}`", module.class);
        return Err(task_error(snapshot, message));
    }
    Ok(module.folder.clone())
}

/// Refuses what gives no vector for each text, or needs it before it is there.
fn check_order(modules: &[Module]) -> std::result::Result<(), String> {
    let is_pooling = |module: &&Module| matches!(module, Module::Pooling { .. });
    match modules.iter().filter(is_pooling).count() {
        0 => return Err(format!("`{FILE}` has no pooling module")),
        1 => {}
        _ => return Err(format!("`{FILE}` has several pooling modules")),
    }
    let before = modules.iter().take_while(|module| !is_pooling(module));
    let after = modules.iter().skip_while(|module| !is_pooling(module)).skip(1);
    if before.clone().any(|module| module.feature() == Feature::Sentence) {
        return Err(format!("`{FILE}` has modules over texts before the pooling module"));
    }
    if after.clone().any(|module| module.feature() == Feature::Tokens) {
        return Err(format!("`{FILE}` has modules over tokens after the pooling module"));
    }
    Ok(())
}

impl Module {
    const fn feature(&self) -> Feature {
        match self {
            Self::Dense { dense, .. } => dense.feature,
            Self::Normalize(feature) => *feature,
            Self::Pooling { .. } | Self::LayerNorm { .. } => Feature::Sentence,
        }
    }
}

fn unsupported(snapshot: &Snapshot, module: &ListedModule) -> Error {
    let message = format!("unsupported module `{}`; expected {SUPPORTED}", module.class);
    crate::json::file_error(snapshot, FILE, message)
}

fn task_error(snapshot: &Snapshot, message: String) -> Error {
    Error::Task { task: Task::SentenceEmbedding.to_string(), repo: snapshot.repo.clone(), message }
}
