//! Writes Triton's model configuration, `config.pbtxt`: protobuf text of `inference.ModelConfig`
//! (triton-inference-server/common, `protobuf/model_config.proto`).

use crate::{Error, Result};
use planforge_core::{DataType, Dim, Engine, Model, ModelName, OnnxBackend, Profile, TensorSpec};
use std::fmt::Write;

/// File name of an ONNX graph in a version folder.
pub(crate) const ONNX_FILE: &str = "model.onnx";
/// File name of an engine in a version folder.
pub(crate) const PLAN_FILE: &str = "model.plan";

/// File name of a TorchScript module in a version folder.
pub(crate) const MODULE_FILE: &str = "model.pt";

/// planforge's own backend, for ONNX graphs and TensorRT-RTX engines.
///
/// NVIDIA's `tensorrt` backend links classic TensorRT and refuses an RTX engine, so the configuration of one
/// must not name it, nor `platform: "tensorrt_plan"`, which implies it.
pub(crate) const OWN_BACKEND: &str = "planforge";

/// Text between the fields of an engine's configuration, for whoever opens it.
const RTX_COMMENT: &str = "# A TensorRT-RTX engine. NVIDIA's own `tensorrt` backend cannot load it.\n";

/// Configuration of an ONNX model for Triton's ONNX Runtime backend or planforge's.
///
/// The instance kind is left out, so that Triton takes a GPU where there is one and the backend can use it.
///
/// # Errors
/// [`Error::BatchDimension`].
pub fn onnx_config(name: &ModelName, model: &Model, profiles: &[Profile], backend: OnnxBackend) -> Result<String> {
    let mut text = String::new();
    string_field(&mut text, "name", name.as_str());
    match backend {
        OnnxBackend::Onnxruntime => {
            string_field(&mut text, "platform", "onnxruntime_onnx");
            string_field(&mut text, "backend", "onnxruntime");
        }
        OnnxBackend::Planforge => string_field(&mut text, "backend", OWN_BACKEND),
    }
    string_field(&mut text, "default_model_filename", ONNX_FILE);
    tensors_and_batching(&mut text, &model.inputs, &model.outputs, max_batch_size(profiles))?;
    Ok(text)
}

/// Configuration of a TorchScript module for Triton's PyTorch backend.
///
/// A module names its inputs, by which the backend finds them, but not its outputs: their names must be
/// `<name>__<index>` (triton-inference-server/pytorch_backend, README), so each that is not gets its number.
///
/// # Errors
/// [`Error::BatchDimension`].
pub fn module_config(name: &ModelName, module: &Model, profiles: &[Profile]) -> Result<String> {
    let mut text = String::new();
    string_field(&mut text, "name", name.as_str());
    string_field(&mut text, "platform", "pytorch_libtorch");
    string_field(&mut text, "backend", "pytorch");
    string_field(&mut text, "default_model_filename", MODULE_FILE);
    let outputs: Vec<TensorSpec> = module.outputs.iter().enumerate().map(numbered).collect();
    tensors_and_batching(&mut text, &module.inputs, &outputs, max_batch_size(profiles))?;
    Ok(text)
}

/// The output with its number in its name.
fn numbered((index, output): (usize, &TensorSpec)) -> TensorSpec {
    let suffix = format!("__{index}");
    // The backend looks for the first `__`.
    let name = match output.name.split_once("__") {
        Some((_, number)) if number == index.to_string() => output.name.clone(),
        Some((name, _)) => format!("{name}{suffix}"),
        None => format!("{}{suffix}", output.name),
    };
    TensorSpec { name, ..output.clone() }
}

/// Configuration of an engine for planforge's backend.
///
/// # Errors
/// [`Error::BatchDimension`].
pub fn engine_config(name: &ModelName, engine: &Engine) -> Result<String> {
    let mut text = RTX_COMMENT.to_owned();
    string_field(&mut text, "name", name.as_str());
    string_field(&mut text, "backend", OWN_BACKEND);
    string_field(&mut text, "default_model_filename", PLAN_FILE);
    tensors_and_batching(&mut text, &engine.inputs, &engine.outputs, max_batch_size(&engine.profiles))?;
    text.push_str("instance_group [\n  {\n    count: 1\n    kind: KIND_GPU\n  }\n]\n");
    parameter(&mut text, "planforge.gpu", &engine.gpu);
    let capabilities: Vec<_> = engine.compute_capabilities.iter().map(ToString::to_string).collect();
    parameter(&mut text, "planforge.compute_capability", &capabilities.join(","));
    Ok(text)
}

/// The largest batch of any profile, at least 1: Triton reads 0 as "no batching".
pub(crate) fn max_batch_size(profiles: &[Profile]) -> u64 {
    profiles.iter().map(|profile| profile.batch.max).max().unwrap_or(1).max(1)
}

fn tensors_and_batching(text: &mut String, inputs: &[TensorSpec], outputs: &[TensorSpec], batch: u64) -> Result<()> {
    line(text, format_args!("max_batch_size: {batch}"));
    tensor_list(text, "input", inputs)?;
    tensor_list(text, "output", outputs)?;
    if batch > 1 {
        text.push_str("dynamic_batching { }\n");
    }
    Ok(())
}

