//! Each operation of [`Ops`] as ONNX nodes.
//!
//! In fp16 and bf16 the matrix products, convolutions and point-wise functions run in that type; normalisation keeps its
//! statistics in binary32, and softmax, pooling of tokens and unit vectors are computed in binary32.

use super::emit::window_attributes;
use super::graph::{OnnxGraph, Value};
use crate::ops::{Activation, AttentionShape, Conv2d, LinearWidths, PoolingMode, QUICK_GELU, RelativeBias, Window};
use crate::{Ops, Result, Scope};
use planforge_core::{DataType, TensorSpec};
use planforge_onnx::AttributeProto;

impl Ops for OnnxGraph<'_> {
    type Tensor = Value;

    fn input(&mut self, spec: &TensorSpec) -> Value {
        let value = self.add_input(&self.given(spec));
        match spec.data_type {
            DataType::Fp32 => self.cast(&value, self.compute_type()),
            data_type => self.cast(&value, data_type),
        }
    }

    fn output(&mut self, spec: &TensorSpec, value: &Value) {
        self.add_output(spec, value);
    }

    fn has(&self, scope: &Scope, name: &str) -> bool {
        self.has_parameter(&scope.tensor(name))
    }

    fn embedding(&mut self, scope: &Scope, table: [usize; 2], ids: &Value) -> Result<Value> {
        let weight = self.weight(&scope.tensor("weight"), &table)?;
        Ok(self.gather(&scope.tensor("rows"), &weight, ids, 0))
    }

    fn position_embedding(&mut self, scope: &Scope, table: [usize; 2], ids: &Value) -> Result<Value> {
        let weight = self.weight(&scope.tensor("weight"), &table)?;
        Ok(self.leading(scope, &weight, ids))
    }

    fn first_row(&mut self, scope: &Scope, table: [usize; 2]) -> Result<Value> {
        let weight = self.weight(&scope.tensor("weight"), &table)?;
        let first = self.integer(0);
        Ok(self.gather(&scope.tensor("row"), &weight, &first, 0))
    }

    fn padded_position_embedding(
        &mut self,
        scope: &Scope,
        table: [usize; 2],
        ids: &Value,
        padding: usize,
    ) -> Result<Value> {
        let weight = self.weight(&scope.tensor("weight"), &table)?;
        let hint = |part: &str| scope.tensor(part);
        let (padding, axis) = (self.integer(padding as i64), self.integer(1));
        let is_padding = self.node("Equal", &hint("padding"), &[ids, &padding], Vec::new(), DataType::Bool);
        let is_token = self.node("Not", &hint("tokens"), &[&is_padding], Vec::new(), DataType::Bool);
        let kept = self.cast(&is_token, DataType::Int64);
        let counted = self.node("CumSum", &hint("counted"), &[&kept, &axis], Vec::new(), DataType::Int64);
        let counted = self.binary("Mul", &hint("counted/kept"), &counted, &kept);
        let positions = self.binary("Add", &hint("positions"), &counted, &padding);
        Ok(self.gather(&hint("rows"), &weight, &positions, 0))
    }

    fn linear_with(&mut self, name: &str, bias: Option<&str>, widths: LinearWidths, x: &Value) -> Result<Value> {
        let weight = self.weight(name, &[widths.output, widths.input])?;
        let scope = bias.unwrap_or(name);
        let scope = scope.rsplit_once('.').map_or(scope, |(scope, _)| scope);
        let transposed = self.transpose(&format!("{name}/transposed"), &weight, &[1, 0]);
        let product = self.compute_binary("MatMul", &format!("{scope}.product"), x, &transposed);
        let Some(bias) = bias else { return Ok(product) };
        let bias = self.weight(bias, &[widths.output])?;
        Ok(self.compute_binary("Add", &format!("{scope}.sum"), &product, &bias))
    }

    fn conv2d(&mut self, scope: &Scope, conv: Conv2d, x: &Value) -> Result<Value> {
        let Window { size, .. } = conv.window;
        let kernel = [conv.output, conv.input / conv.groups.max(1), size, size];
        let weight = self.weight(&scope.tensor("weight"), &kernel)?;
        let bias = if conv.bias { Some(self.weight(&scope.tensor("bias"), &[conv.output])?) } else { None };
        let mut attributes = window_attributes(conv.window);
        attributes.insert(0, AttributeProto::int("group", conv.groups as i64));
        let inputs: Vec<&Value> = [x, &weight].into_iter().chain(bias.as_ref()).collect();
        Ok(self.compute("Conv", &scope.tensor("convolved"), &inputs, attributes))
    }

    fn batch_norm(&mut self, scope: &Scope, channels: usize, epsilon: f32, x: &Value) -> Result<Value> {
        let mut stored = |name: &str, trained| self.stored(&scope.tensor(name), &[channels], DataType::Fp32, trained);
        let (weight, bias) = (stored("weight", true)?, stored("bias", true)?);
        let (mean, variance) = (stored("running_mean", false)?, stored("running_var", false)?);
        let hint = scope.tensor("normalized");
        let data_type = if self.is_wide(&hint) { DataType::Fp32 } else { x.data_type };
        let x = self.cast(x, data_type);
        let epsilon = vec![AttributeProto::float("epsilon", epsilon)];
        let value = self.node("BatchNormalization", &hint, &[&x, &weight, &bias, &mean, &variance], epsilon, data_type);
        self.note_computed(&value);
        Ok(if self.is_wide(&hint) { value } else { self.cast(&value, self.compute_type()) })
    }

    fn max_pool(&mut self, window: Window, x: &Value) -> Value {
        self.compute("MaxPool", &format!("{}/largest", x.name), &[x], window_attributes(window))
    }

    fn global_average_pool(&mut self, x: &Value) -> Value {
        let mean = self.compute("GlobalAveragePool", &format!("{}/mean", x.name), &[x], Vec::new());
        let flat = vec![AttributeProto::int("axis", 1)];
        self.node("Flatten", &format!("{}/flat", mean.name), &[&mean], flat, mean.data_type)
    }

    fn channels_last(&mut self, x: &Value) -> Value {
        self.transpose(&format!("{}/channels_last", x.name), x, &[0, 2, 3, 1])
    }

    fn channels_first(&mut self, x: &Value) -> Value {
        self.transpose(&format!("{}/channels_first", x.name), x, &[0, 3, 1, 2])
    }

    fn patches_to_tokens(&mut self, x: &Value) -> Value {
        let flat = self.reshape(&format!("{}/patches", x.name), x, &[0, 0, -1]);
        self.transpose(&format!("{}/tokens", x.name), &flat, &[0, 2, 1])
    }

    fn prepend_token(&mut self, name: &str, width: usize, x: &Value) -> Result<Value> {
        let token = self.weight(name, &[1, 1, width])?;
        let token = self.cast(&token, x.data_type);
        let (batch, rest) = (self.size(&format!("{name}/batch"), x, 0), self.integers(&[1, width as i64]));
        let axis = |axis| vec![AttributeProto::int("axis", axis)];
        let shape = self.node("Concat", &format!("{name}/shape"), &[&batch, &rest], axis(0), DataType::Int64);
        let token = self.node("Expand", &format!("{name}/each"), &[&token, &shape], Vec::new(), x.data_type);
        Ok(self.node("Concat", &format!("{name}/prepended"), &[&token, x], axis(1), x.data_type))
    }

    fn add_parameter(&mut self, name: &str, shape: &[usize], x: &Value) -> Result<Value> {
        let parameter = self.weight(name, shape)?;
        Ok(self.compute_binary("Add", &format!("{name}/added"), x, &parameter))
    }

    fn scale(&mut self, name: &str, width: usize, x: &Value) -> Result<Value> {
        let parameter = self.weight(name, &[width])?;
        Ok(self.compute_binary("Mul", &format!("{name}/scaled"), x, &parameter))
    }

    fn chunk(&mut self, width: usize, x: &Value) -> [Value; 3] {
        let names = ["first", "second", "third"].map(|part| format!("{}/{part}", x.name));
        let sizes = self.integers(&[width as i64; 3]);
        self.node_with_outputs("Split", names, &[x, &sizes], vec![AttributeProto::int("axis", -1)], x.data_type)
    }

    fn select(&mut self, index: usize, x: &Value) -> Value {
        let number = self.integer(index as i64);
        self.gather(&format!("{}/feature{index}", x.name), x, &number, -1)
    }

    fn average(&mut self, a: &Value, b: &Value) -> Value {
        let sum = self.compute_binary("Add", &format!("{}/plus", a.name), a, b);
        let half = self.number(0.5, self.compute_type());
        self.compute_binary("Mul", &format!("{}/half", sum.name), &sum, &half)
    }

    fn layer_norm(&mut self, scope: &Scope, width: usize, epsilon: f32, x: &Value) -> Result<Value> {
        let weight = self.weight(&scope.tensor("weight"), &[width])?;
        let bias = self.weight(&scope.tensor("bias"), &[width])?;
        let attributes = vec![
            AttributeProto::int("axis", -1),
            AttributeProto::float("epsilon", epsilon),
            AttributeProto::int("stash_type", 1),
        ];
        Ok(self.compute("LayerNormalization", &scope.tensor("normalized"), &[x, &weight, &bias], attributes))
    }

    fn activation(&mut self, kind: Activation, x: &Value) -> Value {
        let (op, attributes) = match kind {
            Activation::Gelu => ("Gelu", vec![AttributeProto::string("approximate", "none")]),
            Activation::GeluTanh => ("Gelu", vec![AttributeProto::string("approximate", "tanh")]),
            Activation::Relu => ("Relu", Vec::new()),
            Activation::Sigmoid => ("Sigmoid", Vec::new()),
            Activation::Tanh => ("Tanh", Vec::new()),
            Activation::Identity => return x.clone(),
            Activation::Silu => return self.gated(x, x),
            Activation::QuickGelu => {
                let factor = self.number(QUICK_GELU, self.compute_type());
                let scaled = self.compute_binary("Mul", &format!("{}/sharper", x.name), x, &factor);
                return self.gated(x, &scaled);
            }
        };
        self.compute(op, &format!("{}/{}", x.name, op.to_lowercase()), &[x], attributes)
    }

    fn add(&mut self, a: &Value, b: &Value) -> Value {
        self.compute_binary("Add", &format!("{}/plus", a.name), a, b)
    }

    fn attention(&mut self, scope: &Scope, shape: AttentionShape, qkv: [&Value; 3], biases: &[&Value]) -> Value {
        let [query, key, value] = qkv;
        // Queries are scaled before the product: in fp16 the unscaled scores could overflow.
        let scale = self.number((shape.head_width as f32).sqrt().recip(), self.compute_type());
        let query = self.split_heads(&scope.tensor("query/split"), shape, query, &[0, 2, 1, 3]);
        let query = self.compute_binary("Mul", &scope.tensor("query/scaled"), &query, &scale);
        let key = self.split_heads(&scope.tensor("key/split"), shape, key, &[0, 2, 3, 1]);
        let value = self.split_heads(&scope.tensor("value/split"), shape, value, &[0, 2, 1, 3]);
        let scores = self.compute_binary("MatMul", &scope.tensor("scores"), &query, &key);
        let mut scores = self.cast(&scores, DataType::Fp32);
        for bias in biases {
            scores = self.binary("Add", &scope.tensor("scores/masked"), &scores, bias);
        }
        let axis = vec![AttributeProto::int("axis", -1)];
        let weights = self.node("Softmax", &scope.tensor("weights"), &[&scores], axis, DataType::Fp32);
        let weights = self.cast(&weights, self.compute_type());
        let context = self.compute_binary("MatMul", &scope.tensor("context"), &weights, &value);
        let merged = self.transpose(&scope.tensor("context/transposed"), &context, &[0, 2, 1, 3]);
        self.reshape(&scope.tensor("context/merged"), &merged, &[0, 0, (shape.heads * shape.head_width) as i64])
    }

    fn relative_bias(&mut self, scope: &Scope, bias: RelativeBias<'_>, ids: &Value) -> Result<Value> {
        let weight = self.weight(&scope.tensor("weight"), &bias.table())?;
        let hint = |part: &str| scope.tensor(part);
        let buckets = self.table(&hint("buckets"), bias.buckets);
        let by_distance = self.gather(&hint("by_distance"), &weight, &buckets, 0);
        let most = bias.max_sequence() as i64;
        let (first, last) = ((0..most).collect::<Vec<_>>(), self.integer(most - 1));
        let numbers = self.table(&hint("numbers"), &first);
        let numbers = self.leading(scope, &numbers, ids);
        let (keys, queries) =
            (self.unsqueeze(&hint("keys"), &numbers, &[0]), self.unsqueeze(&hint("queries"), &numbers, &[1]));
        let distances = self.binary("Sub", &hint("distances"), &keys, &queries);
        let places = self.binary("Add", &hint("places"), &distances, &last);
        let pairs = self.gather(&hint("pairs"), &by_distance, &places, 0);
        let heads_first = self.transpose(&hint("heads"), &pairs, &[2, 0, 1]);
        let bias = self.unsqueeze(&hint("broadcast"), &heads_first, &[0]);
        Ok(self.cast(&bias, DataType::Fp32))
    }

    fn attention_mask(&mut self, mask: &Value) -> Value {
        let mask = self.cast(mask, DataType::Fp32);
        let (one, lowest) = (self.number(1.0, DataType::Fp32), self.number(f32::MIN, DataType::Fp32));
        let padding = self.binary("Sub", "mask/padding", &one, &mask);
        let bias = self.binary("Mul", "mask/summand", &padding, &lowest);
        self.unsqueeze("mask/broadcast", &bias, &[1, 2])
    }

    fn token(&mut self, index: usize, x: &Value) -> Value {
        let number = self.integer(index as i64);
        self.gather(&format!("{}/token{index}", x.name), x, &number, 1)
    }

    fn pool_tokens(&mut self, mode: PoolingMode, x: &Value, mask: &Value) -> Value {
        self.pool(mode, x, mask)
    }

    fn join(&mut self, first: &Value, rest: &[Value]) -> Value {
        let parts: Vec<Value> =
            std::iter::once(first).chain(rest).map(|part| self.cast(part, DataType::Fp32)).collect();
        let axis = vec![AttributeProto::int("axis", -1)];
        self.node("Concat", "joined", &parts.iter().collect::<Vec<_>>(), axis, DataType::Fp32)
    }

    fn leading_features(&mut self, width: usize, x: &Value) -> Value {
        let (start, end, axis) = (self.integers(&[0]), self.integers(&[width as i64]), self.integers(&[-1]));
        self.node("Slice", &format!("{}/leading", x.name), &[x, &start, &end, &axis], Vec::new(), x.data_type)
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

impl OnnxGraph<'_> {
    /// `x sigmoid(gate)`.
    fn gated(&mut self, x: &Value, gate: &Value) -> Value {
        let gate = self.compute("Sigmoid", &format!("{}/sigmoid", gate.name), &[gate], Vec::new());
        self.compute_binary("Mul", &format!("{}/gated", x.name), x, &gate)
    }
}
