//! Configurations as pytorch-image-models (timm) writes them: the architecture's name stands for its sizes, and
//! `model_args` has the values in which a checkpoint differs from it.

use super::config::parse;
use super::keys::{Fixed, Keys, check};
use crate::Result;
use crate::checkpoint::Checkpoint;
use crate::reference::reference;
use planforge_core::ImageSize;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// `config.json` of a timm repository.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct TimmConfig {
    /// Name of the model without the tag of its weights, such as `resnet50`.
    pub(crate) architecture: String,
    #[serde(default)]
    num_classes: Option<usize>,
    #[serde(default)]
    model_args: Map<String, Value>,
    /// What the weights were trained with.
    pub(crate) pretrained_cfg: PretrainedConfig,
    #[serde(default)]
    label_names: Option<Vec<String>>,
}

/// `pretrained_cfg`.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct PretrainedConfig {
    /// Channels, height and width.
    pub(crate) input_size: [usize; 3],
    fixed_input_size: bool,
    num_classes: usize,
    /// In a configuration of 2021 and 2022; later it is one of `model_args`.
    #[serde(default)]
    global_pool: Option<String>,
    #[serde(default)]
    label_names: Option<Vec<String>>,
    /// Such as `a1_in1k`: training recipe and data.
    pub(crate) tag: Option<String>,
    /// `bicubic`, `bilinear`, `nearest`, `lanczos`, `random`.
    pub(crate) interpolation: String,
    /// Share of the resized image that is kept.
    pub(crate) crop_pct: f64,
    /// `center`, `squash`, `border`.
    pub(crate) crop_mode: String,
    /// Mean of each channel.
    pub(crate) mean: [f32; 3],
    /// Standard deviation of each channel.
    pub(crate) std: [f32; 3],
}

/// Keys of `pretrained_cfg`.
const PRETRAINED: Keys = Keys {
    read: &[
        "architecture",
        "input_size",
        "fixed_input_size",
        "num_classes",
        "global_pool",
        "label_names",
        "labels",
        "tag",
        "interpolation",
        "crop_pct",
        "crop_mode",
        "mean",
        "std",
        "model_args",
    ],
    // Classes before the first that loading removes.
    fixed: &[Fixed { key: "label_offset", values: &["null", "0"] }],
    neutral: &[
        "classifier",
        "custom_load",
        "description",
        "file",
        "first_conv",
        "hf_hub_filename",
        "hf_hub_id",
        "label_descriptions",
        "license",
        "min_input_size",
        "notes",
        "num_features",
        "origin_url",
        "paper_ids",
        "paper_name",
        "pool_size",
        "source",
        "state_dict",
        // Used for validation on request only.
        "test_crop_pct",
        "test_input_size",
        "test_pool_size",
        "url",
    ],
};

/// Keys next to `pretrained_cfg`; `global_pool` and `num_features` are there for people to read.
const AROUND: Keys = Keys {
    read: &["architecture", "num_classes", "model_args", "pretrained_cfg", "label_names"],
    fixed: &[],
    neutral: &["global_pool", "num_features", "label_descriptions"],
};

/// Arguments that change no tensor and nothing that is computed.
const NEUTRAL_ARGUMENTS: [&str; 14] = [
    "in_chans",
    "num_classes",
    "global_pool",
    "img_size",
    "drop_rate",
    "drop_path_rate",
    "drop_block_rate",
    "pos_drop_rate",
    "patch_drop_rate",
    "proj_drop_rate",
    "attn_drop_rate",
    "zero_init_last",
    "head_init_scale",
    "weight_init",
];

/// Checks the keys of a configuration of timm.
///
/// # Errors
/// Keys with values that are not described.
pub(super) fn check_keys(checkpoint: &Checkpoint) -> Result<()> {
    let Value::Object(config) = &checkpoint.config else { return Ok(()) };
    match config.get("pretrained_cfg") {
        Some(Value::Object(pretrained)) => {
            check(checkpoint, config, &[&AROUND])?;
            check(checkpoint, pretrained, &[&PRETRAINED])
        }
        _ => check(checkpoint, config, &[&PRETRAINED]),
    }
}

