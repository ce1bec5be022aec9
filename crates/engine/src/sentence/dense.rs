//! `<n>_Dense/config.json`: a product after or before pooling.

use super::feature::{Feature, feature};
use crate::Result;
use crate::json::{file_error, in_folder, read_json};
use crate::ops::{Activation, LinearWidths};
use planforge_core::Snapshot;
use serde::Deserialize;

/// The file. The reference ignores other keys.
#[derive(Debug, Deserialize)]
struct Config {
    in_features: usize,
    out_features: usize,
    #[serde(default = "yes")]
    bias: bool,
    #[serde(default = "tanh")]
    activation_function: String,
    module_input_name: Option<String>,
    module_output_name: Option<String>,
    #[serde(default)]
    use_residual: bool,
}

const fn yes() -> bool {
    true
}

fn tanh() -> String {
    "torch.nn.modules.activation.Tanh".to_owned()
}

/// A product with an activation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dense {
    /// Widths of the product.
    pub(crate) widths: LinearWidths,
    /// Whether a bias is added.
    pub(crate) bias: bool,
    /// What follows; none for nothing.
    pub(crate) activation: Option<Activation>,
    /// What it is applied to.
    pub(crate) feature: Feature,
    /// Whether its input is added to its result, through a product of its own where their widths differ.
    pub(crate) use_residual: bool,
}

impl Dense {
    /// The module of a folder.
    ///
    /// # Errors
    /// A missing file, and values that are not supported.
    pub(crate) fn read(snapshot: &Snapshot, folder: &str) -> Result<Self> {
        let file = in_folder(folder, "config.json");
        let config: Config = read_json(snapshot, &file)?;
        let fail = |message: String| file_error(snapshot, &file, message);
        Ok(Self {
            widths: LinearWidths { input: config.in_features, output: config.out_features },
            bias: config.bias,
            activation: activation(&config.activation_function).map_err(fail)?,
            feature: feature(config.module_input_name.as_deref(), config.module_output_name.as_deref())
                .map_err(fail)?,
            use_residual: config.use_residual,
        })
    }
}

/// The activation of a class of torch.
fn activation(class: &str) -> std::result::Result<Option<Activation>, String> {
    let name = ["torch.nn.modules.activation.", "torch.nn.modules.linear.", "torch.nn."]
        .iter()
        .find_map(|package| class.strip_prefix(package));
    match name {
        Some("Identity") => Ok(None),
        Some("Tanh") => Ok(Some(Activation::Tanh)),
        Some("ReLU") => Ok(Some(Activation::Relu)),
        Some("GELU") => Ok(Some(Activation::Gelu)),
        _ => Err(format!("`activation_function` is `{class}`, expected torch.nn's Tanh, Identity, ReLU or GELU")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn activations_are_classes_of_torch() {
        assert_eq!(activation(&tanh()), Ok(Some(Activation::Tanh)));
        assert_eq!(activation("torch.nn.Identity"), Ok(None));
        assert_eq!(activation("torch.nn.modules.linear.Identity"), Ok(None));
        assert_eq!(activation("torch.nn.modules.activation.GELU"), Ok(Some(Activation::Gelu)));
        for other in ["torch.nn.modules.activation.Sigmoid", "custom.Tanh", "Tanh"] {
            assert!(activation(other).unwrap_err().contains(other), "{other}");
        }
    }
}
