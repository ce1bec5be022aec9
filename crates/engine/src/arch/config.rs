//! Values of `config.json` that several families have.

use crate::Result;
use crate::checkpoint::Checkpoint;
use crate::ops::Activation;
use crate::reference::reference;
use planforge_core::ImageSize;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Far wider than any network; sizes up to it can be multiplied without overflow.
const MAX_WIDTH: usize = 1 << 20;

/// `config.json` of transformers as the type of one family, keys left out with the defaults of its `model_type`.
///
/// # Errors
/// [`crate::Error::Config`] naming the key.
pub(super) fn read<T: DeserializeOwned>(checkpoint: &Checkpoint) -> Result<T> {
    let complete = match (reference().model(&checkpoint.model_type), &checkpoint.config) {
        (Some(model), Value::Object(config)) => Value::Object(model.complete(config)),
        (_, config) => config.clone(),
    };
    parse(checkpoint, complete)
}

/// A configuration as the type of one family.
///
/// # Errors
/// [`crate::Error::Config`] naming the key.
pub(super) fn parse<T: DeserializeOwned>(checkpoint: &Checkpoint, config: Value) -> Result<T> {
    serde_path_to_error::deserialize(config).map_err(|error| {
        let key = error.path().to_string();
        let place = if key == "." { String::new() } else { format!("key `{key}`: ") };
        checkpoint.config_error(format!("{place}{}", error.inner()))
    })
}

/// The activation of this name in `config.json`.
///
/// # Errors
/// What is wrong with the value of `key`.
pub(super) fn activation(key: &str, name: &str) -> std::result::Result<Activation, String> {
    match name {
        "gelu" | "gelu_python" => Ok(Activation::Gelu),
        "gelu_new" | "gelu_fast" | "gelu_accurate" | "gelu_pytorch_tanh" | "gelu_python_tanh" => {
            Ok(Activation::GeluTanh)
        }
        "quick_gelu" => Ok(Activation::QuickGelu),
        "relu" => Ok(Activation::Relu),
        "silu" | "swish" => Ok(Activation::Silu),
        "sigmoid" => Ok(Activation::Sigmoid),
        "tanh" => Ok(Activation::Tanh),
        "linear" => Ok(Activation::Identity),
        other => Err(format!(
            "`{key}` is `{other}`, expected gelu, gelu_new, gelu_fast, gelu_accurate, gelu_python, gelu_python_tanh, \
             gelu_pytorch_tanh, quick_gelu, relu, silu, swish, sigmoid, tanh or linear"
        )),
    }
}

/// Refuses widths that no network has.
///
/// # Errors
/// [`crate::Error::Config`] naming the key.
pub(super) fn plausible(checkpoint: &Checkpoint, key: &str, widths: &[usize]) -> Result<()> {
    match widths.iter().find(|&&width| width == 0 || width > MAX_WIDTH) {
        Some(width) => {
            Err(checkpoint.config_error(format!("`{key}` has the value {width}, expected 1 to {MAX_WIDTH}")))
        }
        None => Ok(()),
    }
}

/// Height and width: one number for both, or a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Value")]
pub(super) struct Edges {
    pub(super) height: usize,
    pub(super) width: usize,
}

impl TryFrom<Value> for Edges {
    type Error = String;

    fn try_from(value: Value) -> std::result::Result<Self, String> {
        let edge = |value: &Value| value.as_u64().and_then(|edge| usize::try_from(edge).ok());
        let found = match value.as_array().map(Vec::as_slice) {
            Some([height, width]) => edge(height).zip(edge(width)),
            Some(_) => None,
            None => edge(&value).map(|edge| (edge, edge)),
        };
        let (height, width) =
            found.ok_or_else(|| format!("invalid size {value}; expected a number or [height, width]"))?;
        Ok(Self { height, width })
    }
}

impl Edges {
    /// The size of images.
    pub(super) const fn size(self) -> ImageSize {
        ImageSize { height: self.height, width: self.width }
    }

    /// The edge of a square.
    ///
    /// # Errors
    /// What is wrong with the value of `key`.
    pub(super) fn square(self, key: &str) -> std::result::Result<usize, String> {
        if self.height == self.width {
            return Ok(self.height);
        }
        Err(format!("key `{key}`: unsupported value [{}, {}]; expected two equal numbers", self.height, self.width))
    }
}
