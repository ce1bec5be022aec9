//! Writing a graph and its weights as one ONNX file, in pieces of fixed size.
//!
//! Fields of a protobuf message may come in any order, so the weights follow the rest of the graph; only the length
//! of the graph has to be known before it (protobuf, "Encoding").

use crate::checkpoint::Checkpoint;
use crate::convert::convert_tensor;
use crate::onnx::{EncodedModel, WeightUse};
use crate::reporter::Reporter;
use crate::{Error, Result};
use planforge_core::MAX_GRAPH_BYTE_COUNT;
use std::io::{BufWriter, Write};
use std::path::Path;

/// Fields of `ModelProto.graph`, `GraphProto.initializer` and `TensorProto.raw_data` that are length-delimited.
const GRAPH_TAG: u8 = field(7);
const INITIALIZER_TAG: u8 = field(5);
const RAW_DATA_TAG: u8 = field(9);

const fn field(number: u8) -> u8 {
    number << 3 | 2
}

/// Writes `model` with `weights`, each converted to its own type, to `path`.
///
/// # Errors
/// [`Error::TooLarge`], I/O errors, a value outside the range of binary16, or cancellation.
pub(crate) fn write_self_contained(
    checkpoint: &Checkpoint,
    weights: &[&WeightUse],
    model: &EncodedModel,
    path: &Path,
    reporter: Reporter<'_>,
) -> Result<()> {
    let headers: Vec<_> = weights.iter().map(|weight| weight.header()).collect();
    let tensor_length = |header: &[u8], data: u64| header.len() as u64 + 1 + varint(data).len() as u64 + data;
    let tensors: Vec<u64> =
        headers.iter().zip(weights).map(|(header, weight)| tensor_length(header, weight.byte_count())).collect();
    let graph_length =
        model.graph.len() as u64 + tensors.iter().map(|length| 1 + varint(*length).len() as u64 + length).sum::<u64>();
    if graph_length + model.rest.len() as u64 > MAX_GRAPH_BYTE_COUNT {
        return Err(Error::TooLarge { byte_count: graph_length });
    }
    let mut output = BufWriter::with_capacity(1 << 20, fs_err::File::create(path)?);
    output.write_all(&model.rest)?;
    output.write_all(&[GRAPH_TAG])?;
    output.write_all(&varint(graph_length))?;
    output.write_all(&model.graph)?;
    let mut done = 0;
    for ((weight, header), length) in weights.iter().zip(&headers).zip(tensors) {
        output.write_all(&[INITIALIZER_TAG])?;
        output.write_all(&varint(length))?;
        output.write_all(header)?;
        output.write_all(&[RAW_DATA_TAG])?;
        output.write_all(&varint(weight.byte_count()))?;
        convert_tensor(checkpoint, weight, &mut output, reporter.progress)?;
        done += weight.source.tensor.byte_count;
        reporter.advanced(done);
    }
    output.flush()?;
    Ok(())
}

/// A number in protobuf's variable length: seven bits a byte, the lowest first.
fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_the_specification_shows() {
        assert_eq!(varint(0), [0]);
        assert_eq!(varint(150), [0x96, 0x01]);
        assert_eq!(varint(u64::from(u32::MAX)), [0xff, 0xff, 0xff, 0xff, 0x0f]);
    }
}
