//! Elements of tensors that are in other files than their graph (ONNX, "ExternalData").
//!
//! A graph with its weights in its own file may be large. To learn the names of other files, only the few fields that lead
//! to them are decoded; the rest is skipped and not copied.

use crate::tensor_proto::DataLocation;
use crate::{Error, Result, StringStringEntryProto, TensorProto};
use prost::Message;
use std::collections::BTreeMap;

/// Where a tensor's elements are outside of the graph's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalPlace {
    /// Path of a file, relative to the folder of the graph and within it, parts separated by `/`.
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
        Self::read(weight.name(), &weight.external_data)
    }

    fn read(weight: &str, entries: &[StringStringEntryProto]) -> Result<Self> {
        let entry = |key: &str| entries.iter().find(|entry| entry.key() == key).map(StringStringEntryProto::value);
        let weight = || weight.to_owned();
        let number = |key: &'static str| {
            let parsed = entry(key).map(|text| text.parse().map_err(|_| text.to_owned())).transpose();
            parsed.map_err(|value| Error::ExternalNumber { weight: weight(), key, value })
        };
        let offset = number("offset")?.unwrap_or(0);
        let length = number("length")?;
        let location = entry("location").ok_or_else(|| Error::NoLocation { weight: weight() })?;
        let inside = path_inside(location);
        let location =
            inside.ok_or_else(|| Error::ForeignLocation { weight: weight(), location: location.to_owned() })?;
        Ok(Self { location, offset, length })
    }
}

/// A relative path without `.`; none for one that leaves its folder.
fn path_inside(location: &str) -> Option<String> {
    let parts: Vec<&str> = location.split('/').filter(|part| *part != ".").collect();
    let is_good = |part: &&str| !part.is_empty() && *part != ".." && !part.contains(['\\', '\0']);
    (!parts.is_empty() && parts.iter().all(is_good)).then(|| parts.join("/"))
}

/// Files that tensors of the model in an ONNX file are in, and how many bytes each must at least have. Tensors are looked for
/// among the weights, in attributes of nodes, and in the graphs within the graph.
///
/// # Errors
/// [`Error::Decode`], and those of [`ExternalPlace::of`].
pub fn external_files(bytes: &[u8]) -> Result<BTreeMap<String, u64>> {
    let model = Model::decode(bytes)?;
    let mut files = BTreeMap::new();
    model.graph.iter().try_for_each(|graph| graph.visit(&mut |tensor| tensor.add_to(&mut files)))?;
    let mut nodes = model.functions.iter().flat_map(|function| &function.node);
    nodes.try_for_each(|node| node.visit(&mut |tensor| tensor.add_to(&mut files)))?;
    Ok(files)
}

#[derive(Clone, PartialEq, Message)]
struct Model {
    #[prost(message, optional, tag = "7")]
    graph: Option<Graph>,
    #[prost(message, repeated, tag = "25")]
    functions: Vec<Function>,
}

#[derive(Clone, PartialEq, Message)]
struct Function {
    #[prost(message, repeated, tag = "7")]
    node: Vec<Node>,
}

#[derive(Clone, PartialEq, Message)]
struct Graph {
    #[prost(message, repeated, tag = "1")]
    node: Vec<Node>,
    #[prost(message, repeated, tag = "5")]
    initializer: Vec<Tensor>,
    #[prost(message, repeated, tag = "15")]
    sparse_initializer: Vec<SparseTensor>,
}

#[derive(Clone, PartialEq, Message)]
struct Node {
    #[prost(message, repeated, tag = "5")]
    attribute: Vec<Attribute>,
}

#[derive(Clone, PartialEq, Message)]
struct Attribute {
    #[prost(message, optional, tag = "5")]
    t: Option<Tensor>,
    #[prost(message, optional, tag = "6")]
    g: Option<Graph>,
    #[prost(message, repeated, tag = "10")]
    tensors: Vec<Tensor>,
    #[prost(message, repeated, tag = "11")]
    graphs: Vec<Graph>,
    #[prost(message, optional, tag = "22")]
    sparse_tensor: Option<SparseTensor>,
    #[prost(message, repeated, tag = "23")]
    sparse_tensors: Vec<SparseTensor>,
}

