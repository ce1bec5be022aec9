//! Each operation of [`Ops`] as ONNX nodes.
//!
//! In fp16 the matrix products and point-wise functions run in binary16; layer normalisation keeps its
//! statistics in binary32 (`stash_type` 1) and softmax, pooling and normalisation run in binary32.

use super::graph::{OnnxGraph, Value};
use super::proto::Attribute;
use crate::ops::{Activation, AttentionShape, LinearWidths};
use crate::{Ops, Result, Scope};
use planforge_core::{DataType, TensorSpec};

impl OnnxGraph<'_> {
    fn compute_type(&self) -> DataType {
        self.precision.data_type()
    }

    fn binary(&mut self, op: &str, hint: &str, a: &Value, b: &Value) -> Value {
        self.node(op, hint, &[a, b], Vec::new(), a.data_type)
    }

    fn transpose(&mut self, hint: &str, x: &Value, permutation: &[i64]) -> Value {
        self.node("Transpose", hint, &[x], vec![Attribute::ints("perm", permutation)], x.data_type)
    }

    fn reshape(&mut self, hint: &str, x: &Value, shape: &[i64]) -> Value {
        let shape = self.integers(shape);
        self.node("Reshape", hint, &[x, &shape], Vec::new(), x.data_type)
    }

    fn unsqueeze(&mut self, hint: &str, x: &Value, axes: &[i64]) -> Value {
        let axes = self.integers(axes);
        self.node("Unsqueeze", hint, &[x, &axes], Vec::new(), x.data_type)
    }

    /// `[batch, sequence, width]` to `[batch, heads, sequence, head_width]`, or with the last two axes swapped.
    fn split_heads(&mut self, hint: &str, shape: AttentionShape, x: &Value, permutation: &[i64]) -> Value {
        let heads = self.reshape(&format!("{hint}/heads"), x, &[0, 0, shape.heads as i64, shape.head_width as i64]);
        self.transpose(hint, &heads, permutation)
    }
}

