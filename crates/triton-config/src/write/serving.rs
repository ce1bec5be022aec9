//! How the server runs a model: batches, instances, warm-up and the switches of single backends.

use super::extra::ExtraConfig;
use super::text::{Fields, line, quoted, type_name};
use crate::{Error, Result};
use planforge_core::{AcceleratorSpec, DataType, InstanceKind, TensorSpec, TritonSpec};
use std::num::NonZeroU32;

/// Folder of a package that the server looks for warm-up data in.
pub(crate) const WARM_UP_FOLDER: &str = "warmup";

/// The parts of a configuration that do not follow from the model.
#[derive(Debug, Clone, Default)]
pub struct ServingOptions {
    /// The pipeline's `[triton]`.
    pub triton: TritonSpec,
    /// Inputs of one item, for [`TritonSpec::warm_up_batch_sizes`]; those of other inputs are not used.
    pub warm_up: Vec<WarmUpInput>,
    /// Fields that the user adds.
    pub extra: Option<ExtraConfig>,
}

/// One item of an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WarmUpInput {
    /// Name of the input.
    pub name: String,
    /// Type of its elements.
    pub data_type: DataType,
    /// Its dimensions without the batch.
    pub dims: Vec<u64>,
    /// Its elements in row-major order, little-endian.
    pub bytes: Vec<u8>,
}

/// What runs a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ServedBy {
    OnnxRuntime,
    Planforge,
    Pytorch,
    Tensorrt,
}

/// What is served.
pub(super) struct Served<'a> {
    pub(super) inputs: &'a [TensorSpec],
    pub(super) max_batch_size: u64,
    pub(super) by: ServedBy,
    /// What alone it runs on.
    pub(super) kind: Option<InstanceKind>,
}

/// Instances of a graph in planforge's backend, where the pipeline does not say and no GPU is asked for. They share one
/// session: the second costs no weights, and computes while the first waits for its threads or answers.
pub const SHARING_INSTANCES: NonZeroU32 = NonZeroU32::new(2).expect("2 is not 0");

impl Served<'_> {
    /// Whether it is an engine, of either kind: those that planforge's backend runs are for GPUs alone.
    fn is_engine(&self) -> bool {
        self.by == ServedBy::Tensorrt || self.by == ServedBy::Planforge && self.kind == Some(InstanceKind::Gpu)
    }
}

impl ServingOptions {
    /// Path of each warm-up file in the model's folder, and its bytes.
    pub fn warm_up_files(&self) -> impl Iterator<Item = (String, &[u8])> {
        let is_used = !self.triton.warm_up_batch_sizes.is_empty();
        let files = self.warm_up.iter().enumerate().filter(move |_| is_used);
        files.map(|(index, input)| (format!("{WARM_UP_FOLDER}/{}", file_name(index)), input.bytes.as_slice()))
    }

    pub(super) fn add_to(&self, fields: &mut Fields, served: &Served<'_>) -> Result<()> {
        let spec = &self.triton;
        if spec.dynamic_batching && served.max_batch_size > 1 {
            fields.add("dynamic_batching", dynamic_batching(spec));
        }
        if let Some(text) = instance_group(spec, served) {
            fields.add("instance_group", text);
        }
        if spec.cuda_graphs && served.is_engine() {
            fields.add("optimization", "optimization {\n  cuda {\n    graphs: true\n  }\n}\n".to_owned());
        }
        if let Some(spec) = spec.tensorrt_accelerator.as_ref().filter(|_| served.by == ServedBy::OnnxRuntime) {
            fields.add("optimization", accelerator(spec));
        }
        if spec.response_cache {
            fields.add("response_cache", "response_cache {\n  enable: true\n}\n".to_owned());
        }
        if !spec.warm_up_batch_sizes.is_empty() {
            fields.add("model_warmup", self.warm_up(served.inputs)?);
        }
        Ok(())
    }

    /// The text, with the fields that the user adds.
    pub(super) fn finish(&self, fields: Fields) -> Result<String> {
        match &self.extra {
            Some(extra) => extra.merge(fields),
            None => Ok(fields.into_text()),
        }
    }

