//! An inference answer: JSON, and raw tensors where they were asked for.

use super::check::OutputForm;
use super::elements::append_bytes;
use super::encoding::binary_content_type;
use crate::api_error::ApiError;
use half::{bf16, f16};
use planforge_runtime::{Tensor, TensorValues};
use serde::ser::{Serialize, Serializer};

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
    shape: &'a [usize],
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
struct Elements<'a>(&'a TensorValues);

impl Serialize for Elements<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            TensorValues::Fp32(values) => serializer.collect_seq(values),
            TensorValues::Fp16(values) => serializer.collect_seq(values.iter().map(|&value| f32::from(value))),
            TensorValues::Bf16(values) => serializer.collect_seq(values.iter().map(|&value| f32::from(value))),
            TensorValues::Int64(values) => serializer.collect_seq(values),
            TensorValues::Int32(values) => serializer.collect_seq(values),
            TensorValues::Bool(values) => serializer.collect_seq(values),
        }
    }
}

/// Writes `outputs`, which are in the order of `forms`. `model` is its name and version.
///
/// # Errors
/// An output that JSON cannot carry; the text names it.
pub(crate) fn write_response(
    model_name: &str,
    model_version: &str,
    id: Option<&str>,
    outputs: &[Tensor],
    forms: &[OutputForm],
) -> Result<ModelResponse, ApiError> {
    let mut raw = Vec::new();
    let mut bodies = Vec::with_capacity(outputs.len());
    for (output, form) in outputs.iter().zip(forms) {
        bodies.push(output_body(output, form.is_binary, &mut raw)?);
    }
    let element_count: usize = outputs.iter().map(|output| output.values.len()).sum();
    let mut body = Vec::with_capacity(256 + 12 * element_count);
    let response = AnswerBody { id, model_name, model_version, outputs: bodies };
    serde_json::to_writer(&mut body, &response)
        .map_err(|error| ApiError::Internal(format!("The response cannot be written: {error}")))?;
    let is_binary = forms.iter().any(|form| form.is_binary);
    let content_type = if is_binary { binary_content_type(body.len()) } else { "application/json".to_owned() };
    body.append(&mut raw);
    Ok(ModelResponse { content_type, body })
}

fn output_body<'a>(output: &'a Tensor, is_binary: bool, raw: &mut Vec<u8>) -> Result<OutputBody<'a>, ApiError> {
    let mut body = OutputBody {
        name: &output.name,
        datatype: output.data_type().kserve_name(),
        shape: &output.shape,
        parameters: None,
        data: None,
    };
    if is_binary {
        let start = raw.len();
        append_bytes(&output.values, raw);
        body.parameters = Some(BinaryParameters { binary_data_size: raw.len() - start });
    } else if is_finite(&output.values) {
        body.data = Some(Elements(&output.values));
    } else {
        return Err(ApiError::bad_input(format!(
            "output '{}' has values that are not finite, which JSON cannot carry; ask for it with 'binary_data'",
            output.name
        )));
    }
    Ok(body)
}

fn is_finite(values: &TensorValues) -> bool {
    match values {
        TensorValues::Fp32(values) => values.iter().all(|value| value.is_finite()),
        TensorValues::Fp16(values) => values.iter().all(|&value: &f16| value.is_finite()),
        TensorValues::Bf16(values) => values.iter().all(|&value: &bf16| value.is_finite()),
        TensorValues::Int64(_) | TensorValues::Int32(_) | TensorValues::Bool(_) => true,
    }
}
