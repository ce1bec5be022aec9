//! Configurations of ONNX graphs, TorchScript modules, and the model that reports its server's memory.

use super::serving::{Served, ServedBy, ServingOptions};
use super::tensors::{Outputs, dimension, max_batch_size, tensors};
use super::text::{Fields, quoted, type_name};
use crate::Result;
use crate::files::{MODULE_FILE, ONNX_FILE, PLANFORGE_BACKEND};
use planforge_core::{
    METRICS_FILE, METRICS_MODEL, Model, ModelName, OnnxBackend, Profile, TensorSpec, metrics_outputs,
};

/// Configuration of an ONNX model for Triton's ONNX Runtime backend or planforge's.
///
/// The instance kind is left out, so that Triton takes a GPU where there is one and the backend can use it.
///
/// # Errors
/// [`Error::BatchDimension`](crate::Error::BatchDimension), [`Error::WarmUp`](crate::Error::WarmUp), [`Error::ExtraConfig`](crate::Error::ExtraConfig).
pub fn onnx_config(
    name: &ModelName,
    model: &Model,
    profiles: &[Profile],
    backend: OnnxBackend,
    serving: &ServingOptions,
) -> Result<String> {
    let mut fields = Fields::default();
    fields.string("name", name.as_str());
    let by = match backend {
        OnnxBackend::Onnxruntime => {
            fields.string("platform", "onnxruntime_onnx");
            fields.string("backend", "onnxruntime");
            ServedBy::OnnxRuntime
        }
        OnnxBackend::Planforge => {
            fields.string("backend", PLANFORGE_BACKEND);
            ServedBy::Planforge
        }
    };
    fields.string("default_model_filename", ONNX_FILE);
    let served =
        Served { inputs: &model.inputs, max_batch_size: max_batch_size(&model.inputs, profiles), by, kind: None };
    finish(fields, &served, Outputs { specs: &model.outputs, labels: &model.labels }, serving)
}

/// Configuration of a TorchScript module for Triton's PyTorch backend.
///
/// A module names its inputs, by which the backend finds them, but not its outputs: their names must be
/// `<name>__<index>` (triton-inference-server/pytorch_backend, README), so each that is not gets its number.
///
/// # Errors
/// As for [`onnx_config`].
pub fn module_config(
    name: &ModelName,
    module: &Model,
    profiles: &[Profile],
    serving: &ServingOptions,
) -> Result<String> {
    let mut fields = Fields::default();
    fields.string("name", name.as_str());
    fields.string("platform", "pytorch_libtorch");
    fields.string("backend", "pytorch");
    fields.string("default_model_filename", MODULE_FILE);
    let outputs: Vec<TensorSpec> =
        module.outputs.iter().enumerate().map(|(index, output)| numbered(index, output)).collect();
    let (by, max_batch_size) = (ServedBy::Pytorch, max_batch_size(&module.inputs, profiles));
    let served = Served { inputs: &module.inputs, max_batch_size, by, kind: None };
    finish(fields, &served, Outputs { specs: &outputs, labels: &module.labels }, serving)
}

/// The output with its number in its name.
fn numbered(index: usize, output: &TensorSpec) -> TensorSpec {
    let suffix = format!("__{index}");
    // The backend looks for the first `__`.
    let name = match output.name.split_once("__") {
        Some((_, number)) if number == index.to_string() => output.name.clone(),
        Some((name, _)) => format!("{name}{suffix}"),
        None => format!("{}{suffix}", output.name),
    };
    TensorSpec { name, ..output.clone() }
}

/// Configuration of the model that tells of its server. One instance on the processor reads all GPUs.
pub fn metrics_config() -> String {
    let mut fields = Fields::default();
    fields.string("name", METRICS_MODEL);
    fields.string("backend", PLANFORGE_BACKEND);
    fields.string("default_model_filename", METRICS_FILE);
    fields.add("max_batch_size", "max_batch_size: 0\n".to_owned());
    let outputs = metrics_outputs();
    let outputs = outputs.iter().map(|spec| {
        let (name, dims) = (quoted(&spec.name), spec.dims.iter().map(dimension).collect::<Vec<_>>().join(", "));
        format!("  {{\n    name: {name}\n    data_type: {}\n    dims: [ {dims} ]\n  }}", type_name(spec.data_type))
    });
    fields.add("output", format!("output [\n{}\n]\n", outputs.collect::<Vec<_>>().join(",\n")));
    fields.add("instance_group", "instance_group [\n  {\n    count: 1\n    kind: KIND_CPU\n  }\n]\n".to_owned());
    fields.into_text()
}

fn finish(mut fields: Fields, served: &Served<'_>, outputs: Outputs<'_>, serving: &ServingOptions) -> Result<String> {
    tensors(&mut fields, served, outputs)?;
    serving.add_to(&mut fields, served)?;
    serving.finish(fields)
}

#[cfg(test)]
mod tests {
    use super::super::tensors::label_file;
    use super::*;
    use crate::Error;
    use planforge_core::{DataType, Dim};
    use planforge_testkit::{model_record, profiles};

