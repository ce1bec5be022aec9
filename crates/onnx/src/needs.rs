//! Element types of a graph's values, as far as builders for some GPUs care.

use crate::{ElementType, GraphProto, NodeProto};
use std::collections::{BTreeMap, BTreeSet};

/// What a graph asks of a GPU besides its precision.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct GraphNeeds {
    /// Matrix products in binary32 of values that were not quantized, by their output. Convolutions do not count: Turing
    /// has them in binary32.
    pub fp32_products: Vec<String>,
    /// Whether it has values in an 8-bit floating-point type.
    pub fp8: bool,
}

impl GraphNeeds {
    /// What `graph` needs.
    #[must_use]
    pub fn of(graph: &GraphProto) -> Self {
        let mut types = graph.given_types();
        let mut dequantized: BTreeSet<&str> = BTreeSet::new();
        let mut fp32_products = Vec::new();
        for node in &graph.node {
            let result = node.output_type(|name| types.get(name).copied());
            types.extend(node.output.iter().map(|output| (output.clone(), result)));
            if node.op_type() == "DequantizeLinear" {
                dequantized.extend(node.output.iter().map(String::as_str));
            }
            let is_product = ["MatMul", "Gemm"].contains(&node.op_type());
            let is_quantized = node.input.iter().any(|input| dequantized.contains(input.as_str()));
            if is_product && !is_quantized && result == ElementType::Float {
                fp32_products.extend(node.output.first().cloned());
            }
        }
        Self { fp32_products, fp8: types.values().any(|kind| kind.is_fp8()) }
    }
}

impl GraphProto {
    /// Element types of the inputs and weights, by name.
    pub(crate) fn given_types(&self) -> BTreeMap<String, ElementType> {
        let inputs = self.input.iter().map(|input| (input.name().to_owned(), input.element_type()));
        inputs.chain(self.initializer.iter().map(|weight| (weight.name().to_owned(), weight.element_type()))).collect()
    }
}

impl NodeProto {
    /// Type of its outputs: what the node states itself, or that of the input that decides. A wrong guess about an operator
    /// between integers does no harm here.
    pub(crate) fn output_type(&self, type_of: impl Fn(&str) -> Option<ElementType>) -> ElementType {
        let of_input = |index: usize| self.input.get(index).and_then(|input| type_of(input));
        let stated = |name: &str| {
            let number = self.attribute(name).map(|attribute| i32::try_from(attribute.i()).unwrap_or(0));
            number.map(ElementType::from_number)
        };
        let decided = match self.op_type() {
            "Cast" => stated("to"),
            "Constant" => {
                self.attribute("value").and_then(|value| value.t.as_ref()).map(|tensor| tensor.element_type())
            }
            "QuantizeLinear" => stated("output_dtype").or_else(|| of_input(2)),
            // The operators of NVIDIA's quantizer have a prefix.
            "TRT_FP8QuantizeLinear" => Some(ElementType::Float8e4m3fn),
            "DequantizeLinear" | "TRT_FP8DequantizeLinear" | "Where" => of_input(1),
            "Shape" | "Size" | "ArgMax" | "ArgMin" | "NonZero" => Some(ElementType::Int64),
            "Equal" | "Greater" | "GreaterOrEqual" | "Less" | "LessOrEqual" | "IsNaN" | "IsInf" => {
                Some(ElementType::Bool)
            }
            _ => of_input(0),
        };
        decided.unwrap_or(ElementType::Undefined)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AttributeProto, TensorProto};

    fn node(op: &str, inputs: &[&str], output: &str, attribute: Vec<AttributeProto>) -> NodeProto {
        NodeProto::new(op, inputs.iter().map(|&name| name.to_owned()).collect(), vec![output.to_owned()], attribute)
    }

    fn weight(name: &str, element_type: ElementType) -> TensorProto {
        TensorProto::new(name, element_type, Vec::new())
    }

    #[test]
    fn products_of_values_that_were_cast_to_fp32_are_found() {
        let graph = GraphProto {
            initializer: vec![
                weight("w", ElementType::Float16),
                weight("w32", ElementType::Float),
                weight("scale", ElementType::Float),
                weight("w8", ElementType::Float8e4m3fn),
            ],
            node: vec![
                node("MatMul", &["w", "w"], "narrow", Vec::new()),
                node("Cast", &["narrow"], "cast", vec![AttributeProto::int("to", 1)]),
                node("Transpose", &["cast"], "turned", Vec::new()),
                node("MatMul", &["turned", "w32"], "wide", Vec::new()),
                node("Add", &["wide", "w32"], "sum", Vec::new()),
                node("DequantizeLinear", &["w8", "scale"], "again", Vec::new()),
                node("MatMul", &["turned", "again"], "quantized", Vec::new()),
            ],
            ..GraphProto::default()
        };
        assert_eq!(GraphNeeds::of(&graph), GraphNeeds { fp32_products: vec!["wide".to_owned()], fp8: true });
    }

    #[test]
    fn the_type_of_quantized_values_may_be_an_attribute_of_the_node() {
        let quantize = |attribute| GraphProto {
            initializer: vec![weight("x", ElementType::Float), weight("scale", ElementType::Float)],
            node: vec![node("QuantizeLinear", &["x", "scale"], "q", vec![attribute])],
            ..GraphProto::default()
        };
        assert!(GraphNeeds::of(&quantize(AttributeProto::int("output_dtype", 17))).fp8);
        assert!(!GraphNeeds::of(&quantize(AttributeProto::int("output_dtype", 3))).fp8);
    }
}
