//! Whether a library and a GPU can run an engine, by the engine's header, before the library sees the rest of it.

use crate::{Error, Header, LocalGpu, Result};
use std::path::Path;

/// Compares the header of the engine at `plan` with the version of the library and with the GPU.
///
/// An engine belongs to the minor version that built it; whether a patch may differ is for the library to say.
///
/// # Errors
/// [`Error::EngineVersion`], [`Error::EngineTarget`].
pub fn check_fit(plan: &Path, header: &Header, library_version: &str, gpu: &LocalGpu) -> Result<()> {
    let [major, minor, ..] = header.version;
    if !library_version.starts_with(&format!("{major}.{minor}.")) {
        return Err(Error::EngineVersion {
            path: plan.to_owned(),
            engine: header.version.map(|number| number.to_string()).join("."),
            library: library_version.to_owned(),
        });
    }
    if header.compute_capabilities.contains(&gpu.compute_capability) {
        return Ok(());
    }
    Err(Error::EngineTarget {
        path: plan.to_owned(),
        targets: header.compute_capabilities.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        gpu: gpu.product.clone(),
        found: gpu.compute_capability.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use planforge_types::ComputeCapability;

    fn check(version: [u8; 4], library: &str, capability: &str) -> String {
        let compute_capabilities = vec![ComputeCapability::new(8, 6), ComputeCapability::new(8, 9)];
        let header = Header { version, compute_capabilities };
        let product = "NVIDIA L4".to_owned();
        let gpu = LocalGpu { product, compute_capability: capability.parse().unwrap(), memory_byte_count: 0 };
        let checked = check_fit(Path::new("m.plan"), &header, library, &gpu);
        checked.map_or_else(|error| error.to_string(), |()| "fits".to_owned())
    }

    #[test]
    fn engines_of_the_gpu_and_the_minor_version_fit() {
        assert_eq!(check([1, 7, 1, 116], "1.7.1.116", "8.9"), "fits");
        assert_eq!(check([1, 7, 0, 5], "1.7.1.116", "8.6"), "fits");
    }

    #[test]
    fn others_are_told_what_differs() {
        assert_eq!(
            check([1, 6, 0, 34], "1.7.1.116", "8.9"),
            "`m.plan` was built by TensorRT-RTX 1.6.0.34, the library here is 1.7.1.116; compile it again"
        );
        assert!(check([1, 7, 0, 1], "1.70.0.1", "8.9").contains("compile it again"));
        assert_eq!(
            check([1, 7, 1, 116], "1.7.1.116", "7.5"),
            "`m.plan` was built for compute capability 8.6, 8.9, the GPU here (NVIDIA L4) has 7.5; compile it for that one"
        );
    }
}
