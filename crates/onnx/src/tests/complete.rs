//! A model with every field of every message.

use crate::attribute_proto::AttributeType;
use crate::tensor_proto::Segment;
use crate::tensor_shape_proto::Dimension;
use crate::type_proto::{Map, Opaque, Optional, Sequence, SparseTensor, Value as TypeValue};
use crate::{
    AttributeProto, DeviceConfigurationProto, ElementType, FunctionProto, GraphProto, IntIntListEntryProto, ModelProto,
    NodeDeviceConfigurationProto, NodeProto, OperatorSetIdProto, ShardedDimProto, ShardingSpecProto,
    SimpleShardedDimProto, SparseTensorProto, StringStringEntryProto, TensorAnnotation, TensorProto, TensorShapeProto,
    TrainingInfoProto, TypeProto, ValueInfoProto, simple_sharded_dim_proto,
};

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn entries(key: &str, value: &str) -> Vec<StringStringEntryProto> {
    vec![StringStringEntryProto::new(key, value)]
}

/// The product `y` of input `x` and a matrix in another file that one node transposes, `z` from a node with every
/// attribute, and all that describes them.
pub(super) fn complete_model() -> ModelProto {
    ModelProto {
        ir_version: Some(13),
        opset_import: vec![OperatorSetIdProto::new("", 26), OperatorSetIdProto::new("custom", 1)],
        producer_name: text("a tool"),
        producer_version: text("1.0"),
        domain: text("org.example"),
        model_version: Some(7),
        doc_string: text("a model"),
        graph: Some(graph()),
        metadata_props: entries("license", "none"),
        training_info: vec![TrainingInfoProto {
            initialization: Some(small_graph("initial")),
            algorithm: Some(small_graph("step")),
            initialization_binding: entries("matrix", "initial"),
            update_binding: entries("matrix", "step"),
        }],
        functions: vec![function()],
        configuration: vec![DeviceConfigurationProto {
            name: text("two"),
            num_devices: Some(2),
            device: vec!["first".to_owned(), "second".to_owned()],
        }],
    }
}

fn graph() -> GraphProto {
    let matrix = TensorProto::new("matrix", ElementType::Bfloat16, vec![3, 4]);
    let matrix = matrix.with_external_data("weights.bin", 0, 24);
    let perm = vec![AttributeProto::ints("perm", &[1, 0])];
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    GraphProto {
        node: vec![
            NodeProto::new("Transpose", names(&["matrix"]), names(&["turned"]), perm),
            NodeProto::new("MatMul", names(&["x", "turned"]), names(&["y"]), Vec::new()),
            node_with_all(),
        ],
        name: text("graph"),
        initializer: vec![matrix, tensor("numbers"), tensor("scale")],
        sparse_initializer: vec![sparse("sparse")],
        doc_string: text("a graph"),
        input: vec![value("x", ElementType::Float)],
        output: vec![value("y", ElementType::Float), value("z", ElementType::Float), value_of_other_types()],
        value_info: vec![value("numbers", ElementType::Float)],
        quantization_annotation: vec![TensorAnnotation {
            tensor_name: text("y"),
            quant_parameter_tensor_names: entries("SCALE_TENSOR", "scale"),
        }],
        metadata_props: entries("graph", "yes"),
    }
}

fn node_with_all() -> NodeProto {
    NodeProto {
        input: vec!["x".to_owned(), "numbers".to_owned(), "sparse".to_owned()],
        output: vec!["z".to_owned(), "other".to_owned()],
        name: text("node"),
        op_type: text("Custom"),
        domain: text("custom"),
        overload: text("float"),
        attribute: vec![attribute()],
        doc_string: text("a node"),
        metadata_props: entries("node", "yes"),
        device_configurations: vec![NodeDeviceConfigurationProto {
            configuration_id: text("two"),
            sharding_spec: vec![ShardingSpecProto {
                tensor_name: text("x"),
                device: vec![0, -1],
                index_to_device_group_map: vec![IntIntListEntryProto { key: Some(-1), value: vec![0, 1] }],
                sharded_dim: vec![ShardedDimProto { axis: Some(0), simple_sharding: sharding() }],
            }],
            pipeline_stage: Some(1),
        }],
    }
}

fn sharding() -> Vec<SimpleShardedDimProto> {
    let dims = [simple_sharded_dim_proto::Dim::DimValue(4), simple_sharded_dim_proto::Dim::DimParam("n".to_owned())];
    dims.map(|dim| SimpleShardedDimProto { num_shards: Some(2), dim: Some(dim) }).to_vec()
}

