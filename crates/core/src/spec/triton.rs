//! `[triton]`: how the server runs a model, beyond what the model itself determines.

use super::pipeline::Pipeline;
use super::schema::{Contradiction, Listed};
use super::values::MemorySize;
use crate::{OnnxBackend, Platform, Precision};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;
use std::path::PathBuf;

/// How Triton runs the packages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("x-elsewhere" = {"max_batch_size": "the largest `batch` of all [[profiles]] is `max_batch_size`; set it there"}))]
#[schemars(extend("x-example" = {"instances": 2, "max_queue_delay_microseconds": 500, "warm_up_batch_sizes": [1]}))]
pub struct TritonSpec {
    /// Number of model instances on each device: how many requests, or batches of them, run at the same time.
    #[schemars(
        extend("x-example" = 2, "x-default" = "2 for an ONNX graph in planforge's backend, whose instances share one session; else the server's own, 1",
            "x-also" = ["count", "instance_count"])
    )]
    pub instances: Option<NonZeroU32>,
    /// Device that instances run on.
    #[schemars(extend("x-example" = "gpu", "x-default" = "a GPU where the server has one and the backend can use it", "x-also" = ["kind", "device"]))]
    pub instance_kind: Option<InstanceKind>,
    /// Whether the server combines requests into batches, where the profiles allow more than one.
    #[schemars(extend("x-example" = true))]
    pub dynamic_batching: bool,
    /// Batch sizes that the server prefers to build; empty for the largest alone.
    #[schemars(extend("x-example" = [8, 16], "x-allowed" = "sizes from 1 to the largest batch of all profiles", "x-also" = ["preferred_batch_size"]))]
    pub preferred_batch_sizes: Vec<u64>,
    /// How long a request may wait for others, in microseconds.
    #[schemars(extend("x-example" = 500, "x-default" = "requests do not wait", "x-also" = ["max_queue_delay"]))]
    pub max_queue_delay_microseconds: Option<u64>,
    /// Batch sizes of the first sample that run while the model is loaded, so that no request pays for first-time
    /// initialization. They take part of the time that the endpoint allows for loading.
    #[schemars(extend("x-example" = [1, 16], "x-allowed" = "sizes that a profile allows"))]
    pub warm_up_batch_sizes: Vec<u64>,
    /// Whether repeated requests are answered from the server's cache, where the server was started with one.
    #[schemars(extend("x-example" = false))]
    pub response_cache: bool,
    /// Whether executions of engines are recorded and replayed as CUDA graphs.
    #[schemars(extend("x-example" = false))]
    pub cuda_graphs: bool,
    /// Whether ONNX Runtime passes the graph to TensorRT where the server has a GPU. ONNX Runtime's own backend only.
    #[schemars(extend("x-default" = "no TensorRT below ONNX Runtime"))]
    pub tensorrt_accelerator: Option<AcceleratorSpec>,
    /// File with additional fields of `config.pbtxt`, relative to the pipeline file.
    #[schemars(extend("x-example" = "extra.pbtxt", "x-allowed" = "a path to a file", "x-default" = "none"))]
    pub config: Option<PathBuf>,
}

impl Default for TritonSpec {
    fn default() -> Self {
        Self {
            instances: None,
            instance_kind: None,
            dynamic_batching: true,
            preferred_batch_sizes: Vec::new(),
            max_queue_delay_microseconds: None,
            warm_up_batch_sizes: Vec::new(),
            response_cache: false,
            cuda_graphs: false,
            tensorrt_accelerator: None,
            config: None,
        }
    }
}

/// What an instance of a model runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum InstanceKind {
    /// The processor.
    Cpu,
    /// Each GPU of the server.
    Gpu,
}

/// TensorRT below ONNX Runtime, which builds its engines when the model is loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-example" = {"precision": "fp16", "workspace": "1 GiB"}))]
pub struct AcceleratorSpec {
    /// Precision of the engines: `fp32` or `fp16`.
    #[schemars(with = "Option<Listed<Precision>>", extend("x-example" = "fp16", "x-default" = "the graph's own"))]
    pub precision: Option<Precision>,
    /// Limit of the builder's scratch memory.
    #[schemars(extend("x-example" = "1 GiB", "x-default" = "the builder's own"))]
    pub workspace: Option<MemorySize>,
    /// Folder of the server that keeps engines from one load to the next.
    #[schemars(extend("x-example" = "/var/cache/engines", "x-allowed" = "a path to a folder", "x-default" = "none; engines are rebuilt at every load"))]
    pub engine_cache: Option<String>,
}

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
