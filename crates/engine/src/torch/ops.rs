//! Each operation of [`Ops`] as libtorch's.
//!
//! In fp16 and bf16 the matrix products, convolutions and point-wise functions run in that type; libtorch keeps the statistics
//! of layer normalisation in binary32, and softmax, pooling of tokens and unit vectors are computed in binary32.

use super::interpreter::{Computed, Torch, Value};
use crate::ops::{Activation, AttentionShape, Conv2d, LinearWidths, PoolingMode, QUICK_GELU, RelativeBias, Window};
use crate::{Ops, Result, Scope};
use planforge_core::{DataType, TensorSpec};
use tch::{Kind, Tensor};

impl Ops for Torch<'_> {
    type Tensor = Value;

    fn input(&mut self, spec: &TensorSpec) -> Value {
        let given = self.given(spec);
        let value = self.next_input(&given);
        match spec.data_type {
            DataType::Fp32 => self.cast(&value, self.compute_kind()),
            data_type if data_type != given.data_type => self.cast(&value, Kind::Int64),
            _ => value,
        }
    }

    fn output(&mut self, spec: &TensorSpec, value: &Value) {
        self.add_output(spec, value);
    }

    fn has(&self, scope: &Scope, name: &str) -> bool {
        self.weights.contains(&scope.tensor(name))
    }

    fn embedding(&mut self, scope: &Scope, table: [usize; 2], ids: &Value) -> Result<Value> {
        let weight = self.weight(&scope.tensor("weight"), &table)?;
        Ok(self.rows(&weight, ids))
    }

    fn position_embedding(&mut self, scope: &Scope, table: [usize; 2], ids: &Value) -> Result<Value> {
        let weight = self.weight(&scope.tensor("weight"), &table)?;
        let numbers = self.numbers(ids);
        Ok(self.rows(&weight, &numbers))
    }

    fn first_row(&mut self, scope: &Scope, table: [usize; 2]) -> Result<Value> {
        let weight = self.weight(&scope.tensor("weight"), &table)?;
        Ok(self.run("select", [&weight], |[weight]| weight.f_select(0, 0)))
    }

    fn padded_position_embedding(
        &mut self,
        scope: &Scope,
        table: [usize; 2],
        ids: &Value,
        padding: usize,
    ) -> Result<Value> {
        let weight = self.weight(&scope.tensor("weight"), &table)?;
        let padding = padding as i64;
        let positions = self.run("cumsum", [ids], |[ids]| {
            let kept = ids.f_ne(padding)?.f_to_dtype(Kind::Int64, false, false)?;
            kept.f_cumsum(1, Kind::Int64)?.f_mul(&kept)?.f_add_scalar(padding)
        });
        Ok(self.rows(&weight, &positions))
    }

    fn linear_with(&mut self, name: &str, bias: Option<&str>, widths: LinearWidths, x: &Value) -> Result<Value> {
        let weight = self.weight(name, &[widths.output, widths.input])?;
        Ok(match bias {
            Some(bias) => {
                let bias = self.weight(bias, &[widths.output])?;
                self.run("linear", [x, &weight, &bias], |[x, weight, bias]| x.f_linear(weight, Some(bias)))
            }
            None => self.run("linear", [x, &weight], |[x, weight]| x.f_linear(weight, None::<&Tensor>)),
        })
    }

    fn conv2d(&mut self, scope: &Scope, conv: Conv2d, x: &Value) -> Result<Value> {
        let Window { size, stride, padding } = conv.window;
        let kernel = [conv.output, conv.input / conv.groups.max(1), size, size];
        let weight = self.weight(&scope.tensor("weight"), &kernel)?;
        let convolved = |x: &Tensor, weight: &Tensor, bias: Option<&Tensor>| {
            let [stride, padding] = [stride, padding].map(|count| [count as i64; 2]);
            x.f_conv2d(weight, bias, stride, padding, [1, 1], conv.groups as i64)
        };
        Ok(if conv.bias {
            let bias = self.weight(&scope.tensor("bias"), &[conv.output])?;
            self.run("conv2d", [x, &weight, &bias], |[x, weight, bias]| convolved(x, weight, Some(bias)))
        } else {
            self.run("conv2d", [x, &weight], |[x, weight]| convolved(x, weight, None))
        })
    }

    fn batch_norm(&mut self, scope: &Scope, channels: usize, epsilon: f32, x: &Value) -> Result<Value> {
        let mut stored = |name: &str, trained| self.wide(&scope.tensor(name), &[channels], trained);
        let (weight, bias) = (stored("weight", true)?, stored("bias", true)?);
        let (mean, variance) = (stored("running_mean", false)?, stored("running_var", false)?);
        let x = self.cast(x, Kind::Float);
        let inputs = [&x, &weight, &bias, &mean, &variance];
        let normalized = self.run("batch_norm", inputs, |[x, weight, bias, mean, variance]| {
            let [weight, bias, mean, variance] = [weight, bias, mean, variance].map(Some);
            x.f_batch_norm(weight, bias, mean, variance, false, 0.0, f64::from(epsilon), true)
        });
        Ok(self.cast(&normalized, self.compute_kind()))
    }

    fn max_pool(&mut self, window: Window, x: &Value) -> Value {
        let [size, stride, padding] = [window.size, window.stride, window.padding].map(|count| [count as i64; 2]);
        self.run("max_pool2d", [x], |[x]| x.f_max_pool2d(size, stride, padding, [1, 1], false))
    }

    fn global_average_pool(&mut self, x: &Value) -> Value {
        self.run("mean", [x], |[x]| x.f_mean_dim([2, 3].as_slice(), false, None))
    }

    fn channels_last(&mut self, x: &Value) -> Value {
        self.run("permute", [x], |[x]| x.f_permute([0, 2, 3, 1]))
    }

    fn channels_first(&mut self, x: &Value) -> Value {
        self.run("permute", [x], |[x]| x.f_permute([0, 3, 1, 2]))
    }

    fn patches_to_tokens(&mut self, x: &Value) -> Value {
        self.run("flatten", [x], |[x]| x.f_flatten(2, 3)?.f_transpose(1, 2))
    }

    fn prepend_token(&mut self, name: &str, width: usize, x: &Value) -> Result<Value> {
        let token = self.weight(name, &[1, 1, width])?;
        // One for each sample of the batch, whose size is that of `x`.
        Ok(self.run("cat", [&token, x], |[token, x]| {
            let each = token.f_expand_as(&x.f_narrow(1, 0, 1)?)?;
            Tensor::f_cat(&[&each, x], 1)
        }))
    }

    fn add_parameter(&mut self, name: &str, shape: &[usize], x: &Value) -> Result<Value> {
        let parameter = self.weight(name, shape)?;
        Ok(self.add(x, &parameter))
    }

    fn scale(&mut self, name: &str, width: usize, x: &Value) -> Result<Value> {
        let parameter = self.weight(name, &[width])?;
        Ok(self.run("mul", [x, &parameter], |[x, parameter]| x.f_mul(parameter)))
    }

    fn chunk(&mut self, width: usize, x: &Value) -> [Value; 3] {
        let width = width as i64;
        [0, 1, 2].map(|third| self.run("narrow", [x], |[x]| x.f_narrow(-1, third * width, width)))
    }

    fn select(&mut self, index: usize, x: &Value) -> Value {
        self.run("select", [x], |[x]| x.f_select(-1, index as i64))
    }

    fn average(&mut self, a: &Value, b: &Value) -> Value {
        self.run("add", [a, b], |[a, b]| a.f_add(b)?.f_mul_scalar(0.5))
    }

    fn layer_norm(&mut self, scope: &Scope, width: usize, epsilon: f32, x: &Value) -> Result<Value> {
        let weight = self.weight(&scope.tensor("weight"), &[width])?;
        let bias = self.weight(&scope.tensor("bias"), &[width])?;
        Ok(self.run("layer_norm", [x, &weight, &bias], |[x, weight, bias]| {
            x.f_layer_norm([width as i64], Some(weight), Some(bias), f64::from(epsilon), true)
        }))
    }

    fn activation(&mut self, kind: Activation, x: &Value) -> Value {
        self.run("activation", [x], |[x]| match kind {
            Activation::Gelu => x.f_gelu("none"),
            Activation::GeluTanh => x.f_gelu("tanh"),
            Activation::QuickGelu => x.f_mul(&x.f_mul_scalar(f64::from(QUICK_GELU))?.f_sigmoid()?),
            Activation::Relu => x.f_relu(),
            Activation::Silu => x.f_silu(),
            Activation::Sigmoid => x.f_sigmoid(),
            Activation::Tanh => x.f_tanh(),
            Activation::Identity => Ok(x.shallow_clone()),
        })
    }

    fn add(&mut self, a: &Value, b: &Value) -> Value {
        self.run("add", [a, b], |[a, b]| a.f_add(b))
    }

    fn attention(&mut self, _scope: &Scope, shape: AttentionShape, qkv: [&Value; 3], biases: &[&Value]) -> Value {
        let heads = [shape.heads, shape.head_width].map(|count| count as i64);
        // `[batch, sequence, width]` to `[batch, heads, sequence, head_width]`.
        let [query, key, value] =
            qkv.map(|part| self.run("unflatten", [part], |[x]| x.f_unflatten(-1, heads)?.f_transpose(1, 2)));
        // Queries are scaled before the product: in fp16 the unscaled scores could overflow.
        let scale = (shape.head_width as f64).sqrt().recip();
        let scores = self.run("matmul", [&query, &key], |[query, key]| {
            query.f_mul_scalar(scale)?.f_matmul(&key.f_transpose(-2, -1)?)
        });
        let mut scores = self.cast(&scores, Kind::Float);
        for bias in biases {
            scores = self.add(&scores, bias);
        }
        let weights = self.run("softmax", [&scores], |[scores]| scores.f_softmax(-1, None));
        let weights = self.cast(&weights, self.compute_kind());
        self.run("matmul", [&weights, &value], |[weights, value]| {
            weights.f_matmul(value)?.f_transpose(1, 2)?.f_flatten(2, 3)
        })
    }

    fn relative_bias(&mut self, scope: &Scope, bias: RelativeBias<'_>, ids: &Value) -> Result<Value> {
        let weight = self.weight(&scope.tensor("weight"), &bias.table())?;
        let last = bias.max_sequence() as i64 - 1;
        let (numbers, buckets) = (self.numbers(ids), self.table(&scope.tensor("buckets"), bias.buckets));
        let buckets = self.run("take", [&numbers, &buckets], |[numbers, buckets]| {
            let distances = numbers.f_unsqueeze(0)?.f_sub(&numbers.f_unsqueeze(1)?)?;
            buckets.f_take(&distances.f_add_scalar(last)?)
        });
        let pairs = self.rows(&weight, &buckets);
        let bias = self.run("permute", [&pairs], |[pairs]| pairs.f_permute([2, 0, 1])?.f_unsqueeze(0));
        Ok(self.cast(&bias, Kind::Float))
    }

    fn attention_mask(&mut self, mask: &Value) -> Value {
        let mask = self.cast(mask, Kind::Float);
        let lowest = f64::from(f32::MIN);
        self.run("mul", [&mask], |[mask]| mask.f_rsub_scalar(1.0)?.f_mul_scalar(lowest)?.f_unsqueeze(1)?.f_unsqueeze(2))
    }

    fn token(&mut self, index: usize, x: &Value) -> Value {
        self.run("select", [x], |[x]| x.f_select(1, index as i64))
    }

    fn pool_tokens(&mut self, mode: PoolingMode, x: &Value, mask: &Value) -> Value {
        let (x, mask) = (self.cast(x, Kind::Float), self.cast(mask, Kind::Float));
        self.run("pool", [&x, &mask], |[x, mask]| pool(mode, x, mask))
    }

    fn join(&mut self, first: &Value, rest: &[Value]) -> Value {
        let first = self.cast(first, Kind::Float);
        rest.iter().fold(first, |joined, part| {
            let part = self.cast(part, Kind::Float);
            self.run("cat", [&joined, &part], |[joined, part]| Tensor::f_cat(&[joined, part], -1))
        })
    }

    fn leading_features(&mut self, width: usize, x: &Value) -> Value {
        self.run("narrow", [x], |[x]| x.f_narrow(-1, 0, width as i64))
    }

    fn normalize(&mut self, x: &Value) -> Value {
        let x = self.cast(x, Kind::Float);
        self.run("norm", [&x], |[x]| x.f_div(&x.f_norm_scalaropt_dim(2.0, [-1], true)?.f_clamp_min(1e-12)?))
    }
}

