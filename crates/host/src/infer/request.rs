//! An inference request: JSON, its raw tensors, and what it wants back.

use super::check::{Interface, OutputForm};
use super::elements;
use super::encoding::Encoding;
use crate::api_error::ApiError;
use planforge_core::{DataType, Dim, TensorSpec};
use planforge_runtime::{Tensor, TensorValues};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// A request that fits the model's interface.
#[derive(Debug)]
pub(crate) struct Inference {
    /// Echoed in the answer.
    pub(crate) id: Option<String>,
    /// Inputs in the order of the request.
    pub(crate) inputs: Vec<Tensor>,
    /// Outputs wanted, in this order.
    pub(crate) outputs: Vec<OutputForm>,
}

#[derive(Deserialize)]
struct RequestBody<'a> {
    #[serde(borrow, default)]
    id: Option<Id<'a>>,
    #[serde(default)]
    parameters: Parameters,
    #[serde(borrow)]
    inputs: Vec<InputBody<'a>>,
    #[serde(borrow, default)]
    outputs: Vec<OutputBody<'a>>,
}

/// Triton takes numbers too and answers with their text.
struct Id<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Id<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw: &'de RawValue = Deserialize::deserialize(deserializer)?;
        let text = raw.get();
        if let Ok(id) = serde_json::from_str::<String>(text) {
            Ok(Self(id.into()))
        } else if text.bytes().all(|byte| byte.is_ascii_digit()) {
            Ok(Self(text.into()))
        } else {
            Err(serde::de::Error::custom("`id` is neither a string nor a number of 0 or more"))
        }
    }
}

#[derive(Deserialize)]
struct InputBody<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    shape: Vec<i64>,
    #[serde(borrow)]
    datatype: Cow<'a, str>,
    #[serde(default)]
    parameters: Parameters,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct OutputBody<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(default)]
    parameters: Parameters,
}

/// The parameters that mean something here; others are ignored, as Triton does.
#[derive(Deserialize, Default)]
struct Parameters {
    #[serde(default)]
    binary_data_size: Option<usize>,
    #[serde(default)]
    binary_data: Option<bool>,
    #[serde(default)]
    binary_data_output: Option<bool>,
}

/// Reads `body` and checks it against what the model takes and gives.
///
/// # Errors
/// The first mistake, in Triton's words.
pub(crate) fn read_request(body: &[u8], encoding: Encoding, interface: &Interface<'_>) -> Result<Inference, ApiError> {
    let (json, raw) = encoding.split(body)?;
    if json.is_empty() && encoding != Encoding::Json {
        return read_raw(raw, interface);
    }
    let body: RequestBody<'_> = serde_json::from_slice(json)
        .map_err(|error| ApiError::bad_input(format!("failed to parse the request JSON buffer: {error}")))?;
    let mut raw = raw;
    let inputs = body.inputs.iter().map(|input| read_input(input, &mut raw)).collect::<Result<Vec<_>, _>>()?;
    if !raw.is_empty() {
        let text = format!("unexpected additional input data for model '{}'", interface.model);
        return Err(ApiError::bad_input(text));
    }
    let outputs = wanted_outputs(&body, interface);
    interface.check(&inputs, &outputs)?;
    Ok(Inference { id: body.id.map(|id| id.0.into_owned()), inputs, outputs })
}

fn wanted_outputs(body: &RequestBody<'_>, interface: &Interface<'_>) -> Vec<OutputForm> {
    let default = body.parameters.binary_data_output.unwrap_or(false);
    if body.outputs.is_empty() {
        return all_outputs(interface, default);
    }
    let form = |output: &OutputBody<'_>| OutputForm {
        name: output.name.clone().into_owned(),
        is_binary: output.parameters.binary_data.unwrap_or(default),
    };
    body.outputs.iter().map(form).collect()
}

fn all_outputs(interface: &Interface<'_>, is_binary: bool) -> Vec<OutputForm> {
    interface.outputs.iter().map(|spec| OutputForm { name: spec.name.clone(), is_binary }).collect()
}

