//! The ONNX graph under construction: nodes, constants, and references to weights.

use crate::Result;
use crate::checkpoint::{Parameters, TensorRef};
use planforge_core::{DataType, Dim, Precision, TensorSpec, TokenType};
use planforge_onnx::tensor_shape_proto::Dimension;
use planforge_onnx::{
    AttributeProto, ElementType, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, ValueInfoProto,
    remove_unused,
};
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};

/// Version of the exports: raised whenever the same checkpoint gives other bytes. Graphs carry it as the version of their
/// producer, so a release that changes nothing of them leaves locks as they are.
pub(crate) const FORMAT: u32 = 3;

/// Version of the operator set of a graph, and the first version of the format with it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Opset {
    pub(crate) version: i64,
    ir_version: i64,
}

impl Opset {
    /// The first with `Gelu`; in bf16 the first with `Conv` and pooling in it.
    pub(crate) const fn of(precision: Precision) -> Self {
        match precision {
            Precision::Fp32 | Precision::Fp16 => Self { version: 20, ir_version: 9 },
            Precision::Bf16 => Self { version: 22, ir_version: 10 },
        }
    }
}

/// A weight as the graph uses it.
#[derive(Debug, Clone)]
pub(crate) struct WeightUse {
    /// Name in the graph: the checkpoint's, in today's spelling.
    pub(crate) name: String,
    /// Where it is stored.
    pub(crate) source: TensorRef,
    /// Its type in the graph.
    pub(crate) data_type: DataType,
    /// Whether it is a parameter, rather than a statistic of the training data.
    pub(crate) trained: bool,
}

impl WeightUse {
    fn proto(&self) -> TensorProto {
        let dims = self.source.tensor.shape.iter().map(|&dim| dim as i64).collect();
        TensorProto::new(&self.name, self.data_type.into(), dims)
    }

    /// Its bytes in the graph.
    pub(crate) fn byte_count(&self) -> u64 {
        self.data_type.bytes_of(self.source.tensor.shape.iter().product()) as u64
    }

    /// The weight as the file has it, without its data.
    pub(crate) fn header(&self) -> Vec<u8> {
        self.proto().encode_to_vec()
    }
}

/// A file in two parts, without weights.
#[derive(Debug)]
pub(crate) struct EncodedModel {
    /// All but the graph.
    pub(crate) rest: Vec<u8>,
    /// The graph, whose field and length are not written yet.
    pub(crate) graph: Vec<u8>,
}

/// Where a weight is stored, for the graph file: relative file name, offset, length.
pub(crate) type WeightPlan = BTreeMap<String, (String, u64, u64)>;

/// Interpreter of [`crate::Ops`] that writes an ONNX graph.
pub(crate) struct OnnxGraph<'a> {
    precision: Precision,
    token_type: TokenType,
    wide: &'a BTreeSet<String>,
    parameters: &'a mut Parameters,
    graph: GraphProto,
    weights: BTreeMap<String, WeightUse>,
    values: BTreeSet<String>,
    pub(super) inputs: Vec<TensorSpec>,
    pub(super) outputs: Vec<TensorSpec>,
    /// Values in the precision of the export, in order.
    computed: Vec<String>,
}

/// A value of the graph.
#[derive(Debug, Clone)]
pub(crate) struct Value {
    pub(super) name: String,
    pub(super) data_type: DataType,
}

impl<'a> OnnxGraph<'a> {
    /// An empty graph over these parameters. In fp16 and bf16, the values named in `wide` are kept in binary32.
    pub(crate) fn new(
        precision: Precision,
        token_type: TokenType,
        wide: &'a BTreeSet<String>,
        parameters: &'a mut Parameters,
    ) -> Self {
        Self {
            precision,
            token_type,
            wide,
            parameters,
            graph: GraphProto::default(),
            weights: BTreeMap::new(),
            values: BTreeSet::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            computed: Vec::new(),
        }
    }

    /// The input as the graph takes it: tokens in their type.
    pub(super) fn given(&self, spec: &TensorSpec) -> TensorSpec {
        TensorSpec { data_type: self.token_type.of_input(spec.data_type), ..spec.clone() }
    }

    /// The weights used, by name.
    pub(crate) fn weights(&self) -> impl Iterator<Item = &WeightUse> {
        self.weights.values()
    }