    /// A request for each batch: the server repeats one item's data.
    fn warm_up(&self, inputs: &[TensorSpec]) -> Result<String> {
        let mut text = "model_warmup [\n".to_owned();
        let sizes = &self.triton.warm_up_batch_sizes;
        for (place, batch) in sizes.iter().enumerate() {
            line(&mut text, format_args!("  {{\n    name: \"batch of {batch}\"\n    batch_size: {batch}"));
            for input in inputs {
                let found = self.warm_up.iter().position(|known| known.name == input.name);
                let index = found.ok_or_else(|| Error::WarmUp { tensor: input.name.clone() })?;
                let WarmUpInput { name, data_type, dims, .. } = &self.warm_up[index];
                let dims: Vec<String> = dims.iter().map(ToString::to_string).collect();
                // A scalar for each item has one dimension on the wire.
                let dims = if dims.is_empty() { "1".to_owned() } else { dims.join(", ") };
                line(&mut text, format_args!("    inputs {{\n      key: {}\n      value {{", quoted(name)));
                line(&mut text, format_args!("        data_type: {}\n        dims: [ {dims} ]", type_name(*data_type)));
                line(
                    &mut text,
                    format_args!("        input_data_file: {}\n      }}\n    }}", quoted(&file_name(index))),
                );
            }
            text.push_str(if place + 1 < sizes.len() { "  },\n" } else { "  }\n" });
        }
        text.push_str("]\n");
        Ok(text)
    }
}

/// Names of inputs may hold anything; numbers are names of files everywhere.
fn file_name(index: usize) -> String {
    format!("input-{index}")
}

fn dynamic_batching(spec: &TritonSpec) -> String {
    let sizes: Vec<String> = spec.preferred_batch_sizes.iter().map(ToString::to_string).collect();
    let mut text = String::new();
    if !sizes.is_empty() {
        line(&mut text, format_args!("  preferred_batch_size: [ {} ]", sizes.join(", ")));
    }
    if let Some(delay) = spec.max_queue_delay_microseconds {
        line(&mut text, format_args!("  max_queue_delay_microseconds: {delay}"));
    }
    if text.is_empty() { "dynamic_batching { }\n".to_owned() } else { format!("dynamic_batching {{\n{text}}}\n") }
}

fn instance_group(spec: &TritonSpec, served: &Served<'_>) -> Option<String> {
    let kind = served.kind.or(spec.instance_kind);
    let shares = served.by == ServedBy::Planforge && kind != Some(InstanceKind::Gpu);
    if spec.instances.is_none() && kind.is_none() && !shares {
        return None;
    }
    let default = if shares { SHARING_INSTANCES } else { NonZeroU32::MIN };
    let count = spec.instances.unwrap_or(default);
    let mut text = "instance_group [\n  {\n".to_owned();
    line(&mut text, format_args!("    count: {count}"));
    match kind {
        Some(InstanceKind::Cpu) => text.push_str("    kind: KIND_CPU\n"),
        Some(InstanceKind::Gpu) => text.push_str("    kind: KIND_GPU\n"),
        None => {}
    }
    text.push_str("  }\n]\n");
    Some(text)
}