fn attribute() -> AttributeProto {
    AttributeProto {
        name: text("all"),
        ref_attr_name: text("outer"),
        doc_string: text("an attribute"),
        r#type: Some(AttributeType::Float.into()),
        f: Some(1.5),
        i: Some(0),
        s: Some(b"bytes".to_vec()),
        t: Some(tensor("t")),
        g: Some(small_graph("branch")),
        sparse_tensor: Some(sparse("s")),
        tp: Some(TypeProto::default()),
        floats: vec![0.5, -0.0],
        ints: vec![1, -1],
        strings: vec![b"one".to_vec()],
        tensors: vec![tensor("u")],
        graphs: vec![small_graph("body")],
        sparse_tensors: vec![sparse("v")],
        type_protos: vec![TypeProto::default()],
    }
}

/// A tensor with data in every list, which no valid one has.
fn tensor(name: &str) -> TensorProto {
    TensorProto {
        dims: vec![1],
        data_type: Some(ElementType::Float.into()),
        segment: Some(Segment { begin: Some(0), end: Some(1) }),
        float_data: vec![1.0],
        int32_data: vec![-2],
        string_data: vec![b"three".to_vec()],
        int64_data: vec![4],
        name: text(name),
        doc_string: text("a tensor"),
        raw_data: Some(vec![0, 0, 128, 63]),
        external_data: entries("checksum", "none"),
        data_location: Some(0),
        double_data: vec![5.0],
        uint64_data: vec![6],
        metadata_props: entries("tensor", "yes"),
    }
}

fn sparse(name: &str) -> SparseTensorProto {
    SparseTensorProto { values: Some(tensor(name)), indices: Some(tensor("indices")), dims: vec![8] }
}

fn small_graph(output: &str) -> GraphProto {
    let node = NodeProto::new("Identity", vec!["x".to_owned()], vec![output.to_owned()], Vec::new());
    GraphProto { node: vec![node], output: vec![value(output, ElementType::Float)], ..GraphProto::default() }
}

fn value(name: &str, element_type: ElementType) -> ValueInfoProto {
    let batch = Dimension { denotation: text("DATA_BATCH"), ..Dimension::dynamic("batch") };
    let tensor = ValueInfoProto::tensor(name, element_type, vec![batch, Dimension::fixed(3)]);
    ValueInfoProto { doc_string: text("a value"), metadata_props: entries("value", "yes"), ..tensor }
}

/// An optional of a sequence of maps to sparse tensors.
fn value_of_other_types() -> ValueInfoProto {
    let typed = |value| TypeProto { denotation: text("IMAGE"), value: Some(value) };
    let shape = Some(TensorShapeProto { dim: vec![Dimension::fixed(2)] });
    let sparse = TypeValue::SparseTensorType(SparseTensor { elem_type: Some(1), shape });
    let map = Map { key_type: Some(7), value_type: Some(Box::new(typed(sparse))) };
    let sequence = Sequence { elem_type: Some(Box::new(typed(TypeValue::MapType(Box::new(map))))) };
    let optional = Optional { elem_type: Some(Box::new(typed(TypeValue::SequenceType(Box::new(sequence))))) };
    ValueInfoProto {
        name: text("other"),
        r#type: Some(typed(TypeValue::OptionalType(Box::new(optional)))),
        ..ValueInfoProto::default()
    }
}

fn function() -> FunctionProto {
    let opaque = TypeValue::OpaqueType(Opaque { domain: text("custom"), name: text("handle") });
    let handle = TypeProto { denotation: None, value: Some(opaque) };
    FunctionProto {
        name: text("Custom"),
        input: vec!["a".to_owned()],
        output: vec!["b".to_owned()],
        attribute: vec!["alpha".to_owned()],
        attribute_proto: vec![AttributeProto::float("beta", 0.5)],
        node: vec![NodeProto::new("Identity", vec!["a".to_owned()], vec!["b".to_owned()], Vec::new())],
        doc_string: text("a function"),
        opset_import: vec![OperatorSetIdProto::new("", 26)],
        domain: text("custom"),
        overload: text("float"),
        value_info: vec![ValueInfoProto { name: text("a"), r#type: Some(handle), ..ValueInfoProto::default() }],
        metadata_props: entries("function", "yes"),
    }
}