    /// Inputs and outputs, in order.
    pub(crate) fn interface(&self) -> (Vec<TensorSpec>, Vec<TensorSpec>) {
        (self.inputs.clone(), self.outputs.clone())
    }

    /// The finished file, its weights where `plan` has them.
    pub(crate) fn encode(mut self, name: &str, plan: &WeightPlan) -> Vec<u8> {
        for weight in self.weights.values() {
            let (location, offset, length) = &plan[&weight.name];
            self.graph.initializer.push(weight.proto().with_external_data(location, *offset, *length));
        }
        self.graph.name = Some(name.to_owned());
        ModelProto { graph: Some(self.graph), ..model(self.precision) }.encode_to_vec()
    }

    /// The finished file without its weights, which are to follow the graph.
    pub(crate) fn encode_without_weights(mut self, name: &str) -> EncodedModel {
        self.graph.name = Some(name.to_owned());
        EncodedModel { rest: model(self.precision).encode_to_vec(), graph: self.graph.encode_to_vec() }
    }

    /// The parameter of this full name, which must have this shape, in the precision of the export.
    pub(super) fn weight(&mut self, name: &str, shape: &[usize]) -> Result<Value> {
        self.stored(name, shape, self.precision.data_type(), true)
    }

    /// A tensor of the checkpoint as `data_type`; `trained` for a parameter, not for a statistic.
    pub(super) fn stored(&mut self, name: &str, shape: &[usize], data_type: DataType, trained: bool) -> Result<Value> {
        let source = self.parameters.take(name, shape)?;
        let weight = WeightUse { name: name.to_owned(), source, data_type, trained };
        self.weights.insert(name.to_owned(), weight);
        self.values.insert(name.to_owned());
        Ok(Value { name: name.to_owned(), data_type })
    }

    /// Type of weights and of most arithmetic.
    pub(super) const fn compute_type(&self) -> DataType {
        self.precision.data_type()
    }

    /// Whether the value made under this name is to be kept in binary32: it or a scope around it was named.
    pub(super) fn is_wide(&self, name: &str) -> bool {
        self.precision != Precision::Fp32 && self.wide.iter().any(|scope| covers(scope, name))
    }

    /// Tensors of the checkpoint that were not used so far.
    pub(crate) fn unused_tensors(&self) -> Vec<String> {
        self.parameters.unused()
    }

    /// Notes a value that is rounded to the precision of the export.
    pub(super) fn note_computed(&mut self, value: &Value) {
        self.computed.push(value.name.clone());
    }

    /// Values that are rounded to the precision of the export, by name.
    pub(crate) fn computed(&self) -> &[String] {
        &self.computed
    }

    /// Instead of its outputs, gives the graph the largest magnitude of each value that is rounded to the precision
    /// of the export: numbers without dimensions under the values' names after `prefix`.
    pub(crate) fn measure_ranges(&mut self, prefix: &str) {
        self.graph.output.clear();
        self.outputs.clear();
        for name in std::mem::take(&mut self.computed) {
            let value = Value { name, data_type: DataType::Fp32 };
            let magnitude =
                self.node("Abs", &format!("{}/magnitude", value.name), &[&value], Vec::new(), DataType::Fp32);
            let kept = vec![AttributeProto::int("keepdims", 0)];
            let largest =
                self.node("ReduceMax", &format!("{}/largest", value.name), &[&magnitude], kept, DataType::Fp32);
            let spec = TensorSpec::new(&format!("{prefix}{}", value.name), DataType::Fp32, Vec::new());
            self.add_output(&spec, &largest);
        }
        // What led to the former outputs alone.
        remove_unused(&mut self.graph);
    }

    pub(super) fn has_parameter(&self, name: &str) -> bool {
        self.parameters.contains(name)
    }

    /// A node with one output, named after `hint`.
    pub(super) fn node(
        &mut self,
        op: &str,
        hint: &str,
        inputs: &[&Value],
        attributes: Vec<AttributeProto>,
        data_type: DataType,
    ) -> Value {
        let [value] = self.node_with_outputs(op, [hint.to_owned()], inputs, attributes, data_type);
        value
    }

