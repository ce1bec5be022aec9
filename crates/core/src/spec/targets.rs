//! From the GPU types that a pipeline names to the engines that are built for them.

use super::pipeline::Pipeline;
use crate::{ComputeCapability, Error, Gpu, GpuCatalogue, Platform, Precision, Result, Variant};

/// Stands for every GPU type in AWS's instances that the builder knows.
const ALL: &str = "all";

/// One engine to build: the GPU types it is for, all of which support its precision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineTarget {
    /// Which package it goes into.
    pub variant: Variant,
    /// The GPU types; more than one where one engine serves several.
    pub gpus: Vec<Gpu>,
}

impl EngineTarget {
    /// The engine of `precision` for one GPU type.
    #[must_use]
    pub fn single(precision: Precision, gpu: &Gpu) -> Self {
        Self { variant: Variant::tensorrt(precision, &gpu.name), gpus: vec![gpu.clone()] }
    }

    /// One engine of `precision` for several GPU types, or one archive of such engines. Its name has their compute
    /// capabilities (`tensorrt-fp16-sm86-sm89`): the same set is the same engine, regardless of the names and the order of
    /// the types, and another set never replaces it.
    #[must_use]
    pub fn multi_target(precision: Precision, gpus: Vec<Gpu>) -> Self {
        let name = capabilities(&gpus).iter().map(|it| format!("sm{}{}", it.major, it.minor)).collect::<Vec<_>>();
        Self { variant: Variant::tensorrt(precision, &name.join("-")), gpus }
    }

    /// Compute capabilities of the GPU types, ascending, each once.
    #[must_use]
    pub fn compute_capabilities(&self) -> Vec<ComputeCapability> {
        capabilities(&self.gpus)
    }
}

fn capabilities(gpus: &[Gpu]) -> Vec<ComputeCapability> {
    let mut found: Vec<_> = gpus.iter().map(|gpu| gpu.compute_capability).collect();
    found.sort();
    found.dedup();
    found
}

impl Pipeline {
    /// The engines to build, and a sentence for each precision that is left out for a GPU type because the builder does not
    /// support it there.
    ///
    /// # Errors
    /// An unknown GPU, or one that supports none of the precisions. With `all`, such types are left out.
    pub fn engine_targets(&self, catalogue: &GpuCatalogue) -> Result<(Vec<EngineTarget>, Vec<String>)> {
        if !self.package.platforms.contains(&Platform::Tensorrt) {
            return Ok((Vec::new(), Vec::new()));
        }
        let (mut pairs, mut skipped) = (Vec::new(), Vec::new());
        for (gpu, named) in self.gpus(catalogue)? {
            let precisions = &self.export.precisions;
            let check = |&precision: &Precision| (precision, gpu.check(self.compile.builder, precision));
            let (fits, refused): (Vec<_>, Vec<_>) = precisions.iter().map(check).partition(|(_, check)| check.is_ok());
            for error in refused.into_iter().filter_map(|(_, check)| check.err()) {
                if fits.is_empty() && named {
                    return Err(error);
                }
                skipped.push(error.to_string());
            }
            pairs.extend(fits.into_iter().map(|(precision, _)| (precision, gpu)));
        }
        if pairs.is_empty() {
            return Err(Error::NoTarget { builder: self.compile.builder.to_string() });
        }
        if !self.compile.multi_target {
            let single = |(precision, gpu): &(Precision, &Gpu)| EngineTarget::single(*precision, gpu);
            return Ok((pairs.iter().map(single).collect(), skipped));
        }
        let of = |wanted: Precision| pairs.iter().filter(move |pair| pair.0 == wanted).map(|pair| pair.1.clone());
        let multi_target = |&precision: &Precision| EngineTarget::multi_target(precision, of(precision).collect());
        let targets = self.export.precisions.iter().map(multi_target).filter(|target| !target.gpus.is_empty());
        Ok((targets.collect(), skipped))
    }

    /// The packages to make of the exported precisions and the engines of `targets`.
    #[must_use]
    pub fn variants(&self, targets: &[EngineTarget]) -> Vec<Variant> {
        let of = |platform: &Platform| match platform {
            Platform::Onnx => self.export.precisions.iter().map(|&precision| Variant::onnx(precision)).collect(),
            Platform::Pytorch => {
                let precisions = self.package.pytorch_precisions.as_ref().unwrap_or(&self.export.precisions);
                precisions.iter().map(|&precision| Variant::pytorch(precision)).collect()
            }
            Platform::Tensorrt if self.package.multi_target => self.multi_target_packages(targets),
            Platform::Tensorrt => targets.iter().map(|target| target.variant.clone()).collect::<Vec<_>>(),
        };
        self.package.platforms.iter().flat_map(of).collect()
    }

    /// One package for each precision of `targets`.
    fn multi_target_packages(&self, targets: &[EngineTarget]) -> Vec<Variant> {
        let gpus = |wanted: Precision| {
            let those = targets.iter().filter(move |target| target.variant.precision == wanted);
            those.flat_map(|target| target.gpus.clone()).collect::<Vec<_>>()
        };
        let packages =
            self.export.precisions.iter().map(|&precision| EngineTarget::multi_target(precision, gpus(precision)));
        packages.filter(|package| !package.gpus.is_empty()).map(|package| package.variant).collect()
    }

