//! From the vectors of a text's tokens to one, in binary32.

use super::graph::{OnnxGraph, Value};
use crate::ops::PoolingMode;
use planforge_core::DataType;
use planforge_onnx::AttributeProto;

impl OnnxGraph<'_> {
    /// One vector for each text of `x` `[batch, sequence, width]`, of the tokens that `mask` keeps.
    pub(super) fn pool(&mut self, mode: PoolingMode, x: &Value, mask: &Value) -> Value {
        let x = self.cast(x, DataType::Fp32);
        let kept = self.cast(mask, DataType::Fp32);
        let weights = match mode {
            PoolingMode::Max => return self.largest(&x, &kept),
            PoolingMode::Mean | PoolingMode::MeanSqrtLength => kept,
            PoolingMode::WeightedMean => self.numbers_of_tokens(mask, &kept),
            PoolingMode::FirstToken | PoolingMode::LastToken => self.one_token(mode, mask, &kept),
        };
        let columns = self.unsqueeze("pooling/mask", &weights, &[2]);
        let kept = self.binary("Mul", "pooling/kept", &x, &columns);
        let sum = self.sum_over_tokens("pooling/sum", &kept, false);
        if matches!(mode, PoolingMode::FirstToken | PoolingMode::LastToken) {
            return sum;
        }
        let count = self.sum_over_tokens("pooling/count", &columns, false);
        let smallest = self.number(1e-9, DataType::Fp32);
        let count = self.binary("Max", "pooling/count/positive", &count, &smallest);
        if mode == PoolingMode::MeanSqrtLength {
            let root = self.node("Sqrt", "pooling/count/root", &[&count], Vec::new(), DataType::Fp32);
            return self.binary("Div", "pooling/sum/scaled", &sum, &root);
        }
        self.binary("Div", "pooling/mean", &sum, &count)
    }

    fn sum_over_tokens(&mut self, hint: &str, x: &Value, keeps_axis: bool) -> Value {
        let axis = self.integers(&[1]);
        let keepdims = vec![AttributeProto::int("keepdims", i64::from(keeps_axis))];
        self.node("ReduceSum", hint, &[x, &axis], keepdims, DataType::Fp32)
    }

    /// 1 for a text's first token, 2 for its second and so on, 0 for padding.
    fn numbers_of_tokens(&mut self, mask: &Value, kept: &Value) -> Value {
        let (mask, axis) = (self.cast(mask, DataType::Int64), self.integer(1));
        let counted = self.node("CumSum", "pooling/counted", &[&mask, &axis], Vec::new(), DataType::Int64);
        let counted = self.cast(&counted, DataType::Fp32);
        self.binary("Mul", "pooling/numbers", &counted, kept)
    }

    /// 1 for a text's first or last token, 0 for the others.
    fn one_token(&mut self, mode: PoolingMode, mask: &Value, kept: &Value) -> Value {
        let numbers = self.numbers_of_tokens(mask, kept);
        let wanted = match mode {
            PoolingMode::LastToken => self.sum_over_tokens("pooling/last", kept, true),
            _ => self.number(1.0, DataType::Fp32),
        };
        let is_wanted = self.node("Equal", "pooling/is_wanted", &[&numbers, &wanted], Vec::new(), DataType::Bool);
        let is_wanted = self.cast(&is_wanted, DataType::Fp32);
        self.binary("Mul", "pooling/wanted", &is_wanted, kept)
    }

    /// The largest numbers of tokens that are kept.
    fn largest(&mut self, x: &Value, kept: &Value) -> Value {
        let (one, lowest) = (self.number(1.0, DataType::Fp32), self.number(f32::MIN, DataType::Fp32));
        let padding = self.binary("Sub", "pooling/padding", &one, kept);
        let lowered = self.binary("Mul", "pooling/lowered", &padding, &lowest);
        let columns = self.unsqueeze("pooling/mask", &lowered, &[2]);
        let masked = self.binary("Add", "pooling/masked", x, &columns);
        let axis = self.integers(&[1]);
        let no_axes_kept = vec![AttributeProto::int("keepdims", 0)];
        self.node("ReduceMax", "pooling/largest", &[&masked, &axis], no_axes_kept, DataType::Fp32)
    }
}
