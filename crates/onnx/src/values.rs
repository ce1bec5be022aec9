//! Constructors and accessors besides those that the messages have themselves.
//!
//! The constructors leave out what has its default value, as `onnx.proto3` has it.

use crate::attribute_proto::AttributeType;
use crate::tensor_proto::DataLocation;
use crate::tensor_shape_proto::Dimension;
use crate::tensor_shape_proto::dimension::Value as DimensionValue;
use crate::type_proto::{Tensor, Value as TypeValue};
use crate::{
    AttributeProto, ElementType, Error, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, Result,
    StringStringEntryProto, TensorProto, TensorShapeProto, TypeProto, ValueInfoProto,
};

fn present<T: Default + PartialEq>(value: T) -> Option<T> {
    (value != T::default()).then_some(value)
}

impl ModelProto {
    /// Its graph.
    ///
    /// # Errors
    /// [`Error::NoGraph`].
    pub fn graph(&self) -> Result<&GraphProto> {
        self.graph.as_ref().ok_or(Error::NoGraph)
    }

    /// Its graph alone.
    ///
    /// # Errors
    /// [`Error::NoGraph`].
    pub fn into_graph(self) -> Result<GraphProto> {
        self.graph.ok_or(Error::NoGraph)
    }

    /// Its graph, to be changed.
    ///
    /// # Errors
    /// [`Error::NoGraph`].
    pub fn graph_mut(&mut self) -> Result<&mut GraphProto> {
        self.graph.as_mut().ok_or(Error::NoGraph)
    }
}

impl OperatorSetIdProto {
    /// A version of an operator set; the standard one has an empty domain.
    #[must_use]
    pub fn new(domain: &str, version: i64) -> Self {
        Self { domain: present(domain.to_owned()), version: present(version) }
    }
}

impl NodeProto {
    /// A node of the standard operator set that is named after its first output.
    #[must_use]
    pub fn new(op_type: &str, input: Vec<String>, output: Vec<String>, attribute: Vec<AttributeProto>) -> Self {
        let (name, op_type) = (output.first().cloned(), present(op_type.to_owned()));
        Self { input, output, name, op_type, attribute, ..Self::default() }
    }

    /// The attribute of this name.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&AttributeProto> {
        self.attribute.iter().find(|attribute| attribute.name() == name)
    }
}

impl AttributeProto {
    fn new(name: &str, kind: AttributeType) -> Self {
        Self { name: present(name.to_owned()), r#type: Some(kind.into()), ..Self::default() }
    }

    /// An integer (`INT`).
    #[must_use]
    pub fn int(name: &str, i: i64) -> Self {
        Self { i: present(i), ..Self::new(name, AttributeType::Int) }
    }

    /// A float (`FLOAT`).
    #[must_use]
    pub fn float(name: &str, f: f32) -> Self {
        Self { f: present(f), ..Self::new(name, AttributeType::Float) }
    }

    /// A string (`STRING`).
    #[must_use]
    pub fn string(name: &str, text: &str) -> Self {
        Self { s: present(text.as_bytes().to_vec()), ..Self::new(name, AttributeType::String) }
    }

    /// A list of integers (`INTS`).
    #[must_use]
    pub fn ints(name: &str, ints: &[i64]) -> Self {
        Self { ints: ints.to_vec(), ..Self::new(name, AttributeType::Ints) }
    }
}

impl TensorProto {
    /// A tensor without data.
    #[must_use]
    pub fn new(name: &str, element_type: ElementType, dims: Vec<i64>) -> Self {
        let (name, data_type) = (present(name.to_owned()), present(element_type.into()));
        Self { dims, data_type, name, ..Self::default() }
    }

    /// The tensor with these elements, in little-endian order.
    #[must_use]
    pub fn with_raw_data(self, raw_data: Vec<u8>) -> Self {
        Self { raw_data: present(raw_data), ..self }
    }

    /// The tensor with its elements in another file.
    #[must_use]
    pub fn with_external_data(self, location: &str, offset: u64, length: u64) -> Self {
        let external_data = vec![
            StringStringEntryProto::new("location", location),
            StringStringEntryProto::new("offset", &offset.to_string()),
            StringStringEntryProto::new("length", &length.to_string()),
        ];
        Self { external_data, data_location: Some(DataLocation::External.into()), ..self }
    }

    /// Type of its elements.
    #[must_use]
    pub fn element_type(&self) -> ElementType {
        ElementType::from_number(self.data_type())
    }

    /// Whether its elements are in another file.
    #[must_use]
    pub fn is_external(&self) -> bool {
        self.data_location() == DataLocation::External
    }

    /// The entry `key` of `external_data`: `location`, `offset`, `length` and others.
    #[must_use]
    pub fn external(&self, key: &str) -> Option<&str> {
        self.external_data.iter().find(|entry| entry.key() == key).map(StringStringEntryProto::value)
    }

    /// The elements of a tensor of 64-bit integers whose data are in `raw_data`.
    #[must_use]
    pub fn integers(&self) -> Vec<i64> {
        self.raw_data().as_chunks().0.iter().map(|&bytes| i64::from_le_bytes(bytes)).collect()
    }
}

impl StringStringEntryProto {
    /// A key and its value.
    #[must_use]
    pub fn new(key: &str, value: &str) -> Self {
        Self { key: present(key.to_owned()), value: present(value.to_owned()) }
    }
}

impl ValueInfoProto {
    /// A tensor of this name, element type and shape.
    #[must_use]
    pub fn tensor(name: &str, element_type: ElementType, dim: Vec<Dimension>) -> Self {
        let shape = Some(TensorShapeProto { dim });
        let tensor = Tensor { elem_type: present(element_type.into()), shape };
        let kind = TypeProto { value: Some(TypeValue::TensorType(tensor)), ..TypeProto::default() };
        Self { name: present(name.to_owned()), r#type: Some(kind), ..Self::default() }
    }

    /// Element type and shape, if it is a tensor.
    #[must_use]
    pub fn as_tensor(&self) -> Option<&Tensor> {
        match self.r#type.as_ref()?.value.as_ref()? {
            TypeValue::TensorType(tensor) => Some(tensor),
            _ => None,
        }
    }

    /// Type of its elements; undefined if it is not a tensor.
    #[must_use]
    pub fn element_type(&self) -> ElementType {
        self.as_tensor().map_or(ElementType::Undefined, Tensor::element_type)
    }
}

impl Tensor {
    /// Type of its elements.
    #[must_use]
    pub fn element_type(&self) -> ElementType {
        ElementType::from_number(self.elem_type())
    }
}

impl Dimension {
    /// A dimension of this size.
    #[must_use]
    pub fn fixed(size: i64) -> Self {
        Self { value: Some(DimensionValue::DimValue(size)), ..Self::default() }
    }

    /// A dimension whose size is known when the graph runs.
    #[must_use]
    pub fn dynamic(name: &str) -> Self {
        Self { value: Some(DimensionValue::DimParam(name.to_owned())), ..Self::default() }
    }
}