    fn name() -> ModelName {
        ModelName::try_from("tiny".to_owned()).unwrap()
    }

    #[test]
    fn onnx_text() {
        let text =
            onnx_config(&name(), &model_record(), &profiles(), OnnxBackend::Onnxruntime, &ServingOptions::default())
                .unwrap();
        let expected = r#"name: "tiny"
platform: "onnxruntime_onnx"
backend: "onnxruntime"
default_model_filename: "model.onnx"
max_batch_size: 8
input [
  {
    name: "ids"
    data_type: TYPE_INT64
    dims: [ -1 ]
  },
  {
    name: "mask"
    data_type: TYPE_INT64
    dims: [ -1 ]
  }
]
output [
  {
    name: "sums"
    data_type: TYPE_FP32
    dims: [ 4 ]
  },
  {
    name: "tokens"
    data_type: TYPE_INT64
    dims: [ 1 ]
    reshape { shape: [ ] }
  }
]
dynamic_batching { }
"#;
        assert_eq!(text, expected);
    }

    #[test]
    fn module_text_numbers_the_outputs() {
        let text = module_config(&name(), &model_record(), &profiles(), &ServingOptions::default()).unwrap();
        let head = "platform: \"pytorch_libtorch\"\nbackend: \"pytorch\"\ndefault_model_filename: \"model.pt\"\n";
        assert!(text.contains(head), "{text}");
        let names: Vec<&str> = text.lines().filter_map(|line| line.trim().strip_prefix("name: ")).collect();
        assert_eq!(names, ["\"tiny\"", "\"ids\"", "\"mask\"", "\"sums__0\"", "\"tokens__1\""]);
        let named = |name: &str, index| numbered(index, &TensorSpec::new(name, DataType::Fp32, Vec::new())).name;
        assert_eq!([named("OUTPUT__0", 0), named("OUTPUT__0", 1)], ["OUTPUT__0", "OUTPUT__1"]);
    }

    #[test]
    fn for_our_backend_the_head_differs_and_free_sizes_may_mix() {
        let [theirs, ours] = [OnnxBackend::Onnxruntime, OnnxBackend::Planforge].map(|backend| {
            onnx_config(&name(), &model_record(), &profiles(), backend, &ServingOptions::default()).unwrap()
        });
        let head = "platform: \"onnxruntime_onnx\"\nbackend: \"onnxruntime\"\n";
        let ragged = "dims: [ -1 ]\n    allow_ragged_batch: true\n";
        let expected = theirs.replace(head, "backend: \"planforge\"\n").replace("dims: [ -1 ]\n", ragged);
        assert_eq!(expected + "instance_group [\n  {\n    count: 2\n  }\n]\n", ours);
        let mut single = profiles();
        single[0].batch.max = 1;
        let text =
            onnx_config(&name(), &model_record(), &single, OnnxBackend::Planforge, &ServingOptions::default()).unwrap();
        assert!(!text.contains("ragged"), "{text}");
        let mut pictures = model_record();
        pictures.inputs.iter_mut().for_each(|input| input.dims[1] = Dim::Fixed(3));
        let text =
            onnx_config(&name(), &pictures, &profiles(), OnnxBackend::Planforge, &ServingOptions::default()).unwrap();
        assert!(!text.contains("ragged"), "{text}");
    }

    #[test]
    fn scores_have_names_where_there_is_one_for_each() {
        let mut model = model_record();
        assert_eq!(label_file(&model), None);
        model.labels = ["cat", "dog", "two\nlines", "é"].map(str::to_owned).to_vec();
        assert_eq!(label_file(&model).unwrap(), "cat\ndog\ntwo lines\né\n");
        let text =
            onnx_config(&name(), &model, &profiles(), OnnxBackend::Planforge, &ServingOptions::default()).unwrap();
        assert!(text.contains("dims: [ 4 ]\n    label_filename: \"labels.txt\"\n  },"), "{text}");
        assert_eq!(text.matches("label_filename").count(), 1);
        model.labels.pop();
        assert_eq!(label_file(&model), None);
    }

    #[test]
    fn a_model_without_batch_dimension_is_refused() {
        let mut model = model_record();
        model.outputs[0].dims[0] = Dim::Fixed(1);
        let error =
            onnx_config(&name(), &model, &profiles(), OnnxBackend::Planforge, &ServingOptions::default()).unwrap_err();
        assert!(matches!(error, Error::BatchDimension { tensor } if tensor == "sums"));
    }

    #[test]
    fn batch_of_one_is_not_batched_by_the_server() {
        let mut profiles = profiles();
        profiles[0].batch.max = 1;
        let text =
            onnx_config(&name(), &model_record(), &profiles, OnnxBackend::Onnxruntime, &ServingOptions::default())
                .unwrap();
        assert!(text.contains("max_batch_size: 1\n") && !text.contains("dynamic_batching"), "{text}");
    }
}
