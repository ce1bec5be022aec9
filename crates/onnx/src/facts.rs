//! The inputs, outputs and weights of a graph that another tool wrote.

use crate::element_type::SERVED;
use crate::tensor_shape_proto::Dimension;
use crate::tensor_shape_proto::dimension::Value as DimensionValue;
use crate::{ElementType, Error, GraphProto, Result, TensorProto, ValueInfoProto, parse_model};
use planforge_types::{DataType, Dim, Precision, TensorSpec};
use std::collections::{BTreeMap, BTreeSet};

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
        let standard = model.opset_import.iter().find(|opset| ["", "ai.onnx"].contains(&opset.domain()));
        let weights: BTreeSet<&str> = graph.initializer.iter().map(TensorProto::name).collect();
        let given = graph.input.iter().filter(|input| !weights.contains(input.name()));
        let inputs = given.map(|input| tensor_spec("input", input)).collect::<Result<Vec<_>, _>>()?;
        let outputs = graph.output.iter().map(|output| tensor_spec("output", output)).collect::<Result<Vec<_>, _>>()?;
        if inputs.is_empty() || outputs.is_empty() {
            return Err(Error::NoInterface);
        }
        Ok(Self {
            opset: standard.map_or(1, |opset| opset.version()),
            inputs,
            outputs,
            precision: precision(graph),
            parameter_count: parameters(graph).map(|weight| weight.count).sum(),
            weight_byte_count: parameters(graph).map(|weight| weight.count * weight.width).sum(),
            data_files: data_files(graph)?,
        })
    }
}

/// The type that most of the weights' bytes have; of those with as many, the widest.
fn precision(graph: &GraphProto) -> Precision {
    let bytes_of = |precision: Precision| {
        let element_type = ElementType::from(precision.data_type());
        let of_type = parameters(graph).filter(|weight| weight.element_type == element_type);
        of_type.map(|weight| weight.count * weight.width).sum::<u64>()
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

fn element_count(weight: &TensorProto) -> u64 {
    weight.dims.iter().map(|&dim| u64::try_from(dim).unwrap_or(0)).fold(1, u64::saturating_mul)
}

/// Name, type and shape. A first dimension that is not fixed is the batch; a second one of integers, the sequence; any
/// other keeps its name.
fn tensor_spec(role: &'static str, value: &ValueInfoProto) -> Result<TensorSpec> {
    let name = value.name().to_owned();
    let Some(tensor) = value.as_tensor() else { return Err(Error::NotATensor { role, name }) };
    let data_type = tensor.element_type().data_type().filter(|data_type| SERVED.contains(data_type));
    let Some(data_type) = data_type else {
        return Err(Error::UnsupportedElementType { role, name, number: tensor.elem_type() });
    };
    let Some(shape) = &tensor.shape else { return Err(Error::NoShape { role, name }) };
    let is_integer = matches!(data_type, DataType::Int64 | DataType::Int32);
    let dim = |(place, dim): (usize, &Dimension)| match &dim.value {
        Some(DimensionValue::DimValue(size)) if *size > 0 => Dim::Fixed(size.unsigned_abs()),
        _ if place == 0 => Dim::dynamic("batch"),
        _ if place == 1 && is_integer => Dim::dynamic("sequence"),
        Some(DimensionValue::DimParam(name)) if !name.is_empty() => Dim::dynamic(name),
        _ => Dim::dynamic(&format!("dim{place}")),
    };
    let dims = shape.dim.iter().enumerate().map(dim).collect();
    Ok(TensorSpec { name, data_type, dims })
}

/// Files that weights are in, and how long they must at least be.
fn data_files(graph: &GraphProto) -> Result<BTreeMap<String, u64>> {
    let mut files = BTreeMap::new();
    for weight in graph.initializer.iter().filter(|weight| weight.is_external()) {
        let place = ExternalPlace::of(weight)?;
        let end = place.offset.saturating_add(place.length.unwrap_or(0));
        let length = files.entry(place.location).or_insert(0);
        *length = end.max(*length);
    }
    Ok(files)
}

/// Where a tensor's elements are outside of the graph's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalPlace {
    /// Name of a file in the folder of the graph.
    pub location: String,
    /// The first byte.
    pub offset: u64,
    /// Number of bytes; without it, all that follow.
    pub length: Option<u64>,
}

impl ExternalPlace {
    /// The place of `weight`, a tensor whose elements are in another file.
    ///
    /// # Errors
    /// [`Error::ExternalNumber`], [`Error::NoLocation`], and [`Error::ForeignLocation`].
    pub fn of(weight: &TensorProto) -> Result<Self> {
        let name = || weight.name().to_owned();
        let number = |key: &'static str| {
            let parsed = weight.external(key).map(|text| text.parse().map_err(|_| text.to_owned())).transpose();
            parsed.map_err(|value| Error::ExternalNumber { weight: name(), key, value })
        };
        let offset = number("offset")?.unwrap_or(0);
        let length = number("length")?;
        let location = weight.external("location").ok_or_else(|| Error::NoLocation { weight: name() })?.to_owned();
        if location.is_empty() || location == ".." || location.contains(['/', '\\']) {
            return Err(Error::ForeignLocation { weight: name(), location });
        }
        Ok(Self { location, offset, length })
    }
}