    /// A node named after the first of its outputs, which are named after `hints`.
    pub(super) fn node_with_outputs<const N: usize>(
        &mut self,
        op: &str,
        hints: [String; N],
        inputs: &[&Value],
        attributes: Vec<AttributeProto>,
        data_type: DataType,
    ) -> [Value; N] {
        let outputs = hints.map(|hint| Value { name: self.unused_name(&hint), data_type });
        let input = inputs.iter().map(|value| value.name.clone()).collect();
        let output = outputs.iter().map(|value| value.name.clone()).collect();
        self.graph.node.push(NodeProto::new(op, input, output, attributes));
        outputs
    }

    /// A constant list of integers.
    pub(super) fn integers(&mut self, values: &[i64]) -> Value {
        let text: Vec<_> = values.iter().map(ToString::to_string).collect();
        self.table(&format!("int64[{}]", text.join(",")), values)
    }

    /// A constant list of integers under a name of its own.
    pub(super) fn table(&mut self, name: &str, values: &[i64]) -> Value {
        let raw = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(name, DataType::Int64, vec![values.len() as i64], raw)
    }

    /// A constant integer without dimensions.
    pub(super) fn integer(&mut self, value: i64) -> Value {
        self.constant(&format!("int64({value})"), DataType::Int64, Vec::new(), value.to_le_bytes().to_vec())
    }

    /// A constant number without dimensions.
    pub(super) fn number(&mut self, value: f32, data_type: DataType) -> Value {
        let raw = match data_type {
            DataType::Fp16 => half::f16::from_f32(value).to_le_bytes().to_vec(),
            DataType::Bf16 => half::bf16::from_f32(value).to_le_bytes().to_vec(),
            _ => value.to_le_bytes().to_vec(),
        };
        let kind = data_type.kserve_name().to_lowercase();
        self.constant(&format!("{kind}({value:e})"), data_type, Vec::new(), raw)
    }

    fn constant(&mut self, name: &str, data_type: DataType, dims: Vec<i64>, raw_data: Vec<u8>) -> Value {
        if self.values.insert(name.to_owned()) {
            self.graph.initializer.push(TensorProto::new(name, data_type.into(), dims).with_raw_data(raw_data));
        }
        Value { name: name.to_owned(), data_type }
    }

    /// `value` as `data_type`.
    pub(super) fn cast(&mut self, value: &Value, data_type: DataType) -> Value {
        if value.data_type == data_type {
            return value.clone();
        }
        let to = AttributeProto::int("to", i64::from(i32::from(ElementType::from(data_type))));
        let hint = format!("{}/{}", value.name, data_type.kserve_name().to_lowercase());
        self.node("Cast", &hint, &[value], vec![to], data_type)
    }

    pub(super) fn add_input(&mut self, spec: &TensorSpec) -> Value {
        self.graph.input.push(value_info(spec));
        self.inputs.push(spec.clone());
        self.values.insert(spec.name.clone());
        Value { name: spec.name.clone(), data_type: spec.data_type }
    }

    pub(super) fn add_output(&mut self, spec: &TensorSpec, value: &Value) {
        let value = self.cast(value, spec.data_type);
        self.graph.node.push(NodeProto::new("Identity", vec![value.name], vec![spec.name.clone()], Vec::new()));
        self.graph.output.push(value_info(spec));
        self.outputs.push(spec.clone());
    }

    fn unused_name(&mut self, hint: &str) -> String {
        let mut name = hint.to_owned();
        let mut count = 1;
        while !self.values.insert(name.clone()) {
            count += 1;
            name = format!("{hint}#{count}");
        }
        name
    }
}

/// Whether `scope` is the name of a value, or of a scope around it.
pub(crate) fn covers(scope: &str, name: &str) -> bool {
    name.strip_prefix(scope).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '/', '#']))
}

/// A file without its graph.
fn model(precision: Precision) -> ModelProto {
    let opset = Opset::of(precision);
    ModelProto {
        ir_version: Some(opset.ir_version),
        opset_import: vec![OperatorSetIdProto::new("", opset.version)],
        producer_name: Some("planforge".to_owned()),
        producer_version: Some(FORMAT.to_string()),
        ..ModelProto::default()
    }
}

fn value_info(spec: &TensorSpec) -> ValueInfoProto {
    let dimension = |dim: &Dim| match dim {
        Dim::Fixed(size) => Dimension::fixed(i64::try_from(*size).unwrap_or(i64::MAX)),
        Dim::Dynamic(name) => Dimension::dynamic(name),
    };
    ValueInfoProto::tensor(&spec.name, spec.data_type.into(), spec.dims.iter().map(dimension).collect())
}