impl Ops for OnnxGraph<'_> {
    type Tensor = Value;

    fn input(&mut self, spec: &TensorSpec) -> Value {
        self.add_input(spec)
    }

    fn output(&mut self, spec: &TensorSpec, value: &Value) {
        self.add_output(spec, value);
    }

    fn has(&self, scope: &Scope, name: &str) -> bool {
        self.has_parameter(&scope.tensor(name))
    }

    fn embedding(&mut self, scope: &Scope, table: [usize; 2], ids: &Value) -> Result<Value> {
        let weight = self.weight(scope, "weight", &table)?;
        let axis = vec![Attribute::int("axis", 0)];
        Ok(self.node("Gather", &scope.tensor("rows"), &[&weight, ids], axis, weight.data_type))
    }

    fn leading_rows(&mut self, scope: &Scope, table: [usize; 2], ids: &Value) -> Result<Value> {
        let weight = self.weight(scope, "weight", &table)?;
        let columns = vec![Attribute::int("start", 1), Attribute::int("end", 2)];
        let length = self.node("Shape", &scope.tensor("length"), &[ids], columns, DataType::Int64);
        let (start, axis) = (self.integers(&[0]), self.integers(&[0]));
        Ok(self.node("Slice", &scope.tensor("rows"), &[&weight, &start, &length, &axis], Vec::new(), weight.data_type))
    }

    fn first_row(&mut self, scope: &Scope, table: [usize; 2]) -> Result<Value> {
        let weight = self.weight(scope, "weight", &table)?;
        let first = self.integer(0);
        let axis = vec![Attribute::int("axis", 0)];
        Ok(self.node("Gather", &scope.tensor("row"), &[&weight, &first], axis, weight.data_type))
    }

    fn rows_after_padding(&mut self, scope: &Scope, table: [usize; 2], ids: &Value, padding: usize) -> Result<Value> {
        let weight = self.weight(scope, "weight", &table)?;
        let hint = |part: &str| scope.tensor(part);
        let (padding, axis) = (self.integer(padding as i64), self.integer(1));
        let is_padding = self.node("Equal", &hint("padding"), &[ids, &padding], Vec::new(), DataType::Bool);
        let is_token = self.node("Not", &hint("tokens"), &[&is_padding], Vec::new(), DataType::Bool);
        let kept = self.cast(&is_token, DataType::Int64);
        let counted = self.node("CumSum", &hint("counted"), &[&kept, &axis], Vec::new(), DataType::Int64);
        let counted = self.binary("Mul", &hint("counted/kept"), &counted, &kept);
        let positions = self.binary("Add", &hint("positions"), &counted, &padding);
        let axis = vec![Attribute::int("axis", 0)];
        Ok(self.node("Gather", &hint("rows"), &[&weight, &positions], axis, weight.data_type))
    }

    fn linear(&mut self, scope: &Scope, widths: LinearWidths, x: &Value) -> Result<Value> {
        let weight = self.weight(scope, "weight", &[widths.output, widths.input])?;
        let bias = self.weight(scope, "bias", &[widths.output])?;
        let transposed = self.transpose(&scope.tensor("weight/transposed"), &weight, &[1, 0]);
        let product = self.binary("MatMul", &scope.tensor("product"), x, &transposed);
        Ok(self.binary("Add", &scope.tensor("sum"), &product, &bias))
    }

    fn layer_norm(&mut self, scope: &Scope, width: usize, epsilon: f32, x: &Value) -> Result<Value> {
        let weight = self.weight(scope, "weight", &[width])?;
        let bias = self.weight(scope, "bias", &[width])?;
        let attributes =
            vec![Attribute::int("axis", -1), Attribute::float("epsilon", epsilon), Attribute::int("stash_type", 1)];
        Ok(self.node("LayerNormalization", &scope.tensor("normalized"), &[x, &weight, &bias], attributes, x.data_type))
    }

    fn activation(&mut self, kind: Activation, x: &Value) -> Value {
        let (op, attributes) = match kind {
            Activation::Gelu => ("Gelu", vec![Attribute::string("approximate", "none")]),
            Activation::GeluTanh => ("Gelu", vec![Attribute::string("approximate", "tanh")]),
            Activation::Relu => ("Relu", Vec::new()),
            Activation::Tanh => ("Tanh", Vec::new()),
        };
        self.node(op, &format!("{}/{}", x.name, op.to_lowercase()), &[x], attributes, x.data_type)
    }

    fn add(&mut self, a: &Value, b: &Value) -> Value {
        self.binary("Add", &format!("{}/plus", a.name), a, b)
    }

    fn attention(&mut self, scope: &Scope, shape: AttentionShape, qkv: [&Value; 3], mask: &Value) -> Value {
        let [query, key, value] = qkv;
        let compute = self.compute_type();
        // Queries are scaled before the product: in fp16 the unscaled scores could overflow.
        let scale = self.number((shape.head_width as f32).sqrt().recip(), compute);
        let query = self.split_heads(&scope.tensor("query/split"), shape, query, &[0, 2, 1, 3]);
        let query = self.binary("Mul", &scope.tensor("query/scaled"), &query, &scale);
        let key = self.split_heads(&scope.tensor("key/split"), shape, key, &[0, 2, 3, 1]);
        let value = self.split_heads(&scope.tensor("value/split"), shape, value, &[0, 2, 1, 3]);
        let scores = self.binary("MatMul", &scope.tensor("scores"), &query, &key);
        let scores = self.cast(&scores, DataType::Fp32);
        let masked = self.binary("Add", &scope.tensor("scores/masked"), &scores, mask);
        let axis = vec![Attribute::int("axis", -1)];
        let weights = self.node("Softmax", &scope.tensor("weights"), &[&masked], axis, DataType::Fp32);
        let weights = self.cast(&weights, compute);
        let context = self.binary("MatMul", &scope.tensor("context"), &weights, &value);
        let merged = self.transpose(&scope.tensor("context/transposed"), &context, &[0, 2, 1, 3]);
        self.reshape(&scope.tensor("context/merged"), &merged, &[0, 0, (shape.heads * shape.head_width) as i64])
    }

    fn attention_mask(&mut self, mask: &Value) -> Value {
        let mask = self.cast(mask, DataType::Fp32);
        let (one, lowest) = (self.number(1.0, DataType::Fp32), self.number(f32::MIN, DataType::Fp32));
        let padding = self.binary("Sub", "mask/padding", &one, &mask);
        let summand = self.binary("Mul", "mask/summand", &padding, &lowest);
        self.unsqueeze("mask/broadcast", &summand, &[1, 2])
    }

    fn first_token(&mut self, x: &Value) -> Value {
        let first = self.integer(0);
        self.node("Gather", &format!("{}/first", x.name), &[x, &first], vec![Attribute::int("axis", 1)], x.data_type)
    }

    fn mean_over_tokens(&mut self, x: &Value, mask: &Value) -> Value {
        let x = self.cast(x, DataType::Fp32);
        let mask = self.cast(mask, DataType::Fp32);
        let columns = self.unsqueeze("pooling/mask", &mask, &[2]);
        let kept = self.binary("Mul", "pooling/kept", &x, &columns);
        let axis = self.integers(&[1]);
        let no_axes_kept = || vec![Attribute::int("keepdims", 0)];
        let sum = self.node("ReduceSum", "pooling/sum", &[&kept, &axis], no_axes_kept(), DataType::Fp32);
        let count = self.node("ReduceSum", "pooling/count", &[&columns, &axis], no_axes_kept(), DataType::Fp32);
        let smallest = self.number(1e-9, DataType::Fp32);
        let count = self.binary("Max", "pooling/count/positive", &count, &smallest);
        self.binary("Div", "pooling/mean", &sum, &count)
    }

    fn normalize(&mut self, x: &Value) -> Value {
        let x = self.cast(x, DataType::Fp32);
        let axis = self.integers(&[-1]);
        let length = self.node("ReduceL2", "normalize/length", &[&x, &axis], Vec::new(), DataType::Fp32);
        let smallest = self.number(1e-12, DataType::Fp32);
        let length = self.binary("Max", "normalize/length/positive", &length, &smallest);
        self.binary("Div", "normalize/unit", &x, &length)
    }
}
