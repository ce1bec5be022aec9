//! Configurations as pytorch-image-models (timm) writes them: the architecture's name stands for its sizes, and
//! `model_args` has the values in which a checkpoint differs from it.

use crate::Result;
use crate::checkpoint::Checkpoint;
use planforge_core::ImageSize;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// `config.json` of a timm repository.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct TimmConfig {
    /// Name of the model without the tag of its weights, such as `resnet50`.
    pub(crate) architecture: String,
    /// Number of classes.
    pub(crate) num_classes: usize,
    global_pool: Option<String>,
    #[serde(default)]
    model_args: Map<String, Value>,
    /// What the weights were trained with.
    pub(crate) pretrained_cfg: PretrainedConfig,
    /// Names of the classes, where they are not ImageNet's.
    pub(crate) label_names: Option<Vec<String>>,
}

/// `pretrained_cfg`.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct PretrainedConfig {
    /// Channels, height and width.
    pub(crate) input_size: [usize; 3],
    /// Such as `a1_in1k`: training recipe and data.
    #[serde(default)]
    pub(crate) tag: Option<String>,
    /// `bicubic`, `bilinear`, `nearest`.
    pub(crate) interpolation: Option<String>,
    /// Share of the resized image that is kept.
    pub(crate) crop_pct: Option<f64>,
    /// `center`, `squash`, `border`.
    pub(crate) crop_mode: Option<String>,
    /// Mean of each channel.
    pub(crate) mean: Option<[f32; 3]>,
    /// Standard deviation of each channel.
    pub(crate) std: Option<[f32; 3]>,
}

/// Arguments that change no tensor and nothing that is computed.
const NEUTRAL_ARGUMENTS: [&str; 9] = [
    "in_chans",
    "num_classes",
    "global_pool",
    "img_size",
    "drop_rate",
    "drop_path_rate",
    "proj_drop_rate",
    "attn_drop_rate",
    "weight_init",
];

impl TimmConfig {
    /// Reads the configuration.
    ///
    /// # Errors
    /// Keys that are missing or have another type.
    pub(crate) fn read(checkpoint: &Checkpoint) -> Result<Self> {
        checkpoint.config()
    }

    /// Pooling before the head.
    pub(super) fn pooling(&self) -> Option<&str> {
        let argument = self.model_args.get("global_pool").and_then(Value::as_str);
        argument.or(self.global_pool.as_deref())
    }

    /// Size of the images the checkpoint is for.
    pub(crate) fn native_size(&self) -> ImageSize {
        let [_, height, width] = self.pretrained_cfg.input_size;
        let trained = ImageSize { height, width };
        match self.model_args.get("img_size") {
            Some(Value::Number(edge)) => {
                let edge = edge.as_u64().and_then(|edge| usize::try_from(edge).ok());
                edge.map_or(trained, |edge| ImageSize { height: edge, width: edge })
            }
            Some(pair) => serde_json::from_value::<[usize; 2]>(pair.clone())
                .map_or(trained, |[height, width]| ImageSize { height, width }),
            None => trained,
        }
    }

    /// `sizes` with those replaced that `model_args` names.
    ///
    /// # Errors
    /// Arguments that are neither known to change nothing nor among `sizes`, and values of another type.
    pub(super) fn with_arguments<T: DeserializeOwned + serde::Serialize>(
        &self,
        checkpoint: &Checkpoint,
        sizes: &T,
    ) -> Result<T> {
        let fail = |message: String| checkpoint.config_error(format!("key `model_args`: {message}"));
        let Ok(Value::Object(mut merged)) = serde_json::to_value(sizes) else {
            return Err(fail("sizes are not a table".to_owned()));
        };
        for (name, value) in &self.model_args {
            if merged.contains_key(name) {
                merged.insert(name.clone(), value.clone());
            } else if !NEUTRAL_ARGUMENTS.contains(&name.as_str()) {
                return Err(fail(format!("`{name}` of `{}` is not supported", self.architecture)));
            }
        }
        serde_json::from_value(Value::Object(merged)).map_err(|error| fail(error.to_string()))
    }
}