    /// Whether the engine of `target` goes into the package `variant`.
    #[must_use]
    pub fn is_packed(&self, target: &EngineTarget, variant: &Variant) -> bool {
        let is_of_all = self.package.multi_target && variant.platform == Platform::Tensorrt;
        target.variant == *variant || is_of_all && target.variant.precision == variant.precision
    }

    /// The GPU types of `compile.gpus`, each once, and whether one was named rather than meant by `all`.
    fn gpus<'a>(&self, catalogue: &'a GpuCatalogue) -> Result<Vec<(&'a Gpu, bool)>> {
        let mut found: Vec<(&Gpu, bool)> = Vec::new();
        for name in &self.compile.gpus {
            let is_named = name != ALL;
            let gpus = if is_named {
                vec![catalogue.find(name)?]
            } else {
                let is_meant = |gpu: &&Gpu| !gpu.instances.is_empty() && gpu.is_supported(self.compile.builder);
                catalogue.gpus.iter().filter(is_meant).collect()
            };
            for gpu in gpus {
                match found.iter_mut().find(|(known, _)| known.name == gpu.name) {
                    Some((_, was_named)) => *was_named |= is_named,
                    None => found.push((gpu, is_named)),
                }
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pipeline(compile: &str, precisions: &str) -> Pipeline {
        let text = format!(
            "name = \"m\"\ntask = \"image-classification\"\n[source]\npath = \".\"\n[[profiles]]\nbatch = [1, 2, 4]\n\
             [export]\nprecisions = {precisions}\n[compile]\n{compile}\n[package]\nplatforms = [\"onnx\", \"tensorrt\"]\n"
        );
        toml::from_str(&text).unwrap()
    }

    fn ids(compile: &str, precisions: &str) -> Result<(Vec<String>, Vec<String>)> {
        let (targets, skipped) = pipeline(compile, precisions).engine_targets(&GpuCatalogue::built_in())?;
        Ok((targets.iter().map(|target| target.variant.id()).collect(), skipped))
    }

    #[test]
    fn each_gpu_gets_the_precisions_it_supports() {
        let (found, skipped) = ids("gpus = [\"t4\", \"l4\", \"t4\"]", "[\"fp32\", \"fp16\"]").unwrap();
        assert_eq!(found, ["tensorrt-fp16-t4", "tensorrt-fp32-l4", "tensorrt-fp16-l4"]);
        assert!(skipped.len() == 1 && skipped[0].contains("t4") && skipped[0].contains("use fp16"), "{skipped:?}");
    }

    #[test]
    fn other_spellings_and_instance_types_give_the_engine_of_the_canonical_name() {
        let (found, _) = ids("gpus = [\"A10G\", \"ml.g5.2xlarge\", \"nvidia-l4\"]", "[\"fp16\"]").unwrap();
        assert_eq!(found, ["tensorrt-fp16-a10g", "tensorrt-fp16-l4"]);
    }

    #[test]
    fn a_fat_engine_is_called_by_its_compute_capabilities() {
        let (found, _) =
            ids("gpus = [\"l40s\", \"t4\", \"a10g\", \"l4\"]\nfat = true", "[\"fp32\", \"fp16\"]").unwrap();
        assert_eq!(found, ["tensorrt-fp32-sm86-sm89", "tensorrt-fp16-sm75-sm86-sm89"]);
        let (found, skipped) = ids("gpus = [\"l4\", \"t4\", \"a10g\"]\nfat = true", "[\"fp16\", \"bf16\"]").unwrap();
        assert_eq!(found, ["tensorrt-fp16-sm75-sm86-sm89", "tensorrt-bf16-sm86-sm89"]);
        assert!(skipped.len() == 1 && skipped[0].contains("no bf16 matrix products"), "{skipped:?}");
        let same = ids("gpus = [\"a10g\", \"l4\"]\nfat = true", "[\"fp16\"]").unwrap().0;
        assert_eq!(same, ids("gpus = [\"l40s\", \"a10g\"]\nfat = true", "[\"fp16\"]").unwrap().0);
    }

    #[test]
    fn all_leaves_out_unsupported_types_and_a_named_type_is_refused() {
        let (found, skipped) = ids("gpus = [\"all\"]", "[\"fp32\"]").unwrap();
        assert!(found.contains(&"tensorrt-fp32-l40s".to_owned()) && !found.iter().any(|id| id.ends_with("-t4")));
        assert!(!found.iter().any(|id| id.ends_with("h100")), "{found:?}");
        assert!(skipped.iter().any(|sentence| sentence.contains("`t4`")), "{skipped:?}");
        let error = ids("gpus = [\"all\", \"t4\"]", "[\"fp32\"]").unwrap_err().to_string();
        assert!(error.contains("`t4`") && error.contains("use fp16"), "{error}");
    }
}
