//! Names of GPU types as people write them.

use super::{Gpu, GpuCatalogue};
use crate::nearest::{nearest, one_of};
use crate::{Error, Result};

/// Names that an error suggests.
const SUGGESTIONS: usize = 3;

/// Prefix of instance types in SageMaker.
const SAGEMAKER_PREFIX: &str = "ml.";

/// Vendor and brand names that may precede a type's name.
const BRANDS: [&str; 4] = ["nvidia", "geforce", "tesla", "quadro"];

impl GpuCatalogue {
    /// The GPU type of a name in any case and with any separators, with or without the brand (`A10G`, `NVIDIA-L4`,
    /// `RTX 4090`, `a100-40gb`), or of an AWS instance type (`g5.2xlarge`, `ml.g5.2xlarge`).
    ///
    /// # Errors
    /// [`Error::UnknownGpu`] with the nearest names.
    pub fn find(&self, name: &str) -> Result<&Gpu> {
        let exact = self.gpus.iter().find(|gpu| gpu.name == name);
        exact
            .or_else(|| self.find_spelling(name))
            .or_else(|| self.find_instance(name))
            .ok_or_else(|| self.unknown(name))
    }

    /// The only type that a spelling can mean; its own name comes before its product and memory.
    fn find_spelling(&self, name: &str) -> Option<&Gpu> {
        let wanted = squash(name);
        let forms: [fn(&Gpu) -> String; 3] = [
            |gpu| squash(&gpu.name),
            |gpu| squash(&gpu.product),
            |gpu| format!("{}{}gb", squash(&gpu.name), gpu.memory_gib),
        ];
        forms.iter().find_map(|form| {
            let mut found = self.gpus.iter().filter(|gpu| form(gpu) == wanted);
            found.next().filter(|_| found.next().is_none())
        })
    }

    fn find_instance(&self, name: &str) -> Option<&Gpu> {
        let wanted = instance_name(name);
        self.gpus.iter().find(|gpu| gpu.instances.iter().any(|instance| instance.name == wanted))
    }

    fn unknown(&self, name: &str) -> Error {
        let looks_like_instance = name.contains('.');
        let suggestions = if looks_like_instance {
            let known = self.gpus.iter().flat_map(|gpu| gpu.instances.iter().map(|instance| instance.name.as_str()));
            nearest(&instance_name(name), known, SUGGESTIONS)
        } else {
            nearest(&squash(name), self.gpus.iter().map(|gpu| gpu.name.as_str()), SUGGESTIONS)
        };
        Error::UnknownGpu { name: name.to_owned(), nearest: one_of(&suggestions) }
    }
}

/// The name in lower case, without separators and brand: `NVIDIA RTX-4090` is `rtx4090`.
fn squash(name: &str) -> String {
    let lowercase = name.to_lowercase();
    let words = lowercase.split(|c: char| !c.is_alphanumeric()).filter(|word| !BRANDS.contains(word));
    words.collect()
}

/// The instance type as EC2 calls it.
fn instance_name(name: &str) -> String {
    let lowercase = name.to_lowercase();
    lowercase.strip_prefix(SAGEMAKER_PREFIX).map_or_else(|| lowercase.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name_of(name: &str) -> Option<String> {
        GpuCatalogue::built_in().find(name).ok().map(|gpu| gpu.name.clone())
    }

    #[test]
    fn gpu_names_are_understood_in_any_case_and_with_usual_spellings() {
        for (given, canonical) in [
            ("A10G", "a10g"),
            ("A10", "a10"),
            ("NVIDIA A10G", "a10g"),
            ("nvidia-l4", "l4"),
            ("Tesla T4", "t4"),
            ("RTX 4090", "rtx-4090"),
            ("rtx4090", "rtx-4090"),
            ("GeForce RTX 4070 Ti", "rtx-4070-ti"),
            ("A100-40GB", "a100"),
            ("a100_80gb", "a100-80gb"),
            ("RTX_PRO_6000", "rtx-pro-6000"),
        ] {
            assert_eq!(name_of(given).as_deref(), Some(canonical), "{given}");
        }
    }

    #[test]
    fn aws_instance_types_stand_for_their_gpu() {
        for (given, canonical) in
            [("ml.g5.2xlarge", "a10g"), ("g5.2xlarge", "a10g"), ("G4DN.XLARGE", "t4"), ("ml.g6e.48xlarge", "l40s")]
        {
            assert_eq!(name_of(given).as_deref(), Some(canonical), "{given}");
        }
    }

    #[test]
    fn an_unknown_gpu_gets_the_three_nearest_names() {
        let message = |name: &str| GpuCatalogue::built_in().find(name).unwrap_err().to_string();
        assert_eq!(message("l4s"), "unknown GPU `l4s`; did you mean `l4`, `l40s` or `l40`? `planforge gpus` lists all");
        assert!(message("a11g").contains("`a10g`"), "{}", message("a11g"));
        assert_eq!(
            message("ml.g5.3xlarge"),
            "unknown GPU `ml.g5.3xlarge`; did you mean `g5.xlarge`, `g5.2xlarge` or `g5.4xlarge`? `planforge gpus` lists all"
        );
    }

    #[test]
    fn every_canonical_name_finds_its_own_type() {
        for gpu in GpuCatalogue::built_in().gpus {
            assert_eq!(name_of(&gpu.name).as_deref(), Some(gpu.name.as_str()));
            assert_eq!(name_of(&gpu.name.to_uppercase()).as_deref(), Some(gpu.name.as_str()));
            assert_eq!(name_of(&gpu.product).as_deref(), Some(gpu.name.as_str()), "{}", gpu.product);
        }
    }
}
