//! Whether the keys of `[triton]` fit the profiles and platforms.

use super::Pipeline;
use crate::spec::schema::Contradiction;
use crate::spec::triton::InstanceKind;
use crate::{OnnxBackend, Platform, Precision};

impl Pipeline {
    /// Keys of `[triton]` that contradict the profiles or platforms.
    pub(super) fn triton_contradictions(&self) -> Vec<Contradiction> {
        let mut found = self.batch_size_contradictions();
        let (spec, most) = (&self.triton, self.max_batch_size());
        let is_batched = spec.dynamic_batching && most > 1;
        let (other, why) = if spec.dynamic_batching {
            ("profiles.batch", "no profile has a batch above 1")
        } else {
            ("triton.dynamic_batching", "`triton.dynamic_batching` is off")
        };
        let keys = [
            ("triton.preferred_batch_sizes", !spec.preferred_batch_sizes.is_empty()),
            ("triton.max_queue_delay_microseconds", spec.max_queue_delay_microseconds.is_some()),
        ];
        for (key, _) in keys.into_iter().filter(|(_, is_set)| *is_set && !is_batched) {
            found.push(Contradiction::new(&[key, other], format!("has no effect: {why}; remove one of the two")));
        }
        found.extend(self.device_contradictions());
        found
    }

    /// Batch sizes outside the profiles, or named twice.
    fn batch_size_contradictions(&self) -> Vec<Contradiction> {
        let (spec, most) = (&self.triton, self.max_batch_size());
        let mut found = Vec::new();
        for (key, sizes) in [
            ("triton.preferred_batch_sizes", &spec.preferred_batch_sizes),
            ("triton.warm_up_batch_sizes", &spec.warm_up_batch_sizes),
        ] {
            let outside = sizes.iter().filter(|size| !(1..=most).contains(*size));
            found.extend(outside.map(|size| {
                let message = format!("invalid batch size {size}; expected 1 to {most}, as `profiles.batch` allows");
                Contradiction::new(&[key, "profiles.batch"], message)
            }));
            let repeated = sizes.iter().enumerate().filter(|(index, size)| sizes[..*index].contains(size));
            found.extend(repeated.map(|(_, size)| Contradiction::new(&[key], format!("{size} is listed twice"))));
        }
        if let (true, Some(size)) = (found.is_empty(), self.unsupported_batch(&spec.warm_up_batch_sizes)) {
            let ranges = self.profiles.iter().map(|profile| format!("{} to {}", profile.batch.min, profile.batch.max));
            let ranges = ranges.collect::<Vec<_>>().join(", or ");
            let message = format!("no profile allows a batch of {size}; expected {ranges}");
            found.push(Contradiction::new(&["triton.warm_up_batch_sizes", "profiles.batch"], message));
        }
        found
    }

