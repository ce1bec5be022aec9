//! Element types of a parsed network.
//!
//! Networks of TensorRT-RTX are strongly typed: the builder computes each layer in the types the network gives it, so
//! these are the types of the engine.

use crate::Result;
use std::collections::BTreeMap;
use trtx::NetworkDefinition;
use trtx::trtx_sys::{DataType, LayerType};

/// What a network computes in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetworkTypes {
    /// How many layers give values of each type, by KServe name; constants do not count.
    pub layer_counts: BTreeMap<String, u32>,
    /// The layers that multiply: convolutions and products of matrices.
    pub products: Vec<Product>,
}

/// A layer that multiplies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    /// Name of its output in the graph.
    pub output: String,
    /// Names of its inputs.
    pub inputs: Vec<String>,
    /// KServe name of the type that it multiplies in.
    pub data_type: String,
}

/// Reads the types of all layers.
pub(crate) fn network_types(network: &NetworkDefinition<'_>) -> Result<NetworkTypes> {
    let mut types = NetworkTypes::default();
    for index in 0..network.nb_layers() {
        let layer = network.layer(index)?;
        let kind = layer.layer_type_dynamic();
        if kind == LayerType::kCONSTANT || layer.num_outputs(network) == 0 {
            continue;
        }
        let output = layer.output(network, 0)?;
        *types.layer_counts.entry(data_type_name(output.data_type(network)).to_owned()).or_default() += 1;
        if is_product(kind) {
            let data_type = data_type_name(layer.input(network, 0)?.data_type(network)).to_owned();
            // A convolution has no input for a kernel or a bias that is a constant, but places for both.
            let inputs = (0..layer.num_inputs(network)).filter_map(|input| layer.input(network, input).ok());
            let inputs = inputs.map(|input| input.name(network)).collect::<trtx::Result<_>>()?;
            types.products.push(Product { output: output.name(network)?, inputs, data_type });
        }
    }
    Ok(types)
}

fn is_product(kind: LayerType) -> bool {
    matches!(
        kind,
        LayerType::kCONVOLUTION | LayerType::kDECONVOLUTION | LayerType::kMATRIX_MULTIPLY | LayerType::kEINSUM
    )
}

/// KServe's name of an element type.
pub(crate) fn data_type_name(data_type: DataType) -> &'static str {
    match data_type {
        DataType::kFLOAT => "FP32",
        DataType::kHALF => "FP16",
        DataType::kINT8 => "INT8",
        DataType::kINT32 => "INT32",
        DataType::kINT64 => "INT64",
        DataType::kBOOL => "BOOL",
        DataType::kUINT8 => "UINT8",
        DataType::kBF16 => "BF16",
        _ => "OTHER",
    }
}
