//! A model that has every field of every message goes through each edit, and loses none.

mod complete;

use crate::fields::Fields;
use crate::messages::MODEL_PROTO;
use crate::{Error, GraphProto, ModelProto, TensorProto};
use crate::{emulate_bf16, keep_outputs, parse_editable_model, parse_model, strip_weights};
use complete::complete_model;
use prost::Message;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use std::collections::BTreeSet;

/// A message's name and the number of a field of it.
type FieldId = (&'static str, u32);

/// All fields that a message may have, and those of the messages in it.
fn known(message: &'static Fields, found: &mut BTreeSet<FieldId>) {
    for field in message.fields {
        if found.insert((message.message, field.number)) {
            field.holds.into_iter().for_each(|held| known(held, found));
        }
    }
}

/// The fields that are in an encoding.
fn present(message: &'static Fields, mut bytes: &[u8], found: &mut BTreeSet<FieldId>) {
    while !bytes.is_empty() {
        let (number, wire_type) = decode_key(&mut bytes).unwrap();
        found.insert((message.message, number));
        let field = message.fields.iter().find(|field| field.number == number).unwrap();
        match field.holds {
            Some(held) if wire_type == WireType::LengthDelimited => {
                let length = usize::try_from(decode_varint(&mut bytes).unwrap()).unwrap();
                present(held, &bytes[..length], found);
                bytes = &bytes[length..];
            }
            _ => skip_field(wire_type, number, &mut bytes, DecodeContext::default()).unwrap(),
        }
    }
}

/// Without what the edits are there to change.
fn besides_nodes_and_weights(model: &ModelProto) -> ModelProto {
    let graph = model.graph().unwrap().clone();
    let graph = GraphProto { node: Vec::new(), initializer: Vec::new(), ..graph };
    ModelProto { graph: Some(graph), ..model.clone() }
}

#[test]
fn the_complete_model_has_every_field_of_every_message() {
    let (mut expected, mut found) = (BTreeSet::new(), BTreeSet::new());
    known(&MODEL_PROTO, &mut expected);
    present(&MODEL_PROTO, &complete_model().encode_to_vec(), &mut found);
    assert_eq!(expected.difference(&found).collect::<Vec<_>>(), [] as [&FieldId; 0]);
}

#[test]
fn decoding_and_encoding_keeps_every_field() {
    let model = complete_model();
    let bytes = model.encode_to_vec();
    let decoded = parse_editable_model(&bytes).unwrap();
    assert_eq!(decoded, model);
    assert_eq!(decoded.encode_to_vec(), bytes);
}

#[test]
fn fields_that_are_set_to_their_default_stay_set() {
    let model = ModelProto {
        model_version: Some(0),
        doc_string: Some(String::new()),
        graph: Some(GraphProto::default()),
        ..ModelProto::default()
    };
    let decoded = parse_editable_model(&model.encode_to_vec()).unwrap();
    assert_eq!((decoded.model_version, decoded.doc_string, decoded.domain), (Some(0), Some(String::new()), None));
}

#[test]
fn numbers_that_another_tool_did_not_pack_are_read() {
    // `dims` of a tensor, twice: field 1 as numbers of their own.
    let tensor = TensorProto::decode([0x08, 3, 0x08, 4].as_slice()).unwrap();
    assert_eq!(tensor.dims, [3, 4]);
}

#[test]
fn keeping_all_outputs_changes_nothing() {
    let model = complete_model();
    let outputs: Vec<String> = model.graph().unwrap().output.iter().map(|output| output.name().to_owned()).collect();
    let kept = parse_editable_model(&keep_outputs(&model.encode_to_vec(), &outputs).unwrap()).unwrap();
    assert_eq!(kept, model);
}

#[test]
fn leaving_out_weights_changes_only_one_product_and_places() {
    let model = complete_model();
    let stripped = strip_weights(&model.encode_to_vec()).unwrap();
    let transposed = stripped.transposed.unwrap();
    assert_eq!((transposed.name.as_str(), transposed.rows), ("matrix", 3));
    let bytes = parse_editable_model(&stripped.bytes).unwrap();
    assert_eq!(besides_nodes_and_weights(&bytes), besides_nodes_and_weights(&model));
    let (before, after) = (model.graph().unwrap(), bytes.graph().unwrap());
    let turned = |weight: &TensorProto| {
        let mut weight = weight.clone();
        if weight.name() == "matrix" {
            weight.dims.reverse();
        }
        weight
    };
    assert_eq!(after.initializer, before.initializer.iter().map(turned).collect::<Vec<_>>());
    let kept = before.node.iter().filter(|node| node.op_type() != "Transpose").cloned().map(|mut node| {
        if node.op_type() == "MatMul" {
            node.input[1] = "matrix".to_owned();
        }
        node
    });
    assert_eq!(after.node, kept.collect::<Vec<_>>());
}

#[test]
fn emulating_bf16_changes_only_nodes_and_refuses_nested_operators() {
    let complete = complete_model();
    assert!(matches!(emulate_bf16(&complete.encode_to_vec()), Err(Error::NestedOperators)));
    let mut model = complete;
    model.functions.clear();
    model.graph_mut().unwrap().node.iter_mut().flat_map(|node| &mut node.attribute).for_each(|attribute| {
        attribute.g = None;
        attribute.graphs.clear();
    });
    let emulated = parse_editable_model(&emulate_bf16(&model.encode_to_vec()).unwrap()).unwrap();
    assert_eq!(besides_nodes_and_weights(&emulated), besides_nodes_and_weights(&model));
    assert_eq!(emulated.graph().unwrap().initializer, model.graph().unwrap().initializer);
}

#[test]
fn fields_of_a_later_version_are_read_over_and_never_lost() {
    // Field 1000 with the number 1, in the model and in its graph.
    let unknown = [0xc0, 0x3e, 1];
    let model = ModelProto { graph: Some(GraphProto::default()), ..ModelProto::default() };
    let at_the_top = [model.encode_to_vec(), unknown.to_vec()].concat();
    let in_the_graph = [[0x3a, 3].as_slice(), &unknown].concat();
    for (bytes, expected) in [(at_the_top, "onnx.ModelProto"), (in_the_graph, "onnx.GraphProto")] {
        assert_eq!(parse_model(&bytes).unwrap(), model);
        let edits = [
            parse_editable_model(&bytes).map(drop),
            keep_outputs(&bytes, &[]).map(drop),
            strip_weights(&bytes).map(drop),
            emulate_bf16(&bytes).map(drop),
        ];
        for edit in edits {
            let error = edit.unwrap_err();
            assert!(matches!(error, Error::UnknownField { message, number: 1000 } if message == expected), "{error}");
            assert!(error.hint().is_some());
        }
    }
}

#[test]
fn bytes_that_are_not_a_model_are_an_error() {
    for bytes in [b"text".as_slice(), &[0x3a, 200], &[0x3a]] {
        assert!(matches!(parse_editable_model(bytes), Err(Error::Decode(_))), "{bytes:?}");
    }
}