    /// A batch size that no engine supports; there is none where no engines are packaged.
    fn unsupported_batch<'a>(&self, batches: &'a [u64]) -> Option<&'a u64> {
        let is_supported = |batch: u64| self.profiles.iter().any(|it| (it.batch.min..=it.batch.max).contains(&batch));
        batches.iter().find(|batch| self.package.platforms.contains(&Platform::Tensorrt) && !is_supported(**batch))
    }

    /// Settings of one backend need a package for it.
    fn device_contradictions(&self) -> Vec<Contradiction> {
        let (spec, platforms) = (&self.triton, &self.package.platforms);
        let has_engines = platforms.contains(&Platform::Tensorrt);
        let has_onnx = platforms.contains(&Platform::Onnx);
        let on_cpu = spec.instance_kind == Some(InstanceKind::Cpu);
        let has_onnx_runtime = has_onnx && self.package.onnx_backend == OnnxBackend::Onnxruntime;
        let precision = spec.tensorrt_accelerator.as_ref().and_then(|accelerator| accelerator.precision);
        let rules = [
            (
                on_cpu && has_engines,
                Contradiction::new(
                    &["triton.instance_kind", "package.platforms"],
                    "engines run on GPUs only; use \"gpu\", or remove \"tensorrt\" from `package.platforms`",
                ),
            ),
            (
                on_cpu && has_onnx && self.export.precisions.contains(&Precision::Bf16),
                Contradiction::new(
                    &["triton.instance_kind", "export.precisions"],
                    "ONNX Runtime has bf16 arithmetic on GPUs only; use \"gpu\", or remove \"bf16\" from `export.precisions`",
                ),
            ),
            (
                spec.cuda_graphs && !has_engines,
                Contradiction::new(
                    &["triton.cuda_graphs", "package.platforms"],
                    "only engines run as CUDA graphs, and `package.platforms` does not name \"tensorrt\"",
                ),
            ),
            (
                spec.tensorrt_accelerator.is_some() && !has_onnx_runtime,
                Contradiction::new(
                    &["triton.tensorrt_accelerator", "package.platforms", "package.onnx_backend"],
                    "needs Triton's ONNX Runtime backend; set `onnx_backend = \"onnxruntime\"` and name \"onnx\" in \
                     `package.platforms`",
                ),
            ),
            (
                precision == Some(Precision::Bf16),
                Contradiction::new(
                    &["triton.tensorrt_accelerator.precision"],
                    "unsupported value `bf16`; expected `fp32` or `fp16`",
                ),
            ),
        ];
        rules.into_iter().filter(|(is_broken, _)| *is_broken).map(|(_, contradiction)| contradiction).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TritonSpec;

    const SMALL: &str = "name = \"m\"\ntask = \"sentence-embedding\"\n[source]\nrepo = \"o/n\"\n[[profiles]]\n\
                         batch = [1, 2, 4]\nsequence = [1, 8, 16]\n";

    fn check(tables: &str) -> Result<TritonSpec, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.toml");
        fs_err::write(&path, format!("{SMALL}{tables}")).unwrap();
        Pipeline::read(&path).map(|pipeline| pipeline.triton).map_err(|error| error.to_string())
    }

    #[test]
    fn everything_is_left_to_the_server_by_default() {
        let spec = check("").unwrap();
        assert_eq!(spec, TritonSpec::default());
        assert!(spec.dynamic_batching);
    }

    #[test]
    fn sizes_lie_within_the_profiles() {
        let spec = check("[triton]\npreferred_batch_sizes = [2, 4]\nwarm_up_batch_sizes = [1, 4]").unwrap();
        assert_eq!((spec.preferred_batch_sizes, spec.warm_up_batch_sizes), (vec![2, 4], vec![1, 4]));
        for key in ["preferred_batch_sizes", "warm_up_batch_sizes"] {
            let message = check(&format!("[triton]\n{key} = [2, 5]")).unwrap_err();
            let wanted = format!("key `triton.{key}`: invalid batch size 5; expected 1 to 4");
            assert!(message.contains(&wanted), "{message}");
            assert!(check(&format!("[triton]\n{key} = [0]")).unwrap_err().contains("expected 1 to 4"));
            assert!(check(&format!("[triton]\n{key} = [2, 2]")).unwrap_err().contains("2 is listed twice"));
        }
        let message = check("[triton]\ninstances = 0").unwrap_err();
        assert!(
            message.contains("key `triton.instances`: invalid value 0; expected an integer of at least 1"),
            "{message}"
        );
    }

    #[test]
    fn engines_are_warmed_up_in_batches_of_their_profiles() {
        let engines = "[compile]\ngpus = [\"l4\"]\n";
        let tables = |platform: &str| {
            format!(
                "[[profiles]]\nbatch = [8, 8, 16]\nsequence = [1, 8, 16]\n{platform}[triton]\nwarm_up_batch_sizes = [4, 6]"
            )
        };
        let message = check(&tables(engines)).unwrap_err();
        let wanted = "key `triton.warm_up_batch_sizes`: no profile allows a batch of 6; expected 1 to 4, or 8 to 16";
        assert!(message.contains(wanted), "{message}");
        check(&tables("")).unwrap();
        check(&tables(engines).replace("4, 6", "4, 8")).unwrap();
    }

    #[test]
    fn what_cannot_take_effect_is_refused() {
        let fault = |tables: &str, wanted: &str| {
            let message = check(tables).unwrap_err();
            assert!(message.contains(wanted), "{message}");
        };
        fault("[triton]\ndynamic_batching = false\npreferred_batch_sizes = [2]", "`triton.dynamic_batching` is off");
        fault(
            "[triton]\ndynamic_batching = false\nmax_queue_delay_microseconds = 5",
            "`triton.dynamic_batching` is off",
        );
        fault("[triton]\ncuda_graphs = true", "only engines run as CUDA graphs");
        fault("[package]\nonnx_backend = \"planforge\"\n[triton.tensorrt_accelerator]", "ONNX Runtime backend");
        let bf16 = "[export]\nprecisions = [\"bf16\"]\n[triton]\n";
        fault(&format!("{bf16}instance_kind = \"cpu\""), "ONNX Runtime has bf16 arithmetic on GPUs only");
        fault(
            "[triton.tensorrt_accelerator]\nprecision = \"bf16\"",
            "unsupported value `bf16`; expected `fp32` or `fp16`",
        );
        let engines = "[compile]\ngpus = [\"l4\"]\n[package]\nplatforms = [\"tensorrt\"]\n[triton]\n";
        fault(&format!("{engines}instance_kind = \"cpu\""), "engines run on GPUs only");
        check(&format!("{engines}cuda_graphs = true")).unwrap();
    }
}