/// One vector of the tokens of `x` `[batch, sequence, width]` that `mask` `[batch, sequence]` keeps.
fn pool(mode: PoolingMode, x: &Tensor, mask: &Tensor) -> Computed {
    let sum = |x: &Tensor| x.f_sum_dim_intlist([1].as_slice(), false, None);
    // 1 for a text's first token, 2 for its second and so on, 0 for padding.
    let numbers = || -> Computed { mask.f_cumsum(1, Kind::Float)?.f_mul(mask) };
    let weights = match mode {
        PoolingMode::Max => {
            let lowered = mask.f_rsub_scalar(1.0)?.f_mul_scalar(f64::from(f32::MIN))?;
            return x.f_add(&lowered.f_unsqueeze(2)?)?.f_amax([1].as_slice(), false);
        }
        PoolingMode::Mean | PoolingMode::MeanSqrtLength => mask.shallow_clone(),
        PoolingMode::WeightedMean => numbers()?,
        PoolingMode::FirstToken => numbers()?.f_eq(1.0)?.f_to_dtype(Kind::Float, false, false)?,
        PoolingMode::LastToken => {
            let last = mask.f_sum_dim_intlist([1].as_slice(), true, None)?;
            numbers()?.f_eq_tensor(&last)?.f_to_dtype(Kind::Float, false, false)?.f_mul(mask)?
        }
    };
    let columns = weights.f_unsqueeze(2)?;
    let summed = sum(&x.f_mul(&columns)?)?;
    match mode {
        PoolingMode::FirstToken | PoolingMode::LastToken => Ok(summed),
        PoolingMode::MeanSqrtLength => summed.f_div(&sum(&columns)?.f_clamp_min(1e-9)?.f_sqrt()?),
        _ => summed.f_div(&sum(&columns)?.f_clamp_min(1e-9)?),
    }
}

impl Torch<'_> {
    /// 0, 1, 2 …, as many as `ids` `[batch, sequence]` has columns.
    fn numbers(&mut self, ids: &Value) -> Value {
        self.run("cumsum", [ids], |[ids]| ids.f_select(0, 0)?.f_ones_like()?.f_cumsum(0, Kind::Int64)?.f_sub_scalar(1))
    }

    /// Rows of `table` by number.
    fn rows(&mut self, table: &Value, numbers: &Value) -> Value {
        self.run("embedding", [table, numbers], |[table, numbers]| {
            Tensor::f_embedding(table, numbers, -1, false, false)
        })
    }
}
