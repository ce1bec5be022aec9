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
    /// Elements in row-major order; nested lists are accepted in requests.
    pub data: TensorData,
}

/// Elements of a JSON tensor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TensorData(pub Vec<Value>);

impl TensorData {
    /// From integers.
    #[must_use]
    pub fn from_integers(values: &[i64]) -> Self {
        Self(values.iter().map(|&value| value.into()).collect())
    }

    /// All numbers in row-major order, nested lists opened up; `None` where an element is no number.
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
    fn nested_and_flat_data_are_the_same_numbers() {
        let nested: TensorData = serde_json::from_str("[[1, 2], [3, 4]]").unwrap();
        let flat = TensorData::from_integers(&[1, 2, 3, 4]);
        assert_eq!(nested.numbers().unwrap(), flat.numbers().unwrap());
        let text: TensorData = serde_json::from_str("[\"a\"]").unwrap();
        assert!(text.numbers().is_none());
    }
}