fn read_input(input: &InputBody<'_>, raw: &mut &[u8]) -> Result<Tensor, ApiError> {
    let name = &input.name;
    let data_type = DataType::from_kserve_name(&input.datatype)
        .ok_or_else(|| ApiError::bad_input(format!("invalid datatype for input {name}")))?;
    let (shape, element_count) = read_shape(input)?;
    let values = match (input.parameters.binary_data_size, input.data) {
        (Some(byte_count), None) => take_raw(name, data_type, element_count, byte_count, raw)?,
        (None, Some(data)) => elements::from_json(data, data_type, element_count)
            .map_err(|mistake| ApiError::bad_input(format!("Unable to parse 'data': {mistake} (input '{name}')")))?,
        (Some(_), Some(_)) => {
            let text = format!("must not specify 'data' for input '{name}', which has 'binary_data_size'");
            return Err(ApiError::bad_input(text));
        }
        (None, None) => return Err(ApiError::bad_input(format!("must specify 'data' for input '{name}'"))),
    };
    Tensor::new(name, &shape, values).map_err(|error| ApiError::bad_input(error.to_string()))
}

/// Shape and number of elements.
fn read_shape(input: &InputBody<'_>) -> Result<(Vec<usize>, usize), ApiError> {
    let mistake = || {
        ApiError::bad_input(format!(
            "Unable to parse 'shape': {:?} is not a shape (input '{}')",
            input.shape, input.name
        ))
    };
    let sizes: Vec<usize> =
        input.shape.iter().map(|&size| usize::try_from(size)).collect::<Result<_, _>>().map_err(|_| mistake())?;
    let count = sizes.iter().try_fold(1_usize, |count, &size| count.checked_mul(size)).ok_or_else(mistake)?;
    Ok((sizes, count))
}

/// The next input of the raw part.
fn take_raw(
    name: &str,
    data_type: DataType,
    element_count: usize,
    byte_count: usize,
    raw: &mut &[u8],
) -> Result<TensorValues, ApiError> {
    let expected = element_count.saturating_mul(data_type.byte_count());
    if byte_count != expected {
        return Err(ApiError::bad_input(format!(
            "input byte size mismatch for input '{name}'. Expected {expected}, got {byte_count}"
        )));
    }
    let Some((bytes, rest)) = raw.split_at_checked(byte_count) else {
        return Err(ApiError::bad_input(format!(
            "unexpected size for input '{name}', expecting {} additional bytes",
            byte_count - raw.len()
        )));
    };
    *raw = rest;
    Ok(elements::from_bytes(bytes, data_type))
}

/// A body without JSON: the only input, with a batch of one, and all outputs raw.
fn read_raw(raw: &[u8], interface: &Interface<'_>) -> Result<Inference, ApiError> {
    let [spec] = interface.inputs else {
        let count = interface.inputs.len();
        return Err(ApiError::bad_input(format!("a raw body needs a model with one input, this one has {count}")));
    };
    let shape = raw_shape(spec, raw.len());
    let element_count = shape.iter().product();
    let values = take_raw(&spec.name, spec.data_type, element_count, raw.len(), &mut &*raw)?;
    let inputs = vec![Tensor::new(&spec.name, &shape, values).map_err(|error| ApiError::bad_input(error.to_string()))?];
    let outputs = all_outputs(interface, true);
    interface.check(&inputs, &outputs)?;
    Ok(Inference { id: None, inputs, outputs })
}

/// A batch of one; one more dynamic dimension takes what the number of bytes leaves for it.
fn raw_shape(spec: &TensorSpec, byte_count: usize) -> Vec<usize> {
    let size = |dim: &Dim| match dim {
        Dim::Fixed(size) => usize::try_from(*size).unwrap_or(usize::MAX),
        Dim::Dynamic(_) => 1,
    };
    let mut shape: Vec<usize> = spec.dims.iter().map(size).collect();
    let fixed = shape.iter().fold(spec.data_type.byte_count(), |product, &size| product.saturating_mul(size));
    let free = spec.dims.iter().enumerate().skip(1).filter(|(_, dim)| matches!(dim, Dim::Dynamic(_)));
    if let [(index, _)] = free.collect::<Vec<_>>().as_slice() {
        shape[*index] = byte_count / fixed.max(1);
    }
    shape
}