fn tensor_list(text: &mut String, field: &str, specs: &[TensorSpec]) -> Result<()> {
    line(text, format_args!("{field} ["));
    for (index, spec) in specs.iter().enumerate() {
        let [Dim::Dynamic(_), dims @ ..] = spec.dims.as_slice() else {
            return Err(Error::BatchDimension { tensor: spec.name.clone() });
        };
        text.push_str("  {\n");
        line(text, format_args!("    name: {}", quoted(&spec.name)));
        line(text, format_args!("    data_type: {}", type_name(spec.data_type)));
        if dims.is_empty() {
            // A scalar for each item of the batch: Triton wants at least one dimension on the wire.
            text.push_str("    dims: [ 1 ]\n    reshape { shape: [ ] }\n");
        } else {
            line(text, format_args!("    dims: [ {} ]", dims.iter().map(size).collect::<Vec<_>>().join(", ")));
        }
        text.push_str(if index + 1 < specs.len() { "  },\n" } else { "  }\n" });
    }
    text.push_str("]\n");
    Ok(())
}

fn size(dim: &Dim) -> String {
    match dim {
        Dim::Fixed(size) => size.to_string(),
        Dim::Dynamic(_) => "-1".to_owned(),
    }
}

/// Triton's name of an element type: `TYPE_` and the KServe name.
fn type_name(data_type: DataType) -> String {
    format!("TYPE_{}", data_type.kserve_name())
}

fn parameter(text: &mut String, key: &str, value: &str) {
    line(text, format_args!("parameters {{ key: {} value {{ string_value: {} }} }}", quoted(key), quoted(value)));
}

fn string_field(text: &mut String, field: &str, value: &str) {
    line(text, format_args!("{field}: {}", quoted(value)));
}

fn line(text: &mut String, content: std::fmt::Arguments<'_>) {
    writeln!(text, "{content}").expect("writing into a string cannot fail");
}

/// A protobuf text string: quotes, backslashes and everything outside printable ASCII escaped, the
/// latter as three octal digits for each byte, as protobuf's own printer does.
fn quoted(value: &str) -> String {
    let mut text = String::with_capacity(value.len() + 2);
    text.push('"');
    for byte in value.bytes() {
        match byte {
            b'"' | b'\'' | b'\\' => {
                text.push('\\');
                text.push(char::from(byte));
            }
            b'\n' => text.push_str("\\n"),
            b'\r' => text.push_str("\\r"),
            b'\t' => text.push_str("\\t"),
            b' '..=b'~' => text.push(char::from(byte)),
            _ => write!(text, "\\{byte:03o}").expect("writing into a string cannot fail"),
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::package::tests::{engine_record, model_record, profiles};

    fn name() -> ModelName {
        ModelName::try_from("tiny".to_owned()).unwrap()
    }

    #[test]
    fn onnx_text() {
        let text = onnx_config(&name(), &model_record(), &profiles(), OnnxBackend::Onnxruntime).unwrap();
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
        let text = module_config(&name(), &model_record(), &profiles()).unwrap();
        let head = "platform: \"pytorch_libtorch\"\nbackend: \"pytorch\"\ndefault_model_filename: \"model.pt\"\n";
        assert!(text.contains(head), "{text}");
        let names: Vec<&str> = text.lines().filter_map(|line| line.trim().strip_prefix("name: ")).collect();
        assert_eq!(names, ["\"tiny\"", "\"ids\"", "\"mask\"", "\"sums__0\"", "\"tokens__1\""]);
        let named = |name: &str, index| numbered((index, &TensorSpec::new(name, DataType::Fp32, Vec::new()))).name;
        assert_eq!([named("OUTPUT__0", 0), named("OUTPUT__0", 1)], ["OUTPUT__0", "OUTPUT__1"]);
    }

    #[test]
    fn for_our_backend_only_the_head_differs() {
        let [theirs, ours] = [OnnxBackend::Onnxruntime, OnnxBackend::Planforge]
            .map(|backend| onnx_config(&name(), &model_record(), &profiles(), backend).unwrap());
        let head = "platform: \"onnxruntime_onnx\"\nbackend: \"onnxruntime\"\n";
        assert_eq!(theirs.replace(head, "backend: \"planforge\"\n"), ours);
    }

    #[test]
    fn engine_text_names_our_backend_and_the_gpu() {
        let text = engine_config(&name(), &engine_record()).unwrap();
        assert!(text.contains("backend: \"planforge\"\ndefault_model_filename: \"model.plan\"\n"), "{text}");
        assert!(!text.contains("platform"), "{text}");
        assert!(text.contains("kind: KIND_GPU"), "{text}");
        assert!(text.contains(r#"key: "planforge.compute_capability" value { string_value: "8.9" }"#), "{text}");
    }

    #[test]
    fn a_model_without_batch_dimension_is_refused() {
        let mut model = model_record();
        model.outputs[0].dims[0] = Dim::Fixed(1);
        let error = onnx_config(&name(), &model, &profiles(), OnnxBackend::Planforge).unwrap_err();
        assert!(matches!(error, Error::BatchDimension { tensor } if tensor == "sums"));
    }

    #[test]
    fn batch_of_one_is_not_batched_by_the_server() {
        let mut profiles = profiles();
        profiles[0].batch.max = 1;
        let text = onnx_config(&name(), &model_record(), &profiles, OnnxBackend::Onnxruntime).unwrap();
        assert!(text.contains("max_batch_size: 1\n") && !text.contains("dynamic_batching"), "{text}");
    }

    #[test]
    fn strings_are_escaped() {
        assert_eq!(quoted("a\"b\\c\n\u{7f}é"), r#""a\"b\\c\n\177\303\251""#);
    }
}
