//! Parts of a graph that planforge's own kernels compute.
//!
//! When a graph is loaded, products with constant weights, attention and layer normalisation in it are replaced by nodes of
//! the domain `planforge`, whose kernels are given to ONNX Runtime with the graph. All else, and every graph of which a part
//! is not understood, is left as it is. What comes out differs by rounding alone.

mod matching;
mod operators;
mod rewrite;
mod spelled;
mod weights;

use ort::operator::OperatorDomain;
use planforge_kernels::{Attention, Instructions, LayerNorm, Linear};
use planforge_onnx::ModelProto;
use prost::Message;
use std::path::Path;
use weights::Weights;

/// Domain of the nodes that stand for the parts.
const DOMAIN: &str = "planforge";

/// A graph with nodes for parts, and the parts.
pub(super) struct Fused {
    /// The ONNX file.
    pub(super) bytes: Vec<u8>,
    /// What computes the nodes.
    pub(super) operators: OperatorDomain,
    /// How many nodes that is.
    pub(super) node_count: usize,
}

/// What nodes stand for, each by its number.
#[derive(Debug, Default)]
struct Parts {
    linears: Vec<Linear>,
    attentions: Vec<Attention>,
    norms: Vec<LayerNorm>,
}

impl Fused {
    /// The graph of the file `graph` with nodes for its parts, which use up to `threads` threads. None where this processor
    /// or this crate has no kernels for any of them.
    pub(super) fn load(graph: &Path, threads: usize) -> Option<Self> {
        let instructions = Instructions::detect()?;
        let bytes = fs_err::read(graph).ok()?;
        let mut model = ModelProto::decode(bytes.as_slice()).ok()?;
        // A message that came back shorter would have lost what this crate does not know.
        if model.encoded_len() != bytes.len() {
            return None;
        }
        drop(bytes);
        let weights = Weights::beside(graph)?;
        let parts = rewrite::rewrite(&mut model, instructions, &weights)?;
        let node_count = parts.linears.len() + parts.attentions.len() + parts.norms.len();
        let operators = operators::operators(parts, threads).ok()?;
        Some(Self { bytes: model.encode_to_vec(), operators, node_count })
    }
}

#[cfg(test)]
mod tests;
