//! Values of `config.json` that several families have.

use crate::Result;
use crate::checkpoint::Checkpoint;
use crate::ops::Activation;

/// Far wider than any network; sizes up to it can be multiplied without overflow.
const MAX_WIDTH: usize = 1 << 20;

/// The activation of this name in `config.json`.
///
/// # Errors
/// What is wrong with the value of `key`.
pub(super) fn activation(key: &str, name: &str) -> std::result::Result<Activation, String> {
    match name {
        "gelu" => Ok(Activation::Gelu),
        "gelu_new" | "gelu_pytorch_tanh" => Ok(Activation::GeluTanh),
        "relu" => Ok(Activation::Relu),
        other => Err(format!("`{key}` is `{other}`, expected gelu, gelu_new, gelu_pytorch_tanh or relu")),
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