impl TimmConfig {
    /// Reads the configuration. Before 2023 the keys of `pretrained_cfg` stood next to `architecture`.
    ///
    /// # Errors
    /// Keys of another type, and arguments that contradict the rest.
    pub(crate) fn read(checkpoint: &Checkpoint) -> Result<Self> {
        let mut config = checkpoint.config.clone();
        if let Value::Object(table) = &mut config {
            let flat = table.clone();
            let pretrained = table.entry("pretrained_cfg").or_insert(Value::Object(flat));
            if let Value::Object(given) = pretrained {
                // A value of `null` is none, except where none is the default.
                let known = given.iter().filter(|(_, value)| !value.is_null());
                let known: Vec<_> = known.map(|(key, value)| (key.clone(), value.clone())).collect();
                *given = reference().pretrained_cfg.clone();
                given.extend(known);
                if let Some(labels) = given.get("labels").cloned() {
                    given.insert("label_names".to_owned(), labels);
                }
            }
        }
        let config: Self = parse(checkpoint, config)?;
        config.check_arguments().map_err(|message| checkpoint.config_error(format!("key `model_args`: {message}")))?;
        Ok(config)
    }

    /// Arguments that would make another model than the rest of the configuration describes.
    fn check_arguments(&self) -> std::result::Result<(), String> {
        let number = |key: &str| self.model_args.get(key).and_then(Value::as_u64);
        let [channels, height, width] = self.pretrained_cfg.input_size;
        for (key, expected) in [("num_classes", self.num_classes()), ("in_chans", channels)] {
            match number(key) {
                Some(found) if found != expected as u64 => {
                    return Err(format!("`{key}` is {found}, expected {expected} as in the rest of the file"));
                }
                _ => {}
            }
        }
        let size = self.native_size();
        if !self.pretrained_cfg.fixed_input_size && size != (ImageSize { height, width }) {
            return Err(format!("`img_size` is {size}, expected {height}x{width} as in `input_size`"));
        }
        Ok(())
    }

    /// Number of classes; 0 for a model without head.
    pub(crate) fn num_classes(&self) -> usize {
        self.num_classes.unwrap_or(self.pretrained_cfg.num_classes)
    }

    /// Names of the classes, where they are not ImageNet's.
    pub(crate) fn label_names(&self) -> Option<&Vec<String>> {
        self.label_names.as_ref().or(self.pretrained_cfg.label_names.as_ref())
    }

    /// Pooling before the head.
    pub(super) fn pooling(&self) -> Option<&str> {
        let argument = self.model_args.get("global_pool").and_then(Value::as_str);
        argument.or(self.pretrained_cfg.global_pool.as_deref())
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

    /// `sizes` with those replaced that `model_args` names; `kind` is the file of timm that describes the model.
    ///
    /// # Errors
    /// Arguments that are neither known to change nothing nor among `sizes`, unless they have their default, and
    /// values of another type.
    pub(super) fn with_arguments<T: DeserializeOwned + serde::Serialize>(
        &self,
        checkpoint: &Checkpoint,
        kind: &str,
        sizes: &T,
    ) -> Result<T> {
        let fail = |message: String| checkpoint.config_error(format!("key `model_args`: {message}"));
        let Ok(Value::Object(mut merged)) = serde_json::to_value(sizes) else {
            return Err(fail("sizes are not a table".to_owned()));
        };
        for (name, value) in &self.model_args {
            let default = reference().timm_arguments(kind).and_then(|arguments| arguments.get(name));
            if merged.contains_key(name) {
                merged.insert(name.clone(), value.clone());
            } else if !NEUTRAL_ARGUMENTS.contains(&name.as_str()) && default != Some(value) {
                let expected = default.map_or_else(String::new, |default| format!("; expected {default}"));
                return Err(fail(format!(
                    "unsupported value of `{name}` of `{}`: {value}{expected}",
                    self.architecture
                )));
            }
        }
        serde_json::from_value(Value::Object(merged)).map_err(|error| fail(error.to_string()))
    }
}
