//! An inference answer: JSON, and raw tensors where they were asked for.

use super::check::OutputForm;
use super::classes::Classes;
use super::elements::append_bytes;
use super::encoding::binary_content_type;
use super::interface::Interface;
use super::json_numbers::{marked, unmark_special_numbers};
use crate::api_error::ApiError;
use half::{bf16, f16};
use planforge_runtime::{Tensor, TensorValues};
use serde::ser::{Serialize, Serializer};
use std::borrow::Cow;

/// A body and its content type.
#[derive(Debug)]
pub(crate) struct ModelResponse {
    /// Content type.
    pub(crate) content_type: String,
    /// Body.
    pub(crate) body: Vec<u8>,
}

#[derive(serde::Serialize)]
struct AnswerBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    model_name: &'a str,
    model_version: &'a str,
    outputs: Vec<OutputBody<'a>>,
}

#[derive(serde::Serialize)]
struct OutputBody<'a> {
    name: &'a str,
    datatype: &'a str,
    shape: Cow<'a, [usize]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<BinaryParameters>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Elements<'a>>,
}

#[derive(serde::Serialize)]
struct BinaryParameters {
    binary_data_size: usize,
}

/// Elements as a flat list. Binary32 is written in its own shortest form, which reads back exactly.
enum Elements<'a> {
    Numbers(&'a TensorValues),
    Texts(Vec<String>),
}

impl Serialize for Elements<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let values = match self {
            Self::Numbers(values) => values,
            Self::Texts(texts) => return serializer.collect_seq(texts),
        };
        match values {
            TensorValues::Fp32(values) => serializer.collect_seq(values.iter().map(|&value| Float(value))),
            TensorValues::Fp16(values) => serializer.collect_seq(values.iter().map(|&value| Float(value.into()))),
            TensorValues::Bf16(values) => serializer.collect_seq(values.iter().map(|&value| Float(value.into()))),
            TensorValues::Int64(values) => serializer.collect_seq(values),
            TensorValues::Int32(values) => serializer.collect_seq(values),
            TensorValues::Bool(values) => serializer.collect_seq(values),
        }
    }
}

/// A number, or one of those that JSON does not have and Triton writes all the same.
struct Float(f32);

impl Serialize for Float {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.is_finite() { serializer.serialize_f32(self.0) } else { serializer.serialize_str(marked(self.0)) }
    }
}

/// Writes `outputs`, which are in the order of `forms`. `model` is its name and version.
///
/// # Errors
/// An output that JSON cannot carry; the text names it.
pub(crate) fn write_response(
    model_name: &str,
    interface: &Interface,
    id: Option<&str>,
    outputs: &[Tensor],
    forms: &[OutputForm],
) -> Result<ModelResponse, ApiError> {
    let mut raw = Vec::new();
    let mut bodies = Vec::with_capacity(outputs.len());
    for (output, form) in outputs.iter().zip(forms) {
        bodies.push(output_body(output, form, interface, &mut raw)?);
    }
    let element_count: usize = outputs.iter().map(|output| output.values.len()).sum();
    let mut body = Vec::with_capacity(256 + 12 * element_count);
    let response = AnswerBody { id, model_name, model_version: &interface.version, outputs: bodies };
    serde_json::to_writer(&mut body, &response)
        .map_err(|error| ApiError::Internal(format!("The response cannot be written: {error}")))?;
    let has_special_numbers =
        outputs.iter().zip(forms).any(|(output, form)| !form.is_binary && !is_finite(&output.values));
    if has_special_numbers {
        body = unmark_special_numbers(&body);
    }
    let is_binary = forms.iter().any(|form| form.is_binary);
    let content_type = if is_binary { binary_content_type(body.len()) } else { "application/json".to_owned() };
    body.append(&mut raw);
    Ok(ModelResponse { content_type, body })
}

fn output_body<'a>(
    output: &'a Tensor,
    form: &OutputForm,
    interface: &Interface,
    raw: &mut Vec<u8>,
) -> Result<OutputBody<'a>, ApiError> {
    let start = raw.len();
    let (datatype, shape, data) = if form.class_count > 0 {
        let classes = Classes::of(output, form.class_count, interface)?;
        if form.is_binary {
            classes.append_bytes(raw);
        }
        ("BYTES", Cow::Owned(classes.shape), Elements::Texts(classes.texts))
    } else {
        let data_type = output.data_type().kserve_name();
        if form.is_binary {
            append_bytes(&output.values, raw);
        } else if ["FP16", "BF16"].contains(&data_type) {
            return Err(ApiError::bad_input(format!(
                "sending {data_type} data via JSON is not supported. Please use the binary data format for output"
            )));
        }
        (data_type, Cow::Borrowed(output.shape.as_slice()), Elements::Numbers(&output.values))
    };
    let parameters = form.is_binary.then(|| BinaryParameters { binary_data_size: raw.len() - start });
    Ok(OutputBody { name: &output.name, datatype, shape, parameters, data: (!form.is_binary).then_some(data) })
}

fn is_finite(values: &TensorValues) -> bool {
    match values {
        TensorValues::Fp32(values) => values.iter().all(|value| value.is_finite()),
        TensorValues::Fp16(values) => values.iter().all(|&value: &f16| value.is_finite()),
        TensorValues::Bf16(values) => values.iter().all(|&value: &bf16| value.is_finite()),
        TensorValues::Int64(_) | TensorValues::Int32(_) | TensorValues::Bool(_) => true,
    }
}
