//! The inputs, outputs and weights of a graph that another tool wrote.

use crate::dims::{DimNames, OpenTensor, fixed};
use crate::element_type::SERVED;
use crate::external::external_files;
use crate::{ElementType, Error, GraphProto, Result, TensorProto, ValueInfoProto, parse_model};
use planforge_types::{Precision, TensorSpec};
use std::collections::{BTreeMap, BTreeSet};

/// Most elements of a weight: 4 TiB in fp32.
const MAX_WEIGHT_ELEMENTS: u64 = 1 << 40;
/// Most elements of one sample of an input or output: 1 GiB in fp32.
const MAX_SAMPLE_ELEMENTS: u64 = 1 << 28;

/// Facts of a model.
#[derive(Debug)]
pub struct ModelFacts {
    /// Version of the standard operator set.
    pub opset: i64,
    /// Inputs that are not weights, in order.
    pub inputs: Vec<TensorSpec>,
    /// Outputs, in order.
    pub outputs: Vec<TensorSpec>,
    /// Type of most of the weights' bytes.
    pub precision: Precision,
    /// Number of floating-point or quantized elements.
    pub parameter_count: u64,
    /// Their bytes.
    pub weight_byte_count: u64,
    /// For each file that weights are in, the bytes it must have.
    pub data_files: BTreeMap<String, u64>,
}

impl ModelFacts {
    /// The facts of the model in an ONNX file.
    ///
    /// # Errors
    /// [`Error::Decode`], [`Error::NoGraph`], and the variants for inputs, outputs and weights that cannot be used.
    pub fn read(bytes: &[u8]) -> Result<Self> {
        let model = parse_model(bytes)?;
        let graph = model.graph()?;
        if let Some(weight) = graph.initializer.iter().find(|weight| element_count(weight) > MAX_WEIGHT_ELEMENTS) {
            return Err(too_large("weight", weight.name(), element_count(weight), MAX_WEIGHT_ELEMENTS));
        }
        let standard = model.opset_import.iter().find(|opset| ["", "ai.onnx"].contains(&opset.domain()));
        let weights: BTreeSet<&str> = graph.initializer.iter().map(TensorProto::name).collect();
        let given = graph.input.iter().filter(|input| !weights.contains(input.name()));
        let inputs = given.map(|input| open_tensor("input", input)).collect::<Result<Vec<_>>>()?;
        let outputs = graph.output.iter().map(|output| open_tensor("output", output)).collect::<Result<Vec<_>>>()?;
        if inputs.is_empty() || outputs.is_empty() {
            return Err(Error::NoInterface);
        }
        let names = DimNames::of_inputs(&inputs);
        let spec = |tensor: &OpenTensor| TensorSpec::new(&tensor.name, tensor.data_type, names.dims(tensor));
        Ok(Self {
            opset: standard.map_or(1, |opset| opset.version()),
            inputs: inputs.iter().map(spec).collect(),
            outputs: outputs.iter().map(spec).collect(),
            precision: precision(graph),
            parameter_count: parameters(graph).map(|weight| weight.count).fold(0, u64::saturating_add),
            weight_byte_count: byte_count(parameters(graph)),
            data_files: external_files(bytes)?,
        })
    }
}

/// The type that most of the weights' bytes have; of those with as many, the widest.
fn precision(graph: &GraphProto) -> Precision {
    let bytes_of = |precision: Precision| {
        let element_type = ElementType::from(precision.data_type());
        let of_type = parameters(graph).filter(|weight| weight.element_type == element_type);
        byte_count(of_type)
    };
    // Of equals, `max_by_key` takes the last.
    Precision::ALL.into_iter().rev().max_by_key(|&precision| bytes_of(precision)).unwrap_or(Precision::Fp32)
}

/// Elements of one weight, and the bytes of each.
struct Parameters {
    element_type: ElementType,
    count: u64,
    width: u64,
}

