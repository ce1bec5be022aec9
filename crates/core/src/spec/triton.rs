//! `[triton]`: how the server runs a model, beyond what the model itself says.

use super::pipeline::Pipeline;
use super::values::MemorySize;
use crate::{OnnxBackend, Platform, Precision};
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;
use std::path::PathBuf;

/// `[triton]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TritonSpec {
    /// How many requests, or batches of them, a model runs at a time on each device. When left out, 2 for an ONNX graph in
    /// planforge's backend, whose instances share one session, and else the server's own number, 1.
    pub instances: Option<NonZeroU32>,
    /// What it runs on; a GPU where there is one and the backend can use it, when left out.
    pub instance_kind: Option<InstanceKind>,
    /// Whether the server gathers requests into batches, where the profiles allow more than one.
    pub dynamic_batching: bool,
    /// Batches that it gathers rather than others; the largest alone when empty.
    pub preferred_batch_sizes: Vec<u64>,
    /// How long a request may wait for others; not at all when left out.
    pub max_queue_delay_microseconds: Option<u64>,
    /// Batches of the first sample that run while the model is loaded, so that no request waits for what a first one
    /// sets up. They take part of the time that the endpoint has for loading.
    pub warm_up_batch_sizes: Vec<u64>,
    /// Whether equal requests are answered from the server's cache, where it was started with one.
    pub response_cache: bool,
    /// Whether executions of engines are recorded and replayed as CUDA graphs.
    pub cuda_graphs: bool,
    /// Whether ONNX Runtime gives the graph to TensorRT where the server has a GPU; its own backend only.
    pub tensorrt_accelerator: Option<AcceleratorSpec>,
    /// A file with further fields of `config.pbtxt`, relative to the pipeline file.
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InstanceKind {
    /// The processor.
    Cpu,
    /// Each GPU of the server.
    Gpu,
}

/// `[triton.tensorrt_accelerator]`: TensorRT below ONNX Runtime, which builds its engines when the model is loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcceleratorSpec {
    /// Arithmetic of the engines; the graph's own when left out.
    pub precision: Option<Precision>,
    /// Most scratch memory of the builder; its own limit when left out.
    pub workspace: Option<MemorySize>,
    /// A folder of the server that engines are kept in from one load to the next; none when left out.
    pub engine_cache: Option<String>,
}

impl Pipeline {
    /// What `[triton]` says to the profiles and platforms, and they to it.
    pub(super) fn check_triton(&self) -> Result<(), (&'static str, String)> {
        let (spec, most) = (&self.triton, self.max_batch_size());
        for (key, sizes) in [
            ("triton.preferred_batch_sizes", &spec.preferred_batch_sizes),
            ("triton.warm_up_batch_sizes", &spec.warm_up_batch_sizes),
        ] {
            if let Some(size) = sizes.iter().find(|size| !(1..=most).contains(size)) {
                return Err((key, format!("{size} is outside the profiles: use 1 to {most}")));
            }
            if let Some(size) = sizes.iter().enumerate().find(|(index, size)| sizes[..*index].contains(size)) {
                return Err((key, format!("{} is there twice", size.1)));
            }
        }
        if let Some(size) = self.untaken(&spec.warm_up_batch_sizes) {
            let ranges = self.profiles.iter().map(|profile| format!("{} to {}", profile.batch.min, profile.batch.max));
            let ranges = ranges.collect::<Vec<_>>().join(", or ");
            return Err(("triton.warm_up_batch_sizes", format!("no profile takes a batch of {size}: use {ranges}")));
        }
        let is_batched = spec.dynamic_batching && most > 1;
        let why = if spec.dynamic_batching { "no profile has a batch above 1" } else { "`dynamic_batching` is off" };
        if !is_batched && !spec.preferred_batch_sizes.is_empty() {
            return Err(("triton.preferred_batch_sizes", format!("nothing is gathered: {why}")));
        }
        if !is_batched && spec.max_queue_delay_microseconds.is_some() {
            return Err(("triton.max_queue_delay_microseconds", format!("nothing is gathered: {why}")));
        }
        self.check_devices()
    }

