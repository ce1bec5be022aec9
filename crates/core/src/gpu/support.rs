//! Which pairs of GPU type and builder work, and what to do where they do not.

use super::{Builder, Gpu};
use crate::{Error, Precision, Result};
use serde::Serialize;
use std::collections::BTreeMap;

/// What a builder does for a GPU type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BuilderSupport {
    /// The builder.
    pub builder: Builder,
    /// Precisions of engines; empty when it does not know the GPU.
    pub precisions: Vec<Precision>,
    /// First version of its library that knows the GPU, where not every version that planforge takes does.
    pub since: Option<String>,
    /// Last version that does, where there is one.
    pub until: Option<String>,
    /// For each precision, the nearest GPU types that it takes, this one first where it does.
    pub nearest: BTreeMap<Precision, Vec<String>>,
}

impl Gpu {
    /// Whether `builder` can make any engine for this GPU.
    #[must_use]
    pub fn is_supported(&self, builder: Builder) -> bool {
        !self.precisions(builder).is_empty()
    }

    /// Precisions of engines that `builder` makes for this GPU.
    #[must_use]
    pub fn precisions(&self, builder: Builder) -> &[Precision] {
        self.support(builder).map_or(&[], |support| &support.precisions)
    }

    /// Whether `builder` can make an engine of `precision` for this GPU.
    ///
    /// # Errors
    /// [`Error::UnsupportedGpu`] with the reason and what works instead.
    pub fn check(&self, builder: Builder, precision: Precision) -> Result<()> {
        let precisions = self.precisions(builder);
        if precisions.contains(&precision) {
            return Ok(());
        }
        let (library, capability) = (builder.library(), self.compute_capability);
        let reason = if precisions.is_empty() {
            format!("{library} has no compute capability {capability}; {}", self.alternatives(builder, precision))
        } else {
            let known = precisions.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ");
            format!("{library} has no {precision} matrix products for compute capability {capability}; use {known}")
        };
        Err(Error::UnsupportedGpu { gpu: self.name.clone(), reason })
    }

    /// Whether `version` of the builder's library, such as `10.9.0.34`, knows this GPU.
    ///
    /// # Errors
    /// [`Error::UnsupportedGpu`] naming the last or first version that does.
    pub fn check_version(&self, builder: Builder, version: &str) -> Result<()> {
        let Some(support) = self.support(builder) else { return Ok(()) };
        let (library, capability) = (builder.library(), self.compute_capability);
        let fail = |words: String| {
            let reason = format!("{library} {version} has no compute capability {capability}: {words}");
            Err(Error::UnsupportedGpu { gpu: self.name.clone(), reason })
        };
        match (&support.since, &support.until) {
            (_, Some(last)) if is_after(version, last) => fail(format!("{last} was the last that had it")),
            (Some(first), _) if !is_after(version, first) && !is_within(version, first) => {
                fail(format!("{first} is the first that has it"))
            }
            _ => Ok(()),
        }
    }

    fn support(&self, builder: Builder) -> Option<&BuilderSupport> {
        self.builders.iter().find(|support| support.builder == builder)
    }

    /// Other builders for this GPU, and other GPU types for the builder.
    fn alternatives(&self, builder: Builder, precision: Precision) -> String {
        let others = self.builders.iter().filter(|other| other.precisions.contains(&precision));
        let others = others.map(|other| match &other.until {
            Some(last) => format!("builder `{}` takes it up to {} {last}", other.builder, other.builder.library()),
            None => format!("builder `{}` takes it", other.builder),
        });
        let nearest = self.support(builder).and_then(|support| support.nearest.get(&precision));
        let nearest = nearest.filter(|names| !names.is_empty()).map(|names| {
            let names = names.join(", ");
            format!("the nearest GPU types that builder `{builder}` takes in {precision} are {names}")
        });
        others.chain(nearest).collect::<Vec<_>>().join("; ")
    }
}

/// Numbers of a version.
fn numbers(version: &str) -> Vec<u32> {
    version.split('.').map_while(|part| part.parse().ok()).collect()
}

/// Whether `version` is of the release `of`, as 10.4.0.26 is of 10.4.
pub(crate) fn is_within(version: &str, of: &str) -> bool {
    numbers(version).starts_with(&numbers(of))
}