/// A checkpoint can state any shape; what does not fit is reported where the elements are missing.
fn byte_count(weights: impl Iterator<Item = Parameters>) -> u64 {
    weights.map(|weight| weight.count.saturating_mul(weight.width)).fold(0, u64::saturating_add)
}

fn parameters(graph: &GraphProto) -> impl Iterator<Item = Parameters> {
    graph.initializer.iter().filter_map(|weight| {
        let element_type = weight.element_type();
        Some(Parameters { element_type, count: element_count(weight), width: weight_width(element_type)? })
    })
}

/// Bytes of an element of a type that weights have: floats, halves, and 8-bit integers and floats.
const fn weight_width(element_type: ElementType) -> Option<u64> {
    match element_type {
        ElementType::Float => Some(4),
        ElementType::Float16 | ElementType::Bfloat16 => Some(2),
        ElementType::Uint8 | ElementType::Int8 => Some(1),
        other if other.is_fp8() => Some(1),
        _ => None,
    }
}

fn too_large(role: &'static str, name: &str, element_count: u64, limit: u64) -> Error {
    Error::TooLarge { role, name: name.to_owned(), element_count, limit }
}

/// Elements of a weight, as far as they can be counted.
pub(crate) fn element_count(weight: &TensorProto) -> u64 {
    weight.dims.iter().map(|&dim| u64::try_from(dim).unwrap_or(0)).fold(1, u64::saturating_mul)
}

/// Name, element type and dimensions as the graph has them.
fn open_tensor(role: &'static str, value: &ValueInfoProto) -> Result<OpenTensor> {
    let name = value.name().to_owned();
    let Some(tensor) = value.as_tensor() else { return Err(Error::NotATensor { role, name }) };
    let data_type = tensor.element_type().data_type().filter(|data_type| SERVED.contains(data_type));
    let Some(data_type) = data_type else {
        return Err(Error::UnsupportedElementType { role, name, number: tensor.elem_type() });
    };
    let Some(shape) = &tensor.shape else { return Err(Error::NoShape { role, name }) };
    let element_count = shape.dim.iter().filter_map(fixed).fold(1, u64::saturating_mul);
    if element_count > MAX_SAMPLE_ELEMENTS {
        return Err(too_large(role, &name, element_count, MAX_SAMPLE_ELEMENTS));
    }
    Ok(OpenTensor { name, data_type, dims: shape.dim.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor_shape_proto::Dimension;
    use crate::{ModelProto, model_text};
    use prost::Message;

    fn model(size: i64, weight: Vec<i64>) -> ModelProto {
        let dims = vec![Dimension::dynamic("batch"), Dimension::fixed(size), Dimension::fixed(size)];
        let value = |name| ValueInfoProto::tensor(name, ElementType::Float, dims.clone());
        let weight = TensorProto {
            name: Some("w".to_owned()),
            dims: weight,
            data_type: Some(ElementType::Int64.into()),
            ..TensorProto::default()
        };
        let graph = GraphProto {
            input: vec![value("x")],
            output: vec![value("y")],
            initializer: vec![weight],
            ..GraphProto::default()
        };
        ModelProto { graph: Some(graph), ..ModelProto::default() }
    }

    #[test]
    fn shapes_beyond_any_model_are_refused_with_limit_and_size() {
        let message = |model: &ModelProto| ModelFacts::read(&model.encode_to_vec()).unwrap_err().to_string();
        let input = message(&model(1 << 20, vec![1]));
        assert_eq!(input, "input `x` is too large: its shape has 1099511627776 elements; expected at most 268435456");
        let endless = model(2, vec![1 << 62, 1 << 62]);
        assert!(message(&endless).starts_with("weight `w` is too large: its shape has 18446744073709551615 elements"));
        assert!(model_text(&endless).unwrap().contains("w: int64[4611686018427387904, 4611686018427387904]"));
        assert!(ModelFacts::read(&model(1 << 14, vec![1]).encode_to_vec()).is_ok());
    }
}