/// Keys of the ONNX Runtime backend (triton-inference-server/onnxruntime_backend, README).
fn accelerator(spec: &AcceleratorSpec) -> String {
    let precision = spec.precision.map(|precision| ("precision_mode", precision.to_string().to_uppercase()));
    let workspace = spec.workspace.map(|size| ("max_workspace_size_bytes", size.byte_count().to_string()));
    let cache = spec
        .engine_cache
        .iter()
        .flat_map(|folder| [("trt_engine_cache_enable", "true".to_owned()), ("trt_engine_cache_path", folder.clone())]);
    let mut text = "optimization {\n  execution_accelerators {\n    gpu_execution_accelerator [\n      {\n        \
                    name: \"tensorrt\"\n"
        .to_owned();
    for (key, value) in precision.into_iter().chain(workspace).chain(cache) {
        line(&mut text, format_args!("        parameters {{ key: {} value: {} }}", quoted(key), quoted(&value)));
    }
    text.push_str("      }\n    ]\n  }\n}\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use planforge_core::{Dim, Precision};

    fn served(by: ServedBy) -> (Vec<TensorSpec>, ServedBy) {
        (vec![TensorSpec::new("x", DataType::Int64, vec![Dim::dynamic("batch"), Dim::dynamic("sequence")])], by)
    }

    fn text(serving: &ServingOptions, (inputs, by): &(Vec<TensorSpec>, ServedBy)) -> String {
        let mut fields = Fields::default();
        serving.add_to(&mut fields, &Served { inputs, max_batch_size: 8, by: *by, kind: None }).unwrap();
        serving.finish(fields).unwrap()
    }

    #[test]
    fn batches_and_instances() {
        let triton = TritonSpec {
            instances: std::num::NonZeroU32::new(2),
            instance_kind: Some(InstanceKind::Cpu),
            preferred_batch_sizes: vec![4, 8],
            max_queue_delay_microseconds: Some(100),
            response_cache: true,
            ..TritonSpec::default()
        };
        let expected = "dynamic_batching {\n  preferred_batch_size: [ 4, 8 ]\n  max_queue_delay_microseconds: 100\n}\n\
                        instance_group [\n  {\n    count: 2\n    kind: KIND_CPU\n  }\n]\n\
                        response_cache {\n  enable: true\n}\n";
        assert_eq!(
            text(&ServingOptions { triton, ..ServingOptions::default() }, &served(ServedBy::Planforge)),
            expected
        );
        let alone = |by, instance_kind| {
            let triton = TritonSpec { dynamic_batching: false, instance_kind, ..TritonSpec::default() };
            text(&ServingOptions { triton, ..ServingOptions::default() }, &served(by))
        };
        assert_eq!(alone(ServedBy::OnnxRuntime, None), "");
        assert_eq!(alone(ServedBy::Planforge, None), "instance_group [\n  {\n    count: 2\n  }\n]\n");
        let on_gpu = "instance_group [\n  {\n    count: 1\n    kind: KIND_GPU\n  }\n]\n";
        assert_eq!(alone(ServedBy::Planforge, Some(InstanceKind::Gpu)), on_gpu);
    }

    #[test]
    fn switches_are_for_one_backend() {
        let workspace = Some("1 GiB".to_owned().try_into().unwrap());
        let engine_cache = Some("/tmp/engines".to_owned());
        let accelerator = AcceleratorSpec { precision: Some(Precision::Fp16), workspace, engine_cache };
        let triton = TritonSpec {
            dynamic_batching: false,
            cuda_graphs: true,
            tensorrt_accelerator: Some(accelerator),
            ..TritonSpec::default()
        };
        let serving = ServingOptions { triton, ..ServingOptions::default() };
        assert!(text(&serving, &served(ServedBy::Tensorrt)).contains("cuda {\n    graphs: true\n"));
        let onnx = text(&serving, &served(ServedBy::OnnxRuntime));
        for parameter in [
            r#"key: "precision_mode" value: "FP16""#,
            r#"key: "max_workspace_size_bytes" value: "1073741824""#,
            r#"key: "trt_engine_cache_path" value: "/tmp/engines""#,
        ] {
            assert!(onnx.contains(parameter), "{onnx}");
        }
        assert!(!onnx.contains("cuda"), "{onnx}");
        let ours = text(&serving, &served(ServedBy::Planforge));
        assert!(!ours.contains("graphs") && !ours.contains("tensorrt"), "{ours}");
    }

    #[test]
    fn warm_up_names_a_file_for_each_input() {
        let triton = TritonSpec { dynamic_batching: false, warm_up_batch_sizes: vec![1, 8], ..TritonSpec::default() };
        let input = |name: &str| WarmUpInput {
            name: name.to_owned(),
            data_type: DataType::Int64,
            dims: vec![3],
            bytes: vec![0; 24],
        };
        let serving = ServingOptions { triton, warm_up: vec![input("unknown"), input("x")], extra: None };
        let one = |batch: u32| {
            format!(
                "  {{\n    name: \"batch of {batch}\"\n    batch_size: {batch}\n    inputs {{\n      key: \"x\"\n      \
                 value {{\n        data_type: TYPE_INT64\n        dims: [ 3 ]\n        \
                 input_data_file: \"input-1\"\n      }}\n    }}\n  }}"
            )
        };
        let expected = format!("model_warmup [\n{},\n{}\n]\n", one(1), one(8));
        assert_eq!(text(&serving, &served(ServedBy::OnnxRuntime)), expected);
        let files: Vec<_> = serving.warm_up_files().map(|(path, bytes)| (path, bytes.len())).collect();
        assert_eq!(files, [("warmup/input-0".to_owned(), 24), ("warmup/input-1".to_owned(), 24)]);
        let none = ServingOptions { warm_up: Vec::new(), ..serving };
        let (inputs, by) = served(ServedBy::Planforge);
        let served = Served { inputs: &inputs, max_batch_size: 8, by, kind: None };
        let error = none.add_to(&mut Fields::default(), &served).unwrap_err();
        assert_eq!(error.to_string(), "missing sample for input `x`, which the warm-up needs");
    }
}