    /// A batch that no engine would take; there is none where no engines are packaged.
    fn untaken<'a>(&self, batches: &'a [u64]) -> Option<&'a u64> {
        let takes = |batch: u64| self.profiles.iter().any(|it| (it.batch.min..=it.batch.max).contains(&batch));
        batches.iter().find(|batch| self.package.platforms.contains(&Platform::Tensorrt) && !takes(**batch))
    }

    /// Settings of one backend need a package for it.
    fn check_devices(&self) -> Result<(), (&'static str, String)> {
        let (spec, platforms) = (&self.triton, &self.package.platforms);
        let has_engines = platforms.contains(&Platform::Tensorrt);
        if spec.instance_kind == Some(InstanceKind::Cpu) && has_engines {
            return Err(("triton.instance_kind", "engines run on GPUs only".to_owned()));
        }
        if spec.instance_kind == Some(InstanceKind::Cpu)
            && platforms.contains(&Platform::Onnx)
            && self.export.precisions.contains(&Precision::Bf16)
        {
            return Err(("triton.instance_kind", "ONNX Runtime has bf16 arithmetic on GPUs only".to_owned()));
        }
        if spec.cuda_graphs && !has_engines {
            let why = "only engines are run as CUDA graphs, and none are packaged";
            return Err(("triton.cuda_graphs", why.to_owned()));
        }
        let has_onnx_runtime =
            platforms.contains(&Platform::Onnx) && self.package.onnx_backend == OnnxBackend::Onnxruntime;
        if spec.tensorrt_accelerator.is_some() && !has_onnx_runtime {
            let why = "it is one of Triton's ONNX Runtime backend, and nothing is packaged for that";
            return Err(("triton.tensorrt_accelerator", why.to_owned()));
        }
        if spec.tensorrt_accelerator.as_ref().is_some_and(|it| it.precision == Some(Precision::Bf16)) {
            return Err((
                "triton.tensorrt_accelerator.precision",
                "the backend knows \"fp32\" and \"fp16\"".to_owned(),
            ));
        }
        Ok(())
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
            let wanted = format!("key `triton.{key}`: 5 is outside the profiles: use 1 to 4");
            assert!(message.contains(&wanted), "{message}");
            assert!(check(&format!("[triton]\n{key} = [0]")).unwrap_err().contains("use 1 to 4"));
            assert!(check(&format!("[triton]\n{key} = [2, 2]")).unwrap_err().contains("2 is there twice"));
        }
        assert!(check("[triton]\ninstances = 0").unwrap_err().contains("instances = 0"));
    }

    #[test]
    fn engines_are_warmed_up_in_batches_of_their_profiles() {
        let tables = |platform: &str| {
            format!(
                "[[profiles]]\nbatch = [8, 8, 16]\nsequence = [1, 8, 16]\n[compile]\ngpus = [\"l4\"]\n[package]\n\
                 platforms = [\"{platform}\"]\n[triton]\nwarm_up_batch_sizes = [4, 6]"
            )
        };
        let message = check(&tables("tensorrt")).unwrap_err();
        let wanted = "key `triton.warm_up_batch_sizes`: no profile takes a batch of 6: use 1 to 4, or 8 to 16";
        assert!(message.contains(wanted), "{message}");
        check(&tables("onnx")).unwrap();
        check(&tables("tensorrt").replace('6', "8")).unwrap();
    }

    #[test]
    fn what_cannot_take_effect_is_refused() {
        let fault = |tables: &str, wanted: &str| {
            let message = check(tables).unwrap_err();
            assert!(message.contains(wanted), "{message}");
        };
        fault("[triton]\ndynamic_batching = false\npreferred_batch_sizes = [2]", "`dynamic_batching` is off");
        fault("[triton]\ndynamic_batching = false\nmax_queue_delay_microseconds = 5", "`dynamic_batching` is off");
        fault("[triton]\ncuda_graphs = true", "only engines are run as CUDA graphs");
        fault("[package]\nonnx_backend = \"planforge\"\n[triton.tensorrt_accelerator]", "ONNX Runtime backend");
        let bf16 = "[export]\nprecisions = [\"bf16\"]\n[triton]\n";
        fault(&format!("{bf16}instance_kind = \"cpu\""), "ONNX Runtime has bf16 arithmetic on GPUs only");
        fault("[triton.tensorrt_accelerator]\nprecision = \"bf16\"", "the backend knows \"fp32\" and \"fp16\"");
        let engines = "[compile]\ngpus = [\"l4\"]\n[package]\nplatforms = [\"tensorrt\"]\n[triton]\n";
        fault(&format!("{engines}instance_kind = \"cpu\""), "engines run on GPUs only");
        check(&format!("{engines}cuda_graphs = true")).unwrap();
    }
}
