//! What a graph from elsewhere is given, gives and holds.

use super::proto::{Dimension, DimensionValue, EXTERNAL, GraphProto, ModelProto, TensorProto, ValueInfo, element_type};
use planforge_core::{DataType, Dim, Precision, TensorSpec};
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};

/// Facts of a graph.
#[derive(Debug)]
pub(crate) struct GraphFacts {
    /// Version of the standard operator set.
    pub(crate) opset: i64,
    /// Inputs that are no weights, in order.
    pub(crate) inputs: Vec<TensorSpec>,
    /// Outputs, in order.
    pub(crate) outputs: Vec<TensorSpec>,
    /// Type of most of the weights' bytes.
    pub(crate) precision: Precision,
    /// Number of floating-point or quantized elements.
    pub(crate) parameter_count: u64,
    /// Their bytes.
    pub(crate) weight_byte_count: u64,
    /// For each file that weights lie in, the bytes it must have.
    pub(crate) data_files: BTreeMap<String, u64>,
}

impl GraphFacts {
    /// Reads an ONNX file.
    ///
    /// # Errors
    /// What makes it unusable, in words.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, String> {
        let model = ModelProto::decode(bytes).map_err(|error| error.to_string())?;
        let graph = model.graph.ok_or("it holds no graph")?;
        let standard = model.opset_import.iter().find(|opset| ["", "ai.onnx"].contains(&opset.domain.as_str()));
        let weights: BTreeSet<&str> = graph.initializer.iter().map(|weight| weight.name.as_str()).collect();
        let given = graph.input.iter().filter(|input| !weights.contains(input.name.as_str()));
        let inputs = given.map(|input| tensor_spec("input", input)).collect::<Result<Vec<_>, _>>()?;
        let outputs = graph.output.iter().map(|output| tensor_spec("output", output)).collect::<Result<Vec<_>, _>>()?;
        if inputs.is_empty() || outputs.is_empty() {
            return Err("it has no inputs or no outputs".to_owned());
        }
        Ok(Self {
            opset: standard.map_or(1, |opset| opset.version),
            inputs,
            outputs,
            precision: precision(&graph),
            parameter_count: parameters(&graph).map(|(count, _)| count).sum(),
            weight_byte_count: parameters(&graph).map(|(count, width)| count * width).sum(),
            data_files: data_files(&graph)?,
        })
    }
}

/// The type that most of the weights' bytes have; of those with as many, the widest.
fn precision(graph: &GraphProto) -> Precision {
    let of_type = |precision: Precision| match precision {
        Precision::Fp32 => byte_count(graph, FP32),
        Precision::Fp16 => byte_count(graph, FP16),
        Precision::Bf16 => byte_count(graph, BF16),
    };
    // Of equals, `max_by_key` takes the last.
    Precision::ALL.into_iter().rev().max_by_key(|&precision| of_type(precision)).unwrap_or(Precision::Fp32)
}

/// Numbers of `TensorProto.DataType`.
const FP32: i32 = 1;
const FP16: i32 = 10;
const BF16: i32 = 16;

/// Bytes of an element of a type that weights have: floats, halves, and 8-bit integers and floats.
const fn weight_width(data_type: i32) -> Option<u64> {
    match data_type {
        FP32 => Some(4),
        FP16 | BF16 => Some(2),
        2 | 3 | 17..=20 => Some(1),
        _ => None,
    }
}

/// Elements and their width of each weight.
fn parameters(graph: &GraphProto) -> impl Iterator<Item = (u64, u64)> {
    graph.initializer.iter().filter_map(|weight| Some((element_count(weight), weight_width(weight.data_type)?)))
}

fn byte_count(graph: &GraphProto, data_type: i32) -> u64 {
    let of_types = graph.initializer.iter().filter(|weight| weight.data_type == data_type);
    of_types.map(|weight| element_count(weight) * weight_width(weight.data_type).unwrap_or(0)).sum()
}

fn element_count(weight: &TensorProto) -> u64 {
    weight.dims.iter().map(|&dim| u64::try_from(dim).unwrap_or(0)).fold(1, u64::saturating_mul)
}

/// Name, type and shape. A first dimension that is not fixed is the batch; a second one of integers, the sequence; any
/// other keeps its name.
fn tensor_spec(what: &str, value: &ValueInfo) -> Result<TensorSpec, String> {
    let name = &value.name;
    let tensor = value.r#type.as_ref().and_then(|kind| kind.tensor_type.as_ref());
    let tensor = tensor.ok_or_else(|| format!("{what} `{name}` is no tensor"))?;
    let types = [DataType::Fp32, DataType::Fp16, DataType::Int64, DataType::Int32, DataType::Bool];
    let data_type = types.into_iter().find(|&data_type| element_type(data_type) == tensor.elem_type);
    let data_type = data_type.ok_or_else(|| {
        let known = types.map(|data_type| data_type.kserve_name().to_lowercase()).join(", ");
        format!("{what} `{name}` has element type number {}; usable are {known}", tensor.elem_type)
    })?;
    let shape = tensor.shape.as_ref().ok_or_else(|| format!("{what} `{name}` has no shape"))?;
    let is_integer = matches!(data_type, DataType::Int64 | DataType::Int32);
    let dim = |(place, dim): (usize, &Dimension)| match &dim.value {
        Some(DimensionValue::DimValue(size)) if *size > 0 => Dim::Fixed(size.unsigned_abs()),
        _ if place == 0 => Dim::dynamic("batch"),
        _ if place == 1 && is_integer => Dim::dynamic("sequence"),
        Some(DimensionValue::DimParam(name)) if !name.is_empty() => Dim::dynamic(name),
        _ => Dim::dynamic(&format!("dim{place}")),
    };
    let dims = shape.dim.iter().enumerate().map(dim).collect();
    Ok(TensorSpec { name: name.clone(), data_type, dims })
}

/// Files that weights lie in, and how long they must at least be.
fn data_files(graph: &GraphProto) -> Result<BTreeMap<String, u64>, String> {
    let mut files = BTreeMap::new();
    for weight in graph.initializer.iter().filter(|weight| weight.data_location == EXTERNAL) {
        let number = |key: &str| weight.external(key).map_or(Ok(0), str::parse::<u64>);
        let fail = |_| format!("weight `{}` has an offset or a length that is no number", weight.name);
        let end = number("offset").map_err(fail)?.saturating_add(number("length").map_err(fail)?);
        let file = weight.external("location").ok_or_else(|| format!("weight `{}` lies in no file", weight.name))?;
        if file.is_empty() || file == ".." || file.contains(['/', '\\']) {
            return Err(format!("weight `{}` lies in `{file}`, which is no file beside the graph", weight.name));
        }
        let length = files.entry(file.to_owned()).or_insert(0);
        *length = end.max(*length);
    }
    Ok(files)
}