/// Whether `version` came after every version of the release `of`.
fn is_after(version: &str, of: &str) -> bool {
    !is_within(version, of) && numbers(version) > numbers(of)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::GpuCatalogue;

    fn gpu(name: &str) -> Gpu {
        GpuCatalogue::built_in().find(name).unwrap().clone()
    }

    #[test]
    fn t4_takes_fp16_only_and_says_so() {
        assert!(gpu("t4").check(Builder::Rtx, Precision::Fp16).is_ok());
        let error = gpu("t4").check(Builder::Rtx, Precision::Fp32).unwrap_err().to_string();
        assert!(error.contains("fp32") && error.contains("use fp16"), "{error}");
        assert!(gpu("t4").check(Builder::Trtexec, Precision::Fp32).is_ok());
    }

    #[test]
    fn bf16_is_for_compute_capability_8_0_and_later() {
        for name in ["a100", "a10g", "l4", "rtx-pro-6000"] {
            assert!(gpu(name).check(Builder::Rtx, Precision::Bf16).is_ok(), "{name}");
        }
        for (name, builder, words) in [
            ("t4", Builder::Rtx, "TensorRT-RTX has no bf16 matrix products for compute capability 7.5; use fp16"),
            (
                "t4",
                Builder::Trtexec,
                "TensorRT has no bf16 matrix products for compute capability 7.5; use fp32 or fp16",
            ),
            (
                "v100",
                Builder::Trtexec,
                "TensorRT has no bf16 matrix products for compute capability 7.0; use fp32 or fp16",
            ),
        ] {
            let error = gpu(name).check(builder, Precision::Bf16).unwrap_err().to_string();
            assert_eq!(error, format!("unsupported GPU `{name}`: {words}"));
        }
        let capable = |gpu: &Gpu| gpu.precisions(Builder::Trtexec).contains(&Precision::Bf16);
        for gpu in GpuCatalogue::built_in().gpus {
            assert_eq!(capable(&gpu), gpu.compute_capability.major >= 8, "{}", gpu.name);
        }
    }

    #[test]
    fn a_refusal_names_the_other_builder_and_the_nearest_types() {
        let error = gpu("h100").check(Builder::Rtx, Precision::Fp16).unwrap_err().to_string();
        assert_eq!(
            error,
            "unsupported GPU `h100`: TensorRT-RTX has no compute capability 9.0; builder `trtexec` takes it; \
             the nearest GPU types that builder `rtx` takes in fp16 are l40s, l4, l40"
        );
        let until = "TensorRT-RTX has no compute capability 7.0; builder `trtexec` takes it up to TensorRT 10.4; the";
        for (precision, reason) in [
            (Precision::Fp16, format!("{until} nearest GPU types that builder `rtx` takes in fp16 are t4, ")),
            // T4 has neither.
            (Precision::Fp32, format!("{until} nearest GPU types that builder `rtx` takes in fp32 are a100, ")),
            (
                Precision::Bf16,
                "TensorRT-RTX has no compute capability 7.0; the nearest GPU types that builder `rtx` takes in bf16 are \
                 a100, "
                    .to_owned(),
            ),
        ] {
            let error = gpu("v100").check(Builder::Rtx, precision).unwrap_err().to_string();
            let start = format!("unsupported GPU `v100`: {reason}");
            assert!(error.starts_with(&start), "{error}");
        }
    }

    #[test]
    fn versions_before_the_first_and_after_the_last_are_refused() {
        let check = |name: &str, version: &str| gpu(name).check_version(Builder::Trtexec, version);
        assert!(check("v100", "8.6.1").is_ok() && check("v100", "10.4.0.26").is_ok());
        let error = check("v100", "10.5.0").unwrap_err().to_string();
        assert!(error.contains("TensorRT 10.5.0 has no compute capability 7.0: 10.4 was the last"), "{error}");
        assert!(check("b200", "10.8.0").is_ok() && check("b200", "11.1.0").is_ok());
        let error = check("rtx-5090", "10.7.0").unwrap_err().to_string();
        assert!(error.contains("10.8 is the first"), "{error}");
        assert!(gpu("a10g").check_version(Builder::Rtx, "1.7.1.116").is_ok());
    }
}
