//! Tensors of an endpoint's response.

use crate::{Error, Result};
use planforge_core::{DataType, InferResponse, InferTensor};
use planforge_runtime::{Tensor, TensorView};
use serde_json::{Number, Value};

/// What a content type has before the number of bytes of JSON.
const HEADER_SIZE: &str = "json-header-size=";

/// The outputs of a response, JSON or raw bytes after JSON.
///
/// # Errors
/// [`Error::Response`] for a body that is not a KServe v2 response.
pub(crate) fn tensors(content_type: &str, body: &[u8]) -> Result<Vec<Tensor>> {
    let size = content_type.split_once(HEADER_SIZE).and_then(|(_, size)| size.trim().parse().ok());
    let (json, mut raw) = body.split_at_checked(size.unwrap_or(body.len())).ok_or_else(|| fault("it is cut off"))?;
    let response: InferResponse = serde_json::from_slice(json).map_err(|error| {
        let has = |word: &[u8]| json.windows(word.len()).any(|part| part == word);
        let is_infinite = has(b"NaN") || has(b"Infinity");
        let remark = if is_infinite { "outputs have NaN or infinite values; expected finite numbers: " } else { "" };
        fault(&format!("{remark}{error}"))
    })?;
    response.outputs.iter().map(|output| tensor(output, &mut raw)).collect()
}

fn tensor(output: &InferTensor, raw: &mut &[u8]) -> Result<Tensor> {
    let InferTensor { name, shape, datatype, parameters, data } = output;
    let fail = |text: String| fault(&format!("output `{name}` {text}"));
    let data_type = DataType::from_kserve_name(datatype).ok_or_else(|| fail(format!("has type `{datatype}`")))?;
    let shape: Option<Vec<usize>> = shape.iter().map(|&size| usize::try_from(size).ok()).collect();
    let shape = shape.ok_or_else(|| fail("has a negative size".to_owned()))?;
    let bytes = match parameters.get("binary_data_size").and_then(Value::as_u64) {
        Some(size) => {
            let split = usize::try_from(size).ok().and_then(|size| raw.split_at_checked(size));
            let (own, rest) = split.ok_or_else(|| fail("is cut off".to_owned()))?;
            *raw = rest;
            own.to_vec()
        }
        None => bytes_of(&data.0, data_type).ok_or_else(|| fail(format!("has elements that are not {datatype}")))?,
    };
    let view = TensorView { name, data_type, shape: &shape, bytes: &bytes };
    let expected = shape.iter().try_fold(data_type.byte_count(), |count, &size| count.checked_mul(size));
    if Some(bytes.len()) != expected {
        return Err(fail("has another number of elements than its shape".to_owned()));
    }
    Ok(view.to_tensor())
}

/// Elements as this machine holds them in memory.
fn bytes_of(data: &[Value], data_type: DataType) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(data.len() * data_type.byte_count());
    for value in data {
        match (data_type, value) {
            (_, Value::Array(inner)) => bytes.extend(bytes_of(inner, data_type)?),
            (DataType::Fp32, Value::Number(number)) => bytes.extend(single(number)?.to_ne_bytes()),
            (DataType::Int64, Value::Number(number)) => bytes.extend(number.as_i64()?.to_ne_bytes()),
            (DataType::Int32, Value::Number(number)) => {
                bytes.extend(i32::try_from(number.as_i64()?).ok()?.to_ne_bytes());
            }
            (DataType::Bool, Value::Bool(flag)) => bytes.push(u8::from(*flag)),
            _ => return None,
        }
    }
    Some(bytes)
}

#[expect(clippy::cast_possible_truncation, reason = "the number was a binary32")]
fn single(number: &Number) -> Option<f32> {
    number.as_f64().map(|number| number as f32)
}

fn fault(reason: &str) -> Error {
    Error::Response { reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use planforge_runtime::TensorValues;

    #[test]
    fn numbers_and_raw_bytes_are_read() {
        let json = br#"{"model_name":"m","model_version":"1","outputs":[
            {"name":"a","datatype":"FP32","shape":[1,2],"data":[[1.5,2]]},
            {"name":"b","datatype":"INT64","shape":[1],"parameters":{"binary_data_size":8}}]}"#;
        let body = [json.as_slice(), &7_i64.to_ne_bytes()].concat();
        let read = tensors(&format!("x;json-header-size={}", json.len()), &body).unwrap();
        assert_eq!(read[0].values, TensorValues::Fp32(vec![1.5, 2.0]));
        assert_eq!((read[1].name.as_str(), &read[1].values), ("b", &TensorValues::Int64(vec![7])));
        let cut = tensors(&format!("x;json-header-size={}", json.len()), &body[..body.len() - 1]).unwrap_err();
        assert!(cut.to_string().contains("output `b` is cut off"), "{cut}");
        let infinite = tensors("application/json", br#"{"outputs":[{"name":"a","data":[NaN]}]}"#).unwrap_err();
        assert!(infinite.to_string().contains("NaN or infinite values"), "{infinite}");
        let large = br#"{"model_name":"m","model_version":"1","outputs":[
            {"name":"a","datatype":"FP32","shape":[9223372036854775807,4],"data":[1]}]}"#;
        let large = tensors("application/json", large).unwrap_err();
        assert!(large.to_string().contains("another number of elements"), "{large}");
        let short = json.to_vec();
        let short = String::from_utf8(short).unwrap().replace("[[1.5,2]]", "[1.5]");
        let error = tensors(&format!("json-header-size={}", short.len()), short.as_bytes()).unwrap_err();
        assert!(error.to_string().contains("another number of elements"), "{error}");
    }
}
