//! Releases of Triton and the TensorRT that is in each: a plan is loaded by the version that built it, and by no other.

use crate::gpu::is_within;
use crate::{ComputeCapability, Error, Gpu, Result};
use serde::Deserialize;

/// One release of the Triton container.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TritonRelease {
    /// Year and month, as the container is tagged: `25.09`.
    pub name: String,
    /// Version of the server.
    pub server: String,
    /// Version of TensorRT in it, as far as it is known.
    pub tensorrt: String,
    /// Whether that version was seen to be named for this very image.
    pub verified: bool,
    /// The least compute capability the server takes.
    pub min_compute_capability: ComputeCapability,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Releases {
    #[serde(rename = "release")]
    releases: Vec<TritonRelease>,
}

impl TritonRelease {
    /// Every release in the table.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let table: Releases =
            toml::from_str(include_str!("triton.toml")).expect("the table in the source tree is checked by a test");
        table.releases
    }

    /// The release of this name.
    ///
    /// # Errors
    /// [`Error::UnknownTriton`] with the names that exist.
    pub fn find(name: &str) -> Result<Self> {
        let all = Self::all();
        let known = all.iter().map(|release| release.name.as_str()).collect::<Vec<_>>().join(", ");
        let found = all.into_iter().find(|release| release.name == name);
        found.ok_or_else(|| Error::UnknownTriton { name: name.to_owned(), known })
    }

    /// Whether a plan built by this version of TensorRT, such as `10.13.3.9`, can be loaded. A version-compatible plan can
    /// by later versions too.
    ///
    /// # Errors
    /// [`Error::TritonVersion`].
    pub fn check_version(&self, tensorrt: &str, is_version_compatible: bool) -> Result<()> {
        let number = |version: &str| version.split('.').map_while(|part| part.parse().ok()).collect::<Vec<u32>>();
        let is_earlier = number(tensorrt) < number(&self.tensorrt);
        if is_within(tensorrt, &self.tensorrt) || (is_version_compatible && is_earlier) {
            return Ok(());
        }
        Err(Error::TritonVersion {
            release: self.name.clone(),
            needed: self.tensorrt.clone(),
            found: tensorrt.to_owned(),
            doubt: if self.verified { "" } else { " (as far as is known; ask the container for certainty)" },
        })
    }

    /// Whether the server takes this GPU.
    ///
    /// # Errors
    /// [`Error::UnsupportedGpu`].
    pub fn check_gpu(&self, gpu: &Gpu) -> Result<()> {
        let (least, found) = (self.min_compute_capability, gpu.compute_capability);
        if found >= least {
            return Ok(());
        }
        let reason = format!("Triton {} needs compute capability {least}, and it has {found}", self.name);
        Err(Error::UnsupportedGpu { gpu: gpu.name.clone(), reason })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::GpuCatalogue;

    #[test]
    fn a_release_takes_plans_of_its_own_tensorrt_only() {
        let release = TritonRelease::find("25.09").unwrap();
        assert!(release.check_version("10.13.3.9", false).is_ok());
        let error = release.check_version("10.9.0.34", false).unwrap_err().to_string();
        assert!(
            error.contains("25.09") && error.contains("10.13.3") && error.contains("as far as is known"),
            "{error}"
        );
        assert!(release.check_version("10.9.0.34", true).is_ok());
        assert!(release.check_version("11.1.0.106", true).is_err());
        let verified = TritonRelease::find("24.01").unwrap().check_version("8.6.3", false).unwrap_err().to_string();
        assert!(!verified.contains("as far as is known"), "{verified}");
        assert!(TritonRelease::find("26.05").unwrap().check_version("10.16.1.5", false).is_ok());
    }

    #[test]
    fn unknown_releases_and_old_gpus_are_refused() {
        let error = TritonRelease::find("25.9").unwrap_err().to_string();
        assert!(error.contains("25.9") && error.contains("25.09"), "{error}");
        let v100 = GpuCatalogue::built_in().find("v100").unwrap().clone();
        assert!(TritonRelease::find("24.09").unwrap().check_gpu(&v100).is_ok());
        let error = TritonRelease::find("25.04").unwrap().check_gpu(&v100).unwrap_err().to_string();
        assert!(error.contains("needs compute capability 7.5"), "{error}");
    }
}
