//! The GPU catalogue: which GPU types exist, and what each builder can do for them.

use crate::{Error, Precision, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;
use std::str::FromStr;

/// GPU types by name, in catalogue order.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GpuCatalogue {
    /// The types.
    #[serde(rename = "gpu")]
    pub gpus: Vec<Gpu>,
}

/// One GPU type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gpu {
    /// Short name used in pipelines, such as `a10g`.
    pub name: String,
    /// Product name.
    pub product: String,
    /// CUDA compute capability.
    pub compute_capability: ComputeCapability,
    /// Memory of one GPU in GiB.
    pub memory_gib: u32,
    /// AWS instance types; ` x N` where there is more than one GPU.
    pub instances: Vec<String>,
    /// Precisions the `rtx` builder can target; empty when it does not know the GPU.
    pub rtx_precisions: Vec<Precision>,
}

/// What makes an engine from an ONNX graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Builder {
    /// TensorRT for RTX, in process, without a GPU.
    Rtx,
}

impl fmt::Display for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rtx => "rtx",
        })
    }
}

/// A CUDA compute capability, written `8.6`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ComputeCapability {
    /// Architecture generation.
    pub major: u8,
    /// Variant within it.
    pub minor: u8,
}

impl GpuCatalogue {
    /// The catalogue that ships with planforge.
    #[must_use]
    pub fn built_in() -> Self {
        toml::from_str(include_str!("gpus.toml")).expect("the catalogue in the source tree is checked by a test")
    }

    /// The built-in catalogue with the entries of a user's file added; an entry of the same name replaces.
    ///
    /// # Errors
    /// When the file cannot be read or has another shape than `gpus.toml`.
    pub fn extended_by(mut self, path: &Path) -> Result<Self> {
        let text = fs_err::read_to_string(path)?;
        let extra: Self = toml::from_str(&text).map_err(|error| Error::Parse {
            what: "GPU catalogue",
            path: path.to_owned(),
            message: error.to_string(),
        })?;
        for gpu in extra.gpus {
            match self.gpus.iter_mut().find(|known| known.name == gpu.name) {
                Some(known) => *known = gpu,
                None => self.gpus.push(gpu),
            }
        }
        Ok(self)
    }

    /// The GPU type of this name.
    ///
    /// # Errors
    /// [`Error::UnknownGpu`] with the names that exist.
    pub fn find(&self, name: &str) -> Result<&Gpu> {
        self.gpus.iter().find(|gpu| gpu.name == name).ok_or_else(|| Error::UnknownGpu {
            name: name.to_owned(),
            known: self.gpus.iter().map(|gpu| gpu.name.as_str()).collect::<Vec<_>>().join(", "),
        })
    }
}

impl Gpu {
    /// Whether `builder` can make an engine of `precision` for this GPU.
    ///
    /// # Errors
    /// [`Error::UnsupportedGpu`] with the reason and what works instead.
    pub fn check(&self, builder: Builder, precision: Precision) -> Result<()> {
        let Builder::Rtx = builder;
        if self.rtx_precisions.contains(&precision) {
            return Ok(());
        }
        let reason = match self.rtx_precisions.as_slice() {
            [] => format!(
                "TensorRT-RTX has no compute capability {}; it builds for t4, a100, a10g, l4, l40s and rtx-pro-6000",
                self.compute_capability
            ),
            known => format!(
                "TensorRT-RTX has no {precision} matrix products for compute capability {}; use {}",
                self.compute_capability,
                known.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
            ),
        };
        Err(Error::UnsupportedGpu { gpu: self.name.clone(), reason })
    }
}

impl fmt::Display for ComputeCapability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for ComputeCapability {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        text.split_once('.')
            .and_then(|(major, minor)| Some(Self { major: major.parse().ok()?, minor: minor.parse().ok()? }))
            .ok_or_else(|| format!("`{text}` is not a compute capability such as \"8.6\""))
    }
}

impl TryFrom<String> for ComputeCapability {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        text.parse()
    }
}

impl From<ComputeCapability> for String {
    fn from(capability: ComputeCapability) -> Self {
        capability.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_catalogue_parses_and_knows_the_study_gpus() {
        let catalogue = GpuCatalogue::built_in();
        for (name, capability) in [("t4", "7.5"), ("v100", "7.0"), ("a10g", "8.6"), ("l4", "8.9")] {
            assert_eq!(catalogue.find(name).unwrap().compute_capability.to_string(), capability);
        }
    }

    #[test]
    fn t4_takes_fp16_only_and_says_so() {
        let catalogue = GpuCatalogue::built_in();
        let t4 = catalogue.find("t4").unwrap();
        assert!(t4.check(Builder::Rtx, Precision::Fp16).is_ok());
        let error = t4.check(Builder::Rtx, Precision::Fp32).unwrap_err().to_string();
        assert!(error.contains("fp32") && error.contains("use fp16"), "{error}");
    }

    #[test]
    fn an_unknown_gpu_is_answered_with_the_known_ones() {
        let error = GpuCatalogue::built_in().find("a11g").unwrap_err().to_string();
        assert!(error.contains("a11g") && error.contains("a10g"), "{error}");
    }
}
