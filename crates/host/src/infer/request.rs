//! An inference request: JSON, its raw tensors, and what it wants back. Mistakes are found in the order in which Triton finds
//! them: those of the text, then those of tensors against the model.

use super::check::{Named, OutputForm};
use super::elements;
use super::encoding::Encoding;
use super::given::Given;
use super::json::{NOT_UNSIGNED, Object, unsigned};
use super::json_numbers::mark_special_numbers;
use super::json_syntax::hidden_mistake;
use crate::api_error::ApiError;
use planforge_core::{DataType, Dim, TensorSpec};
use planforge_runtime::{Tensor, TensorValues};
use serde_json::value::RawValue;

/// Element types of the protocol that no model here has. Requests with them are refused when they meet the model.
const OTHER_TYPES: [&str; 8] = ["UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "FP64", "BYTES"];

/// Triton's name of any other. Raw bytes have it until they meet the model.
const INVALID: &str = "<invalid>";
/// What some editors put before a text.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

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

/// Reads `body` and checks it against what the model takes and gives.
///
/// # Errors
/// The first mistake, in Triton's words.
pub(crate) fn read_request(body: &[u8], encoding: Encoding, model: &Named<'_>) -> Result<Inference, ApiError> {
    let (json, mut raw) = encoding.split(body)?;
    if json.is_empty() {
        return read_raw(raw, model);
    }
    // Triton accepts strings that are not UTF-8.
    let json = String::from_utf8_lossy(json.strip_prefix(BYTE_ORDER_MARK).unwrap_or(json));
    // Triton's reader stops at the first NUL, as in C.
    let json = json.split('\0').next().unwrap_or_default();
    let marked = mark_special_numbers(json.as_bytes());
    let body = Object::read(&marked)?;
    if let Some(mistake) = hidden_mistake(json) {
        return Err(ApiError::bad_input(format!("failed to parse the request JSON buffer: {mistake}")));
    }
    let id = body.optional_string("id")?;
    let parameters = body.parameters()?;
    check_parameters(&parameters)?;
    let is_binary = parameters.boolean("binary_data_output")?.unwrap_or(false);
    let mut inputs: Vec<Given> = Vec::new();
    for input in Object::objects(body.list("inputs")?) {
        let is_new = |name: &str| !inputs.iter().any(|earlier| earlier.name == name);
        let input = read_input(&input, &mut raw, model, |name| {
            if is_new(name) {
                return Ok(());
            }
            Err(model.refuse(id.as_deref(), &format!("input '{name}' already exists in request")))
        })?;
        inputs.push(input);
    }
    if !raw.is_empty() {
        let text = format!("unexpected additional input data for model '{}'", model.model);
        return Err(ApiError::bad_input(text));
    }
    let outputs = wanted_outputs(&body, is_binary, model)?;
    let inputs = model.check(id.as_deref(), inputs, &outputs)?;
    Ok(Inference { id: id.map(|id| id.into_owned()), inputs, outputs })
}

/// Parameters of a request are texts, numbers and truth values; some have a type of their own.
fn check_parameters(parameters: &Object<'_>) -> Result<(), ApiError> {
    for (name, value) in parameters.members() {
        match name {
            "sequence_start" | "sequence_end" => drop(parameters.boolean(name)?),
            "priority" | "timeout" => drop(parameters.unsigned(name)?),
            "sequence_id" if unsigned(value).is_none() => drop(parameters.string(name)?),
            _ if value.get().starts_with(['{', '[', 'n']) => {
                return Err(ApiError::bad_input(format!(
                    "parameter '{name}' has invalid type. It should be either 'int', 'bool', or 'string'."
                )));
            }
            _ => {}
        }
    }
    Ok(())
}

fn wanted_outputs(body: &Object<'_>, is_binary: bool, model: &Named<'_>) -> Result<Vec<OutputForm>, ApiError> {
    let mut outputs: Vec<OutputForm> = Vec::new();
    for output in Object::objects(body.optional_list("outputs")?) {
        let (name, parameters) = (output.string("name")?, output.parameters().unwrap_or_default());
        refuse_shared_memory(&parameters)?;
        let class_count = class_count(parameters.get("classification"))?;
        let is_binary = parameters.boolean("binary_data")?.unwrap_or(is_binary);
        // Twice asked for, once given.
        outputs.retain(|earlier| earlier.name != *name);
        outputs.push(OutputForm { name: name.into_owned(), is_binary, class_count });
    }
    Ok(if outputs.is_empty() { all_outputs(model, is_binary) } else { outputs })
}

/// The parameter `classification`, a number of 0 or more.
fn class_count(parameter: Option<&RawValue>) -> Result<usize, ApiError> {
    let Some(parameter) = parameter else { return Ok(0) };
    let count = unsigned(parameter).and_then(|count| usize::try_from(count).ok());
    count.ok_or_else(|| ApiError::bad_input(format!("Unable to set 'classification': {NOT_UNSIGNED}")))
}

fn all_outputs(model: &Named<'_>, is_binary: bool) -> Vec<OutputForm> {
    let form = |spec: &TensorSpec| OutputForm { name: spec.name.clone(), is_binary, class_count: 0 };
    model.interface.outputs.iter().map(form).collect()
}

/// One input; `check_name` refuses one that was given before.
fn read_input(
    input: &Object<'_>,
    raw: &mut &[u8],
    model: &Named<'_>,
    check_name: impl FnOnce(&str) -> Result<(), ApiError>,
) -> Result<Given, ApiError> {
    let (parameters, data) = (input.parameters().unwrap_or_default(), input.get("data"));
    let is_set = |name: &str| parameters.get(name).is_some();
    check_content([data.is_some(), is_set("binary_data_size"), is_set("shared_memory_region")])?;
    let (name, data_type) = (input.string("name")?, input.string("datatype")?);
    let shape = input.unsigned_list("shape")?;
    let raw_byte_count = parameters.unsigned("binary_data_size")?;
    let known = DataType::from_kserve_name(&data_type);
    let is_type = known.is_some() || OTHER_TYPES.contains(&&*data_type);
    let data_type = if is_type { data_type } else { INVALID.into() };
    check_name(&name)?;
    refuse_shared_memory(&parameters)?;
    let given = |values: Option<TensorValues>, byte_count| {
        let (name, data_type) = (name.clone().into_owned(), data_type.clone().into_owned());
        Given { name, data_type, shape: shape.clone(), values, byte_count }
    };
    let Some(data) = data else {
        let byte_count = raw_byte_count.unwrap_or(0);
        let bytes = take_raw(&name, byte_count, raw, model)?;
        return Ok(given(known.map(|known| elements::from_bytes(bytes, known)), byte_count));
    };
    let values = read_data(&name, &data_type, known, element_count(&shape), data)?;
    let byte_count = values.as_ref().map_or(0, |values| values.len() * values.data_type().byte_count());
    Ok(given(values, byte_count as u64))
}

/// No client of SageMaker has registered any.
fn refuse_shared_memory(parameters: &Object<'_>) -> Result<(), ApiError> {
    let Some(region) = parameters.optional_string("shared_memory_region")? else { return Ok(()) };
    for name in ["shared_memory_offset", "shared_memory_byte_size"] {
        parameters.unsigned(name)?;
    }
    Err(ApiError::bad_input(format!("Unable to find shared memory region: '{region}'")))
}

/// An input has its elements in one place: `data`, raw bytes, or shared memory, which no SageMaker client has.
fn check_content(is_set: [bool; 3]) -> Result<(), ApiError> {
    let names = ["'data'", "'binary_data_size'", "'shared_memory_region'"];
    let set: Vec<&str> = names.into_iter().zip(is_set).filter_map(|(name, is_set)| is_set.then_some(name)).collect();
    let fault = match set.as_slice() {
        [_] => return Ok(()),
        [] => "But no field is set".to_owned(),
        several => format!("But set {}", several.join(" ")),
    };
    let one_of = "Input must set only one of the following fields: 'data', 'binary_data_size' in 'parameters', \
                  'shared_memory_region' in 'parameters'.";
    Err(ApiError::bad_input(format!("{one_of} {fault}")))
}

/// Number of elements, as Triton counts them: none without dimensions, and what overflows wraps.
fn element_count(shape: &[u64]) -> usize {
    let count = shape.iter().fold(u64::from(!shape.is_empty()), |count, &size| count.wrapping_mul(size));
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// Elements of a list; without a look at it where there are none.
fn read_data(
    name: &str,
    data_type: &str,
    known: Option<DataType>,
    count: usize,
    data: &RawValue,
) -> Result<Option<TensorValues>, ApiError> {
    if count == 0 {
        return Ok(known.map(|known| elements::from_bytes(&[], known)));
    }
    if !data.get().starts_with('[') {
        return Err(ApiError::bad_input("Unable to parse 'data': attempt to access JSON non-array as array"));
    }
    if data_type == INVALID {
        return Err(ApiError::bad_input(format!("invalid datatype for input {name}")));
    }
    if ["FP16", "BF16"].contains(&data_type) {
        return Err(ApiError::bad_input(format!(
            "receiving {data_type} data via JSON is not supported. Please use the binary data format for input {name}"
        )));
    }
    if data_type == "BYTES" {
        let text = "Unable to parse JSON bytes array: attempt to access JSON non-string as string";
        return if data.get().contains('"') { Ok(None) } else { Err(ApiError::bad_input(text)) };
    }
    let mistake = |mistake| ApiError::bad_input(format!("Unable to parse 'data': {mistake} (input '{name}')"));
    if data_type == "FP64" {
        return elements::check_floats(data, count).map(|()| None).map_err(mistake);
    }
    let values = elements::from_json(data, known.unwrap_or(DataType::Int64), count).map_err(mistake)?;
    match &values {
        TensorValues::Int64(values) if data_type.starts_with("UINT") && values.iter().any(|&value| value < 0) => {
            Err(ApiError::bad_input(format!("Unable to parse 'data': {NOT_UNSIGNED}")))
        }
        _ => Ok(known.map(|_| values)),
    }
}

/// The next input of the raw part.
fn take_raw<'a>(name: &str, byte_count: u64, raw: &mut &'a [u8], model: &Named<'_>) -> Result<&'a [u8], ApiError> {
    let split = usize::try_from(byte_count).ok().and_then(|count| raw.split_at_checked(count));
    let Some((bytes, rest)) = split else {
        return Err(ApiError::bad_input(format!(
            "unexpected size for input '{name}', expecting {} additional bytes for model '{}'",
            byte_count - raw.len() as u64,
            model.model
        )));
    };
    *raw = rest;
    Ok(bytes)
}

/// A body without JSON: the only input, with a batch of one, and all outputs raw.
fn read_raw(raw: &[u8], model: &Named<'_>) -> Result<Inference, ApiError> {
    let [spec] = model.interface.inputs.as_slice() else {
        let count = model.interface.inputs.len();
        let text = format!(
            "Raw request must only have 1 input (found 1) to be deduced but got {count} inputs in '{}' model configuration",
            model.model
        );
        return Err(model.refuse(None, &text));
    };
    let given = Given {
        name: spec.name.clone(),
        data_type: spec.data_type.kserve_name().to_owned(),
        shape: raw_shape(spec, raw.len()),
        values: Some(elements::from_bytes(raw, spec.data_type)),
        byte_count: raw.len() as u64,
    };
    let outputs = all_outputs(model, true);
    let inputs = model.check(None, vec![given], &outputs)?;
    Ok(Inference { id: None, inputs, outputs })
}

/// A batch of one; one more dynamic dimension takes what the number of bytes leaves for it.
fn raw_shape(spec: &TensorSpec, byte_count: usize) -> Vec<u64> {
    let size = |dim: &Dim| match dim {
        Dim::Fixed(size) => *size,
        Dim::Dynamic(_) => 1,
    };
    let mut shape: Vec<u64> = spec.dims.iter().map(size).collect();
    let fixed = shape.iter().fold(spec.data_type.byte_count() as u64, |product, &size| product.saturating_mul(size));
    let free = spec.dims.iter().enumerate().skip(1).filter(|(_, dim)| matches!(dim, Dim::Dynamic(_)));
    if let [(index, _)] = free.collect::<Vec<_>>().as_slice() {
        shape[*index] = byte_count as u64 / fixed.max(1);
    }
    shape
}
