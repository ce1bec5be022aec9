//! KServe v2 inference protocol, JSON form (the "Open Inference Protocol").

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Body of an inference request.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct InferRequest {
    /// Echoed in the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Options of the whole request.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub parameters: Map<String, Value>,
    /// Input tensors.
    pub inputs: Vec<InferTensor>,
    /// Outputs wanted; all when left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<RequestedOutput>,
}

/// An inference request as it goes over the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestBody {
    /// Content type, which decides how the bytes are read.
    pub content_type: String,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// SageMaker's name for Triton's binary tensor extension: a number of bytes of JSON, then raw tensors.
const BINARY_TYPE: &str = "application/vnd.sagemaker-triton.binary+json;json-header-size=";

impl RequestBody {
    /// `request` with the inputs' elements as raw little-endian bytes instead of JSON numbers.
    ///
    /// # Errors
    /// Never for requests of plain text and numbers.
    pub fn binary(mut request: InferRequest, raw: &[Vec<u8>]) -> serde_json::Result<Self> {
        for (input, raw) in request.inputs.iter_mut().zip(raw) {
            input.data = TensorData(Vec::new());
            input.parameters.insert("binary_data_size".to_owned(), raw.len().into());
        }
        let mut bytes = serde_json::to_vec(&request)?;
        let content_type = format!("{BINARY_TYPE}{}", bytes.len());
        bytes.extend(raw.concat());
        Ok(Self { content_type, bytes })
    }

    /// `request` as JSON.
    ///
    /// # Errors
    /// Never for requests of plain text and numbers.
    pub fn json(request: &InferRequest) -> serde_json::Result<Self> {
        Ok(Self { content_type: JSON_TYPE.to_owned(), bytes: serde_json::to_vec(request)? })
    }
}

const JSON_TYPE: &str = "application/json";

impl From<&str> for RequestBody {
    /// JSON.
    fn from(json: &str) -> Self {
        Self { content_type: JSON_TYPE.to_owned(), bytes: json.into() }
    }
}

/// An output named in a request.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RequestedOutput {
    /// Its name.
    pub name: String,
    /// Options.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub parameters: Map<String, Value>,
}

/// A tensor in a request or an answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct InferTensor {
    /// Name.
    pub name: String,
    /// Shape, batch first.
    pub shape: Vec<i64>,
    /// KServe type name, such as `INT64`.
    pub datatype: String,
    /// Options.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub parameters: Map<String, Value>,
    /// Elements in row-major order; nested lists are accepted in requests. Left out when they follow as raw bytes.
    #[serde(default, skip_serializing_if = "TensorData::is_empty")]
    pub data: TensorData,
}

/// Elements of a JSON tensor.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TensorData(pub Vec<Value>);

impl TensorData {
    /// From integers.
    #[must_use]
    pub fn from_integers(values: &[i64]) -> Self {
        Self(values.iter().map(|&value| value.into()).collect())
    }

    /// Whether there are no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All numbers in row-major order, nested lists opened up; `None` where an element is not a number.
    #[must_use]
    pub fn numbers(&self) -> Option<Vec<&serde_json::Number>> {
        let mut numbers = Vec::with_capacity(self.0.len());
        flatten(&self.0, &mut numbers).then_some(numbers)
    }
}

fn flatten<'a>(values: &'a [Value], numbers: &mut Vec<&'a serde_json::Number>) -> bool {
    values.iter().all(|value| match value {
        Value::Number(number) => {
            numbers.push(number);
            true
        }
        Value::Array(inner) => flatten(inner, numbers),
        _ => false,
    })
}

/// Body of an inference answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct InferResponse {
    /// Name the model was asked for by.
    pub model_name: String,
    /// Version that answered.
    pub model_version: String,
    /// The request's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Output tensors.
    pub outputs: Vec<InferTensor>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_tensors_follow_the_json_whose_length_the_content_type_says() {
        let input = InferTensor {
            name: "x".to_owned(),
            shape: vec![2],
            datatype: "FP32".to_owned(),
            parameters: Map::default(),
            data: TensorData::default(),
        };
        let request = InferRequest { id: None, parameters: Map::default(), inputs: vec![input], outputs: Vec::new() };
        let body = RequestBody::binary(request, &[vec![1; 8]]).unwrap();
        let length: usize = body.content_type.rsplit_once('=').unwrap().1.parse().unwrap();
        let (json, raw) = body.bytes.split_at(length);
        let json: Value = serde_json::from_slice(json).unwrap();
        assert_eq!(json["inputs"][0]["parameters"]["binary_data_size"], 8);
        assert!(json["inputs"][0].get("data").is_none());
        assert_eq!(raw, [1; 8]);
    }

    #[test]
    fn nested_and_flat_data_are_the_same_numbers() {
        let nested: TensorData = serde_json::from_str("[[1, 2], [3, 4]]").unwrap();
        let flat = TensorData::from_integers(&[1, 2, 3, 4]);
        assert_eq!(nested.numbers().unwrap(), flat.numbers().unwrap());
        let text: TensorData = serde_json::from_str("[\"a\"]").unwrap();
        assert!(text.numbers().is_none());
    }
}
