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

/// What a builder is told beyond target and profiles.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BuilderOptions {
    /// How long it searches, 0 to 5; its own default when `None`.
    pub optimization_level: Option<u8>,
    /// Most scratch memory on the GPU that a layer may use, in bytes; its own limit when `None`.
    pub workspace_byte_count: Option<u64>,
    /// Whether weights are left out of the engine.
    pub strip_weights: bool,
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

    /// The GPU type that a device is: of those with its compute capability, the one whose product name it carries, else
    /// the one nearest in memory.
    #[must_use]
    pub fn matching(&self, product: &str, capability: ComputeCapability, memory_byte_count: u64) -> Option<&Gpu> {
        let words = |gpu: &Gpu| gpu.product.trim_start_matches("NVIDIA ").to_owned();
        let distance = |gpu: &Gpu| (u64::from(gpu.memory_gib) << 30).abs_diff(memory_byte_count);
        let rank = |gpu: &&Gpu| {
            let named = product.contains(&words(gpu));
            // Of two names that fit, `L40` and `L40S`, the longer one says more.
            (!named, if named { usize::MAX - words(gpu).len() } else { 0 }, distance(gpu))
        };
        self.gpus.iter().filter(|gpu| gpu.compute_capability == capability).min_by_key(rank)
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
    /// Whether `builder` can make any engine for this GPU.
    #[must_use]
    pub fn is_supported(&self, builder: Builder) -> bool {
        let Builder::Rtx = builder;
        !self.rtx_precisions.is_empty()
    }

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
    fn devices_are_known_by_capability_name_and_memory() {
        let catalogue = GpuCatalogue::built_in();
        let name = |product: &str, capability: &str, gib: u64| {
            let found = catalogue.matching(product, capability.parse().unwrap(), gib << 30);
            found.map(|gpu| gpu.name.clone())
        };
        assert_eq!(name("NVIDIA L40S", "8.9", 44).as_deref(), Some("l40s"));
        assert_eq!(name("NVIDIA L4", "8.9", 22).as_deref(), Some("l4"));
        assert_eq!(name("Tesla T4", "7.5", 15).as_deref(), Some("t4"));
        assert_eq!(name("NVIDIA RTX PRO 6000 Blackwell Server Edition", "12.0", 95).as_deref(), Some("rtx-pro-6000"));
        assert_eq!(name("NVIDIA H200", "9.0", 140).as_deref(), Some("h200"));
        assert_eq!(name("NVIDIA GeForce GTX 1080", "6.1", 8), None);
    }

    #[test]
    fn an_unknown_gpu_is_answered_with_the_known_ones() {
        let error = GpuCatalogue::built_in().find("a11g").unwrap_err().to_string();
        assert!(error.contains("a11g") && error.contains("a10g"), "{error}");
    }
}