#[derive(Clone, PartialEq, Message)]
struct SparseTensor {
    #[prost(message, optional, tag = "1")]
    values: Option<Tensor>,
    #[prost(message, optional, tag = "2")]
    indices: Option<Tensor>,
}

#[derive(Clone, PartialEq, Message)]
struct Tensor {
    #[prost(string, optional, tag = "8")]
    name: Option<String>,
    #[prost(message, repeated, tag = "13")]
    external_data: Vec<StringStringEntryProto>,
    #[prost(enumeration = "DataLocation", optional, tag = "14")]
    data_location: Option<i32>,
}

type Visit<'a> = dyn FnMut(&Tensor) -> Result<()> + 'a;

impl Graph {
    fn visit(&self, visit: &mut Visit<'_>) -> Result<()> {
        self.initializer.iter().try_for_each(&mut *visit)?;
        self.sparse_initializer.iter().flat_map(SparseTensor::parts).try_for_each(&mut *visit)?;
        self.node.iter().try_for_each(|node| node.visit(visit))
    }
}

impl Node {
    fn visit(&self, visit: &mut Visit<'_>) -> Result<()> {
        for attribute in &self.attribute {
            attribute.t.iter().chain(&attribute.tensors).try_for_each(&mut *visit)?;
            let sparse = attribute.sparse_tensor.iter().chain(&attribute.sparse_tensors);
            sparse.flat_map(SparseTensor::parts).try_for_each(&mut *visit)?;
            attribute.g.iter().chain(&attribute.graphs).try_for_each(|graph| graph.visit(visit))?;
        }
        Ok(())
    }
}

impl SparseTensor {
    fn parts(&self) -> impl Iterator<Item = &Tensor> {
        self.values.iter().chain(&self.indices)
    }
}

impl Tensor {
    /// Notes its file, where its elements are in one.
    fn add_to(&self, files: &mut BTreeMap<String, u64>) -> Result<()> {
        if self.data_location() != DataLocation::External {
            return Ok(());
        }
        let place = ExternalPlace::read(self.name(), &self.external_data)?;
        let end = place.offset.saturating_add(place.length.unwrap_or(0));
        let length = files.entry(place.location).or_insert(0);
        *length = end.max(*length);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AttributeProto, ElementType, GraphProto, ModelProto, NodeProto, SparseTensorProto};

    fn in_file(location: &str, offset: u64) -> TensorProto {
        TensorProto::new(location, ElementType::Float, vec![2]).with_external_data(location, offset, 8)
    }

    fn files_of(graph: GraphProto) -> Result<BTreeMap<String, u64>> {
        external_files(&ModelProto { graph: Some(graph), ..ModelProto::default() }.encode_to_vec())
    }

    #[test]
    fn files_are_found_wherever_a_graph_has_tensors() {
        let constant = AttributeProto { t: Some(in_file("constant", 0)), ..AttributeProto::default() };
        let body = GraphProto { initializer: vec![in_file("deep/in/body", 4)], ..GraphProto::default() };
        let branch = AttributeProto { g: Some(body), ..AttributeProto::default() };
        let sparse = SparseTensorProto { values: Some(in_file("sparse", 0)), ..SparseTensorProto::default() };
        let found = files_of(GraphProto {
            initializer: vec![in_file("./w", 0), in_file("w", 64), in_file("w", 16)],
            sparse_initializer: vec![sparse],
            node: vec![NodeProto { attribute: vec![constant, branch], ..NodeProto::default() }],
            ..GraphProto::default()
        });
        let expected = [("constant", 8), ("deep/in/body", 12), ("sparse", 8), ("w", 72)];
        assert_eq!(found.unwrap(), expected.map(|(file, length)| (file.to_owned(), length)).into());
    }

    #[test]
    fn files_outside_of_the_folder_are_refused() {
        for location in ["", "/etc/passwd", "../w", "a/../../w", "a//w", "a/", ".", "a\\..\\w", "w\0"] {
            let found = files_of(GraphProto { initializer: vec![in_file(location, 0)], ..GraphProto::default() });
            assert!(
                matches!(found, Err(Error::ForeignLocation { .. } | Error::NoLocation { .. })),
                "{location}: {found:?}"
            );
        }
    }
}
