//! A graph as engines are built from it that checkpoints share: what of it comes from the checkpoint, and what does not.

use planforge_core::{Digest, WeightPlace, digest_bytes};
use planforge_onnx::{ExternalPlace, Result, StrippedGraph, Transposed, parse_model, strip_weights};
use std::collections::BTreeMap;

/// What an engine without weights is built from.
#[derive(Debug)]
pub(crate) struct SharedGraph {
    /// The file. Its weights are where the checkpoint has them.
    pub(crate) bytes: Vec<u8>,
    /// Of the file without the places of its weights: the same for all checkpoints of an architecture.
    pub(crate) digest: Digest,
    /// Names of the weights that are in other files, in order.
    pub(crate) weights: Vec<String>,
    /// The weight, if there is one, that the graph has in the other order than the checkpoint.
    pub(crate) transposed: Option<Transposed>,
}

impl SharedGraph {
    /// The graph of the ONNX file `bytes` without the values of its weights.
    ///
    /// # Errors
    /// Those of [`strip_weights`].
    pub(crate) fn new(bytes: &[u8]) -> Result<Self> {
        let StrippedGraph { bytes, without_places, weights, transposed } = strip_weights(bytes)?;
        Ok(Self { bytes, digest: digest_bytes(&without_places), weights, transposed })
    }
}

/// The places of the weights of the ONNX file `bytes` that are not in it, as far as they have a length.
///
/// # Errors
/// A file that is not an ONNX graph, and a weight without a place.
pub(crate) fn weight_places(bytes: &[u8]) -> Result<BTreeMap<String, WeightPlace>> {
    let graph = parse_model(bytes)?.into_graph()?;
    let external = graph.initializer.iter().filter(|weight| weight.is_external());
    let mut places = BTreeMap::new();
    for weight in external {
        let ExternalPlace { location, offset, length } = ExternalPlace::of(weight)?;
        if let Some(byte_count) = length {
            places.insert(weight.name().to_owned(), WeightPlace { file: location, offset, byte_count });
        }
    }
    Ok(places)
}
